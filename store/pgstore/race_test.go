package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/pgstore"
)

// watcher counts the statements that were sent, those that reserve and had no
// row, and those that were refused as not serializable.
type watcher struct {
	schema                     string
	statements, empty, refused atomic.Int64
}

type reserves struct{}

func (w *watcher) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	w.statements.Add(1)
	return context.WithValue(ctx, reserves{}, strings.Contains(d.SQL, "SKIP LOCKED"))
}

func (w *watcher) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryEndData) {
	if ctx.Value(reserves{}) == true && d.Err == nil && d.CommandTag.RowsAffected() == 0 {
		w.empty.Add(1)
	}
	if pe := new(pgconn.PgError); asPgError(d.Err, &pe) && pe.Code == "40001" {
		w.refused.Add(1)
	}
}

func watched(t *testing.T, url string, cfg pgstore.Config) (*pgstore.Store, *watcher) {
	t.Helper()
	pc, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	w := &watcher{schema: servertest.Name(t)}
	pc.ConnConfig.Tracer = w
	pool, err := pgxpool.NewWithConfig(t.Context(), pc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	cfg.Schema, cfg.Logger = w.schema, quiet
	s, err := pgstore.New(pool, cfg)
	if err != nil {
		t.Fatal(err)
	}
	migrate(t, s)
	return s, w
}

// race lets 16 callers take one absent slot, and wants one winner.
func race(t *testing.T, s *pgstore.Store, id string) {
	t.Helper()
	r := reservation(id)
	var seen [16]semel.Record
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range seen {
		wg.Go(func() {
			<-start
			var err error
			if seen[i], err = s.Reserve(t.Context(), again(r)); err != nil {
				t.Errorf("caller %d: %v", i, err)
			}
		})
	}
	close(start)
	wg.Wait()
	for _, held := range seen {
		if held.Token != seen[0].Token || held.State != semel.StateReserved {
			t.Fatalf("got a %v slot held by %v and by %v, want one owner", held.State, held.Token, seen[0].Token)
		}
	}
}

// I1, I12: a statement that had to wait for another one's row sees none at all.
// That is ordinary, and it is asked again.
func TestNoRowIsAskedAgain(t *testing.T) {
	t.Parallel()
	s, w := watched(t, servertest.Postgres(t).DSN()+"&pool_max_conns=16", pgstore.Config{})
	n := 0
	eventually(t, "a statement has no row", func() bool {
		n++
		race(t, s, fmt.Sprint(n))
		return w.empty.Load() > 0
	})
	t.Logf("%d statements without a row in %d races of 16", w.empty.Load(), n)
}

// I1, I11: where the role's default isolation refuses statements that meet, they
// are repeated, and every step keeps its meaning.
func TestSerializable(t *testing.T) {
	t.Parallel()
	url := servertest.Postgres(t).DSN()
	for _, level := range []string{"serializable", "repeatable read"} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			role := servertest.Name(t)
			admin := poolOf(t, url)
			run(t, admin, "CREATE ROLE "+role+" SUPERUSER LOGIN",
				"ALTER ROLE "+role+" SET default_transaction_isolation = '"+level+"'")
			t.Cleanup(func() { run(t, admin, "DROP ROLE "+role) })
			s, w := watched(t, withUser(t, url, role)+"&pool_max_conns=16", pgstore.Config{})
			t.Cleanup(func() { run(t, admin, "REASSIGN OWNED BY "+role+" TO semel") })
			n := 0
			eventually(t, "a statement is refused", func() bool {
				n++
				race(t, s, fmt.Sprint(n))
				return w.refused.Load() > 0
			})
			raceLate(t, s)
			r := reservation("a")
			mustReserve(t, s, r)
			mustComplete(t, s, r, "body")
			mustReplay(t, s, r, "body")
			t.Logf("%d of %d statements were refused", w.refused.Load(), w.statements.Load())
		})
	}
}

// raceLate lets the late completions of lapsed attempts race with take-overs.
func raceLate(t *testing.T, s *pgstore.Store) {
	t.Helper()
	for i := range 20 {
		r, _ := lapse(t, s, fmt.Sprint("late ", i))
		next := taker(r)
		var late, failed error
		var held semel.Record
		var wg sync.WaitGroup
		wg.Go(func() { late = s.Complete(t.Context(), completion(r, "late")) })
		wg.Go(func() { held, failed = s.Reserve(t.Context(), next) })
		wg.Wait()
		if failed != nil {
			t.Fatal(failed)
		}
		if taken := held.Token == next.Token; taken == (late == nil) {
			t.Fatalf("got taken over %v and completed %v, want one of them", taken, late)
		}
	}
}

