package mysqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/mysqlstore"
)

// steps runs every step of a store and returns their errors by name.
func steps(s *mysqlstore.Store) map[string]error {
	ctx := context.Background()
	r := reservation("steps")
	_, reserve := s.Reserve(ctx, r)
	_, renew := s.Renew(ctx, time.Minute, []semel.Holder{{Key: r.Key, Token: r.Token}})
	_, purge := s.Purge(ctx, 10)
	var list error
	for _, err := range s.List(ctx, semel.Filter{}) {
		list = err
	}
	_, inspect := s.Inspect(ctx)
	_, look := s.Look(ctx, r.Key)
	return map[string]error{
		"reserve":       reserve,
		"look":          look,
		"begin effects": s.BeginEffects(ctx, r.Key, r.Token),
		"complete":      s.Complete(ctx, completion(r, "body")),
		"release":       s.Release(ctx, r.Key, r.Token),
		"renew":         renew,
		"purge":         purge,
		"list":          list,
		"resolve":       s.Resolve(ctx, semel.Resolution{Key: r.Key, Fence: 1}),
		"ping":          s.Ping(ctx),
		"validate":      s.Validate(ctx),
		"inspect":       inspect,
	}
}

// allFail checks that every step says which store and which step failed, and
// nothing of the key or the password.
func allFail(t *testing.T, s *mysqlstore.Store, want string) {
	t.Helper()
	for step, err := range steps(s) {
		if err == nil || !strings.HasPrefix(err.Error(), "mysqlstore: "+step+": ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want it to name the step and %q", step, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "tenant-1") || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%s: the error shows a secret: %v", step, err)
		}
	}
}

// works checks that a store serves.
func works(t *testing.T, s *mysqlstore.Store) {
	t.Helper()
	r := reservation(semel.NewToken().String())
	mustReserve(t, s, r)
	mustComplete(t, s, r, "body")
	mustReplay(t, s, r, "body")
}

// L4: a server that is down when the store is opened, and later, is an error of
// each step; the store serves when the server does, without being opened again.
func TestServerDown(t *testing.T) {
	t.Parallel()
	server := servertest.NewMariaDB(t)
	dsn := database(t, server, "?timeout=2s")
	server.Shutdown(t)
	s := openOnly(t, dsn, mysqlstore.Config{})
	allFail(t, s, "refused")
	if err := s.Migrate(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "mysqlstore: migrate: ") {
		t.Errorf("migrate: got %v, want an error that names it", err)
	}
	server.Start(t)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	works(t, s)
	server.Kill(t)
	allFail(t, s, "")
	server.Start(t)
	works(t, s)
}

// I10, I11, L4: a server that is killed and started again in the middle of
// traffic loses nothing that was acknowledged, and callers who repeat their
// steps by the same token get through.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	server := servertest.NewMariaDB(t)
	s := open(t, database(t, server, ""), mysqlstore.Config{})
	stop := make(chan struct{})
	kept := traffic(t, s, stop)
	for round := 1; round <= 2; round++ {
		waitFor(t, func() bool { return kept.count() >= 30*round })
		server.Restart(t)
	}
	waitFor(t, func() bool { return kept.count() >= 100 })
	close(stop)
	kept.check(t, s)
}

