package redisstore_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/redisstore"
)

func list(t *testing.T, s *redisstore.Store, f semel.Filter) (records []semel.Record) {
	t.Helper()
	for rec, err := range s.List(t.Context(), f) {
		must(t, "list", err)
		records = append(records, rec)
	}
	return records
}

func trail(t *testing.T, s *redisstore.Store, f semel.AuditFilter) (entries []semel.AuditEntry) {
	t.Helper()
	for e, err := range s.Trail(t.Context(), f) {
		must(t, "trail", err)
		entries = append(entries, e)
	}
	return entries
}

// While a program replaces one of the version before, a route makes no record
// unreadable: the older one completes what this one reserved, and the route stays.
func TestRouteUnderOlderProgram(t *testing.T) {
	t.Parallel()
	server := servertest.Redis(t)
	prefix := servertest.Name(t)
	s := open(t, server.DSN(), redisstore.Config{Prefix: prefix})
	o := older{t, admin(t, server.Addr()), prefix}
	r := ask("ours")
	r.Route = "POST /payments/{id}"
	grant(t, s, r)
	o.holds("reserved", r, semel.StateReserved, "host/1\x00POST /payments/{id}\x13")
	if n, err := o.c.Eval(t.Context(), older1(t, "complete"), []string{keyOf(prefix, r)}, r.Token[:], 201, 1,
		"\x00\x00\x00\x00....", "0").Int(); err != nil || n != 1 {
		t.Fatalf("the older program completed %d, error %v", n, err)
	}
	theirs := ask("theirs")
	_, err := o.reserve(theirs)
	must(t, "reserve", err)
	for _, rec := range list(t, s, semel.Filter{}) {
		if want := map[string]string{"ours": r.Route, "theirs": ""}[rec.Key.ID]; rec.Route != want || rec.Owner != "host/1" {
			t.Errorf("%s: got route %q of %q, want %q", rec.Key.ID, rec.Route, rec.Owner, want)
		}
	}
}

// older1 is a script of the version before, as a whole.
func older1(t *testing.T, name string) string {
	t.Helper()
	var source strings.Builder
	for _, file := range []string{"record", name} {
		text, err := layout1.ReadFile("testdata/layout1/" + file + ".lua")
		must(t, "read", err)
		source.Write(text)
	}
	return source.String()
}

// I3: what is sealed again keeps the time to live that its record had, or none.
func TestResealKeepsTTL(t *testing.T) {
	t.Parallel()
	server := servertest.Redis(t)
	prefix := servertest.Name(t)
	s, c := open(t, server.DSN(), redisstore.Config{Prefix: prefix}), admin(t, server.Addr())
	r := ask("a")
	r.Deferred = true
	grant(t, s, r)
	must(t, "complete", s.Complete(t.Context(), completion(r)))
	expiry := func() int64 { return c.Do(t.Context(), "PEXPIRETIME", keyOf(prefix, r)).Val().(int64) }
	before := expiry()
	holder := semel.Holder{Key: r.Key, Token: r.Token}
	must(t, "reseal", s.Reseal(t.Context(), holder, []byte("new header"), []byte("new body")))
	if after := expiry(); after != before || before <= 0 {
		t.Errorf("got an expiry at %d, want %d as before", after, before)
	}
	must(t, "persist", c.Persist(t.Context(), keyOf(prefix, r)).Err())
	must(t, "reseal", s.Reseal(t.Context(), holder, nil, nil))
	if after := expiry(); after != -1 {
		t.Errorf("got an expiry at %d, want none as before", after)
	}
	held, err := s.Reserve(t.Context(), another(r))
	if err != nil || held.Response.Status != 201 || len(held.Response.Header)+len(held.Response.Body) > 0 {
		t.Errorf("got %+v, error %v, want the status and nothing else", held.Response, err)
	}
}

// I4: a reseal beside the end of the retention and the next reservation replaces the
// response that it means or none.
func TestResealBesideReservation(t *testing.T) {
	t.Parallel()
	s := open(t, servertest.Redis(t).DSN(), redisstore.Config{})
	for i := range 50 {
		r := ask(fmt.Sprint(i))
		r.Retention = 20 * time.Millisecond
		grant(t, s, r)
		must(t, "complete", s.Complete(t.Context(), completion(r)))
		next := another(r)
		next.Retention = time.Hour
		var wg sync.WaitGroup
		wg.Go(func() {
			for { // it ends when the next attempt has the slot
				if err := s.Reseal(t.Context(), semel.Holder{Key: r.Key, Token: r.Token}, nil, []byte("again")); err != nil {
					if !errors.Is(err, semel.ErrLost) {
						t.Errorf("reseal: got error %v, want ErrLost", err)
					}
					return
				}
			}
		})
		until(t, "the retention is over", func() bool {
			held, err := s.Reserve(t.Context(), next)
			return err == nil && held.Token == next.Token
		})
		must(t, "complete", s.Complete(t.Context(), completion(next)))
		wg.Wait()
		replay(t, s, next)
	}
}