// I11: a repeated Complete that runs beside the first one succeeds: it must not
// take the moment before for the whole truth.
func TestCompleteBesideItself(t *testing.T) {
	t.Parallel()
	s := fresh(t, servertest.Postgres(t).DSN())
	for i := range 50 {
		r := reservation(fmt.Sprint(i))
		mustReserve(t, s, r)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := s.Complete(t.Context(), completion(r, "body")); err != nil {
					t.Errorf("complete: %v", err)
				}
			})
		}
		wg.Wait()
	}
}

// A slot whose row is locked for good: nobody waits for the lock, and nobody
// gets past it. A free one is reported as busy; the owner of a reservation does
// not lose it when its renewal finds it locked.
func TestLockedRows(t *testing.T) {
	t.Parallel()
	url := servertest.Postgres(t).DSN()
	schema := servertest.Name(t)
	s := opened(t, url, pgstore.Config{Schema: schema})
	migrate(t, s)
	free, other, done := reservation("free"), reservation("other"), reservation("done")
	mustReserve(t, s, free)
	if err := s.Release(t.Context(), free.Key, free.Token); err != nil {
		t.Fatal(err)
	}
	done.Retention = time.Millisecond
	mustReserve(t, s, done)
	mustComplete(t, s, done, "body")
	lapsed, _ := lapse(t, s, "lapsed")
	mustReserve(t, s, other)

	tx, err := poolOf(t, url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT FROM "+schema+".semel_slots WHERE key <> 'other' FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	_, err = s.Reserve(t.Context(), again(free))
	wantError(t, err, "reserve", pgstore.ErrBusy)
	held, err := s.Reserve(t.Context(), taker(lapsed))
	if err != nil || held.Token != lapsed.Token || held.State != semel.StateReserved {
		t.Errorf("got a %v slot held by %v (%v), want it with the attempt that has it locked", held.State, held.Token, err)
	}
	stranger := again(other)
	lost, err := s.Renew(t.Context(), time.Hour, []semel.Holder{
		{Key: lapsed.Key, Token: lapsed.Token}, {Key: stranger.Key, Token: stranger.Token}, {Key: other.Key, Token: other.Token},
	})
	some, ok := errors.AsType[*semel.UnrenewedError](err)
	if !ok || !slices.Equal(some.Tokens, []semel.Token{lapsed.Token}) || !slices.Equal(lost, []semel.Token{stranger.Token}) {
		t.Errorf("renew: got %d lost, error %v, want the stranger lost and the locked one named", len(lost), err)
	}
	wantError(t, err, "renew", pgstore.ErrBusy)
	if n, err := s.Purge(t.Context(), 100); n != 0 || err != nil {
		t.Errorf("purge: got %d (%v), want the locked record left alone", n, err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustReserve(t, s, again(free))
	mustReserve(t, s, taker(lapsed))
	if n, err := s.Purge(t.Context(), 100); n != 1 || err != nil {
		t.Errorf("purge: got %d (%v), want 1", n, err)
	}
}

// I4: a renewal that finds its row locked by a take-over hears of it: it is not
// told that it renewed what another attempt has by then.
func TestRenewBesideATakeOver(t *testing.T) {
	t.Parallel()
	url := servertest.Postgres(t).DSN()
	s, w := watched(t, url, pgstore.Config{})
	r, _ := lapse(t, s, "a")
	tx, err := poolOf(t, url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SET LOCAL synchronous_commit = off"); err != nil { // it ends at once, whatever the disk
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "UPDATE "+w.schema+".semel_slots SET token = '\\x00112233445566778899aabbccddeeff', fence = fence + 1"); err != nil {
		t.Fatal(err)
	}
	before := w.statements.Load()
	done := make(chan error, 1)
	var lost []semel.Token
	go func() {
		var err error
		lost, err = s.Renew(t.Context(), time.Hour, []semel.Holder{{Key: r.Key, Token: r.Token}})
		done <- err
	}()
	eventually(t, "the renewal has met the lock", func() bool { return w.statements.Load() >= before+2 })
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || !slices.Equal(lost, []semel.Token{r.Token}) {
		t.Errorf("got %d lost (%v), want the one that was taken over", len(lost), err)
	}
}