// I10, I11, L4: connections that are killed all the time cost errors, and
// nothing that was acknowledged.
func TestConnectionsKilled(t *testing.T) {
	t.Parallel()
	server := servertest.MariaDB(t)
	dsn := database(t, server, "")
	s := open(t, dsn, mysqlstore.Config{})
	admin := pool(t, server.DSN())
	name := dsn[strings.LastIndex(dsn, "/")+1:]
	stop := make(chan struct{})
	kept := traffic(t, s, stop)
	for killed := 0; killed < 200 || kept.count() < 100; {
		ids := connections(t, admin, name)
		for _, id := range ids {
			if _, err := admin.Exec("KILL ?", id); err == nil {
				killed++
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	close(stop)
	kept.check(t, s)
}

// connections returns the numbers of the connections to a database.
func connections(t *testing.T, admin *sql.DB, database string) (ids []int64) {
	t.Helper()
	rows, err := admin.Query("SELECT id FROM information_schema.processlist WHERE db = ?", database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return ids
}

// keptResponses are what callers were told is kept.
type keptResponses struct {
	wg   sync.WaitGroup
	mu   sync.Mutex
	done []semel.Reservation
}

func (k *keptResponses) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.done)
}

// check waits for the callers and replays everything.
func (k *keptResponses) check(t *testing.T, s semel.Store) {
	t.Helper()
	k.wg.Wait()
	for _, r := range k.done {
		mustReplay(t, s, r, r.Key.ID)
	}
	t.Logf("%d completions were acknowledged", len(k.done))
}

// traffic lets 4 callers reserve and complete until stop, repeating every step
// that fails, as the engine does.
func traffic(t *testing.T, s semel.Store, stop chan struct{}) *keptResponses {
	t.Helper()
	k := new(keptResponses)
	var serial atomic.Int64
	running := func() bool {
		select {
		case <-stop:
			return false
		case <-t.Context().Done():
			return false
		default:
			return true
		}
	}
	for range 4 {
		k.wg.Go(func() {
			for running() {
				r := reservation(fmt.Sprint("kept ", serial.Add(1)))
				held, err := s.Reserve(t.Context(), r)
				for err != nil && running() {
					time.Sleep(time.Millisecond)
					held, err = s.Reserve(t.Context(), r)
				}
				if err != nil {
					return
				}
				if held.Token != r.Token || held.Attempts != 1 {
					t.Errorf("got a slot held by %v on attempt %d, want our own first one (I11)", held.Token, held.Attempts)
				}
				for err = s.Complete(t.Context(), completion(r, r.Key.ID)); err != nil && running(); err = s.Complete(t.Context(), completion(r, r.Key.ID)) {
					if errors.Is(err, semel.ErrLost) {
						t.Errorf("got ErrLost for a completion that nobody competes with (I11)")
						return
					}
					time.Sleep(time.Millisecond)
				}
				if err != nil {
					return
				}
				k.mu.Lock()
				k.done = append(k.done, r)
				k.mu.Unlock()
			}
		})
	}
	return k
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for !ok() {
		if t.Failed() || time.Now().After(deadline) {
			t.Fatal("it did not come to pass")
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// I11: when the reply is lost after the server has acted, a repetition by the
// same token finds that out.
func TestReplyLost(t *testing.T) {
	t.Parallel()
	server := servertest.MariaDB(t)
	link := servertest.NewLink(t, server.Addr())
	dsn := database(t, server, "")
	s := open(t, strings.Replace(dsn, server.Addr(), link.Addr(), 1), mysqlstore.Config{MaxConns: 1})
	r := reservation("k")

	lose := func(step string, f func() error) {
		t.Helper()
		works(t, s) // opens the connection and prepares the statements on it
		link.DropReplies(func() bool { return true })
		if err := f(); err == nil || !strings.HasPrefix(err.Error(), "mysqlstore: "+step) {
			t.Fatalf("%s: got %v, want an error: the reply was lost", step, err)
		}
		link.DropReplies(nil)
	}
	lose("reserve", func() error { _, err := s.Reserve(t.Context(), r); return err })
	if held := mustReserve(t, s, r); held.Attempts != 1 {
		t.Errorf("got attempt %d, want the first one", held.Attempts)
	}
	lose("complete", func() error { return s.Complete(t.Context(), completion(r, "body")) })
	mustReplay(t, s, r, "body") // it happened
	mustComplete(t, s, r, "another body")
	mustReplay(t, s, r, "body")
}

// L4: a network that swallows everything ends in an error, and the store serves
// when it carries again.
func TestBlackhole(t *testing.T) {
	t.Parallel()
	server := servertest.MariaDB(t)
	link := servertest.NewLink(t, server.Addr())
	dsn := database(t, server, "?timeout=1s&readTimeout=1s")
	s := open(t, strings.Replace(dsn, server.Addr(), link.Addr(), 1), mysqlstore.Config{})
	works(t, s)
	link.Blackhole()
	if _, err := s.Reserve(t.Context(), reservation("k")); err == nil {
		t.Error("got an answer through a black hole")
	}
	link.Heal()
	waitFor(t, func() bool { return s.Ping(t.Context()) == nil })
	works(t, s)
}

// I14: an entry of the trail whose answer was lost is there once. The one with the result of
// an action is found, and nothing is asked after an entry that could be lost too.
func TestAuditAnswerIsLost(t *testing.T) {
	t.Parallel()
	server := servertest.MariaDB(t)
	link := servertest.NewLink(t, server.Addr())
	dsn := database(t, server, "")
	direct := open(t, dsn, mysqlstore.Config{})
	s := open(t, strings.Replace(dsn, server.Addr(), link.Addr(), 1), mysqlstore.Config{MaxConns: 1})
	key := semel.Key{Scope: "tenant", ID: "k"}
	begun, err := direct.Audit(t.Context(), semel.AuditEntry{Actor: "ops", Action: semel.ActionRelease, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	entries := func(reason string) (found []semel.AuditEntry) {
		for e, err := range direct.Trail(t.Context(), semel.AuditFilter{}) {
			if err != nil {
				t.Error(err)
			}
			if e.Reason == reason {
				found = append(found, e)
			}
		}
		return found
	}
	for _, c := range []struct {
		name  string
		entry semel.AuditEntry
		after int // how many answers after the entry came through
		err   string
	}{
		{"before an action", semel.AuditEntry{}, 0, "not known whether the entry is in the trail"},
		{"with a result", semel.AuditEntry{Begun: begun.ID, Result: semel.AuditDone}, 0, ""},
		{"with an answer", semel.AuditEntry{}, 1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			works(t, s) // opens the connection
			e := c.entry
			e.Actor, e.Action, e.Key, e.Reason = "ops", semel.ActionRelease, key, c.name
			seen := 0
			link.DropReplies(func() bool {
				if len(entries(c.name)) > 0 {
					seen++
				}
				return seen == c.after+1
			})
			defer link.DropReplies(nil)
			got, err := s.Audit(t.Context(), e)
			if c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) || c.err == "" && err != nil {
				t.Errorf("got error %v, want %q", err, c.err)
			}
			found := entries(c.name)
			if len(found) != 1 || err == nil && (found[0].ID != got.ID || !found[0].At.Equal(got.At)) {
				t.Errorf("got %+v in the trail, want one: %+v", found, got)
			}
		})
	}
}