// A page that is limited holds no more than the limit in memory, and one whose
// records were reserved anew since they were found leaves them out: they would lead
// the next page back to the start.
func TestPagesUnderLoad(t *testing.T) {
	t.Parallel()
	s := open(t, servertest.Redis(t).DSN(), redisstore.Config{})
	const n = 250
	var all []semel.Reservation
	for i := range n {
		r := ask(fmt.Sprint(i))
		grant(t, s, r)
		must(t, "release", s.Release(t.Context(), r.Key, r.Token))
		all = append(all, r)
	}
	seen := make(map[string]bool)
	last := semel.Place{CreatedAt: time.Now().Add(time.Hour)}
	for rec, err := range s.List(t.Context(), semel.Filter{}) {
		must(t, "list", err)
		if len(seen) == 50 { // those that are still to be loaded
			for _, r := range all[:50] {
				grant(t, s, another(r))
			}
		}
		if rec.CreatedAt.After(last.CreatedAt) || seen[rec.Key.ID] {
			t.Errorf("got %s of %v behind %v", rec.Key.ID, rec.CreatedAt, last.CreatedAt)
		}
		last, seen[rec.Key.ID] = rec.Place(), true
	}
	if len(seen) != n-50 {
		t.Errorf("got %d records, want %d", len(seen), n-50)
	}
}

// The trail has no time to live. It is no record, and what is at its key and is no
// trail is an error. A store with another prefix has another one. IDs go on when
// somebody has trimmed it.
func TestTrail(t *testing.T) {
	t.Parallel()
	server := servertest.Redis(t)
	prefix := servertest.Name(t)
	s, c := open(t, server.DSN(), redisstore.Config{Prefix: prefix}), admin(t, server.Addr())
	other := open(t, server.DSN(), redisstore.Config{Prefix: prefix + ":"})
	const n = 450 // more than two pages of them
	for i := range n {
		e, err := s.Audit(t.Context(), semel.AuditEntry{Actor: "ops", Action: semel.ActionReveal, Key: ask(fmt.Sprint(i % 2)).Key})
		if err != nil || e.ID != int64(i+1) {
			t.Fatalf("got entry %d, error %v, want %d", e.ID, err, i+1)
		}
	}
	if got := trail(t, s, semel.AuditFilter{}); len(got) != n || got[0].ID != n || got[n-1].ID != 1 {
		t.Errorf("got %d entries, want %d", len(got), n)
	}
	if got := trail(t, s, semel.AuditFilter{Key: ask("1").Key, Before: 301}); len(got) != 150 || got[0].ID != 300 {
		t.Errorf("got %d entries, want 150 of the slot", len(got))
	}
	if got := trail(t, other, semel.AuditFilter{}); len(got) != 0 {
		t.Errorf("got %d entries of another prefix", len(got))
	}
	if got := list(t, s, semel.Filter{}); len(got) != 0 {
		t.Errorf("got %d records, want none", len(got))
	}
	key := prefix + "{audit}"
	if ttl := c.PTTL(t.Context(), key).Val(); ttl != -1 {
		t.Errorf("got a time to live of %v, want none", ttl)
	}
	must(t, "trim", c.XTrimMaxLen(t.Context(), key, 0).Err())
	e, err := s.Audit(t.Context(), semel.AuditEntry{Actor: "ops", Action: semel.ActionPurge})
	if err != nil || e.ID != n+1 {
		t.Errorf("got entry %d, error %v, want %d", e.ID, err, n+1)
	}
	must(t, "set", c.Set(t.Context(), key, "no stream", 0).Err())
	_, err = s.Audit(t.Context(), e)
	for _, read := range s.Trail(t.Context(), semel.AuditFilter{}) {
		err = errors.Join(err, read)
	}
	if !errors.Is(err, semel.ErrDamaged) || strings.Count(err.Error(), "is no stream") != 2 {
		t.Errorf("got error %v, want damage from both", err)
	}
}

// An entry whose answer was lost is added once.
func TestAuditLostReply(t *testing.T) {
	t.Parallel()
	link := servertest.NewLink(t, servertest.Redis(t).Addr())
	s := open(t, "redis://"+link.Addr(), redisstore.Config{})
	serves(t, s)
	for i := range 3 {
		lost := false
		link.DropReplies(func() bool { first := !lost; lost = true; return first })
		e, err := s.Audit(t.Context(), semel.AuditEntry{Actor: "ops", Action: semel.ActionPurge, Reason: fmt.Sprint(i)})
		link.DropReplies(nil)
		if err != nil || e.ID != int64(i+1) || !lost {
			t.Errorf("got entry %d, error %v, want %d after a lost answer", e.ID, err, i+1)
		}
		got := trail(t, s, semel.AuditFilter{})
		if len(got) != i+1 || got[0].Reason != fmt.Sprint(i) || !got[0].At.Equal(e.At) {
			t.Errorf("got %d entries, the last of %v, want %d and %v", len(got), got[0].At, i+1, e.At)
		}
	}
}

// The trail of a cluster is one, whichever node a store was opened by, also while its
// slot moves from master to master.
func TestAuditInCluster(t *testing.T) {
	t.Parallel()
	nodes := servertest.NewRedisCluster(t, 3)
	prefix := servertest.Name(t)
	var stores []*redisstore.Store
	for i := range nodes {
		s := open(t, clusterURL(nodes[i:i+1]), redisstore.Config{Prefix: prefix})
		serves(t, s)
		stores = append(stores, s)
	}
	const each = 100
	var wg sync.WaitGroup
	var once sync.Once
	moving := make(chan struct{})
	for i, s := range stores {
		wg.Go(func() {
			for n := range each {
				e := semel.AuditEntry{Actor: fmt.Sprint("ops ", i), Action: semel.ActionPurge, Reason: fmt.Sprint(n)}
				if _, err := s.Audit(t.Context(), e); err != nil {
					t.Errorf("audit: %v", err)
				}
				if n == 10 {
					once.Do(func() { close(moving) })
				}
			}
		})
	}
	<-moving
	mover := newMover(t, nodes)
	for range 4 {
		mover.move(clusterSlot("audit"))
	}
	wg.Wait()
	if mover.moved == 0 {
		t.Error("the trail has not moved: the test shows nothing")
	}
	got := trail(t, stores[0], semel.AuditFilter{})
	kept := make(map[string]bool)
	for i, e := range got {
		kept[e.Actor+"/"+e.Reason] = true
		if want := int64(len(got) - i); e.ID != want {
			t.Errorf("got entry %d, want %d", e.ID, want)
		}
	}
	if len(got) != each*len(nodes) || len(kept) != len(got) {
		t.Errorf("got %d entries, %d of them different, want %d", len(got), len(kept), each*len(nodes))
	}
}

// I10: with Replicas, an entry and a response that is sealed again count only when the
// replica has them.
func TestOperatorsWaitForReplicas(t *testing.T) {
	t.Parallel()
	master, replica := servertest.NewRedis(t, "repl-diskless-sync-delay=0"), servertest.NewRedis(t)
	follow(t, replica, master)
	s := open(t, master.DSN(), redisstore.Config{Replicas: 1, WaitTimeout: 200 * time.Millisecond})
	serves(t, s)
	r := ask("a")
	grant(t, s, r)
	must(t, "complete", s.Complete(t.Context(), completion(r)))
	entry, holder := semel.AuditEntry{Actor: "ops", Action: semel.ActionRotate}, semel.Holder{Key: r.Key, Token: r.Token}
	both := func() error {
		_, err := s.Audit(t.Context(), entry)
		return errors.Join(err, s.Reseal(t.Context(), holder, nil, []byte("again")))
	}
	until(t, "the replica confirms", func() bool { return both() == nil })
	replica.Stop(t)
	if err := both(); !errors.Is(err, redisstore.ErrNotReplicated) || strings.Count(err.Error(), redisstore.ErrNotReplicated.Error()) != 2 {
		t.Errorf("got error %v, want ErrNotReplicated of both", err)
	}
	replica.Continue(t)
	until(t, "the replica confirms", func() bool { return both() == nil })
}

// An age of less than a microsecond is a bound, and a negative one is none.
func TestShortAges(t *testing.T) {
	t.Parallel()
	s := open(t, servertest.Redis(t).DSN(), redisstore.Config{})
	grant(t, s, ask("a"))
	for f, want := range map[*semel.Filter]int{{MaxAge: 1}: 0, {MinAge: 1}: 1, {MaxAge: -1}: 1, {MinAge: -1}: 1} {
		if got := list(t, s, *f); len(got) != want {
			t.Errorf("from %v to %v: got %d records, want %d", f.MinAge, f.MaxAge, len(got), want)
		}
	}
}
