package pgstore_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/pgstore"
)

// silent are settings under which a server writes nothing by itself.
var silent = []string{"autovacuum=off", "wal_level=minimal", "max_wal_senders=0", "checkpoint_timeout=1d", "bgwriter_lru_maxpages=0"}

// outcome is a way in which Reserve does not get the slot.
type outcome struct {
	name string
	ask  semel.Reservation
	want semel.State
}

// refusals makes slots and lists every outcome that changes nothing.
func refusals(t *testing.T, s *pgstore.Store) []outcome {
	t.Helper()
	done, running := reservation("done"), reservation("running")
	mustReserve(t, s, done)
	mustComplete(t, s, done, strings.Repeat("body", 300))
	mustReserve(t, s, running)
	lapsed, _ := lapse(t, s, "lapsed")
	unbegun := deferred("unbegun")
	mustReserve(t, s, unbegun)
	if _, err := s.Renew(t.Context(), 0, []semel.Holder{{Key: unbegun.Key, Token: unbegun.Token}}); err != nil {
		t.Fatal(err)
	}
	conflict, conflictDone, conflictLapsed, conflictUnbegun := again(running), again(done), taker(lapsed), taker(unbegun)
	other := semel.FingerprintOf([]byte("another request"))
	for _, r := range []*semel.Reservation{&conflict, &conflictDone, &conflictLapsed, &conflictUnbegun} {
		r.Fingerprint = other
	}
	return []outcome{
		{"replay", again(done), semel.StateCompleted},
		{"replay to a taker", taker(done), semel.StateCompleted},
		{"in flight", again(running), semel.StateReserved},
		{"in flight to a taker", taker(running), semel.StateReserved},
		{"the attempt itself", running, semel.StateReserved},
		{"lapsed and held", again(lapsed), semel.StateReserved},
		{"blameless and held", again(unbegun), semel.StateReserved},
		{"conflict when blameless", conflictUnbegun, semel.StateReserved},
		{"conflict", conflict, semel.StateReserved},
		{"conflict when completed", conflictDone, semel.StateCompleted},
		{"conflict when lapsed", conflictLapsed, semel.StateReserved},
	}
}

// I12: a Reserve that does not get the slot writes not a byte of log and takes no
// transaction id.
func TestRefusalsWriteNothing(t *testing.T) {
	t.Parallel()
	server := servertest.NewPostgres(t, silent...)
	s := fresh(t, server.DSN())
	watch := poolOf(t, server.DSN())
	const state = "SELECT pg_current_wal_insert_lsn()::text || ' ' || pg_snapshot_xmax(pg_current_snapshot())::text"
	for _, o := range refusals(t, s) {
		t.Run(o.name, func(t *testing.T) {
			ask := func() {
				held, err := s.Reserve(t.Context(), o.ask)
				if err != nil || held.State != o.want {
					t.Fatalf("got a %v slot (%v), want a %v one", held.State, err, o.want)
				}
			}
			ask() // the first reader of a page tidies it up
			before := look[string](t, watch, state)
			for range 50 {
				ask()
			}
			if after := look[string](t, watch, state); after != before {
				t.Errorf("got the log and the transaction id at %s, want them still at %s", after, before)
			}
		})
	}
	before := look[string](t, watch, state)
	mustReserve(t, s, reservation("new"))
	if after := look[string](t, watch, state); after == before {
		t.Error("a reservation moved neither: this test sees nothing")
	}
}

// turns counts how often a client begins to send after it has received.
type turns struct{ n atomic.Int64 }

type countingConn struct {
	net.Conn
	turns *turns
	sent  atomic.Bool
}

func (c *countingConn) Write(b []byte) (int, error) {
	if !c.sent.Swap(true) {
		c.turns.n.Add(1)
	}
	return c.Conn.Write(b)
}

func (c *countingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.sent.Store(false)
	return n, err
}

// countingPool has one connection, whose round trips it counts.
func countingPool(t *testing.T, url string) (*pgxpool.Pool, *turns) {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(url + "&pool_max_conns=1")
	if err != nil {
		t.Fatal(err)
	}
	count := new(turns)
	dial := cfg.ConnConfig.DialFunc
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		return &countingConn{Conn: conn, turns: count}, err
	}
	cfg.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false } // a second's rest costs one
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool, count
}

// L2: every outcome of Reserve, and every other step, is one round trip, also
// through a pooler.
func TestOneRoundTrip(t *testing.T) {
	t.Parallel()
	shared := servertest.Postgres(t)
	for name, url := range map[string]string{"direct": shared.DSN(), "pooled": servertest.NewPgBouncer(t, shared).DSN()} {
		t.Run(name, func(t *testing.T) {
			pool, count := countingPool(t, url)
			s, err := pgstore.New(pool, pgstore.Config{Schema: servertest.Name(t), Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			migrate(t, s)
			outcomes := refusals(t, s) // and every statement is known to the connection
			one := func(what string, step func() error) {
				t.Helper()
				before := count.n.Load()
				err := step()
				if got := count.n.Load() - before; err != nil || got != 1 {
					t.Errorf("%s: got %d round trips (%v), want 1", what, got, err)
				}
			}
			for _, o := range outcomes {
				one(o.name, func() error { _, err := s.Reserve(t.Context(), o.ask); return err })
			}
			fresh := reservation("new")
			one("new", func() error { _, err := s.Reserve(t.Context(), fresh); return err })
			one("complete", func() error { return s.Complete(t.Context(), completion(fresh, "body")) })
			one("complete again", func() error { return s.Complete(t.Context(), completion(fresh, "body")) })
			if err := s.Reseal(t.Context(), semel.Holder{Key: fresh.Key}, nil, nil); err == nil { // makes the statement known
				t.Error("sealed what another token has completed")
			}
			one("reseal", func() error {
				return s.Reseal(t.Context(), semel.Holder{Key: fresh.Key, Token: fresh.Token}, []byte("header"), []byte("sealed"))
			})
			lapsed, _ := lapse(t, s, "lapsed anew")
			next := taker(lapsed)
			one("take over", func() error { _, err := s.Reserve(t.Context(), next); return err })
			if err := s.BeginEffects(t.Context(), fresh.Key, next.Token); err == nil { // makes the statement known
				t.Error("began what is not held")
			}
			one("begin effects", func() error { return s.BeginEffects(t.Context(), next.Key, next.Token) })
			one("renew", func() error {
				_, err := s.Renew(t.Context(), next.Lease, []semel.Holder{{Key: next.Key, Token: next.Token}})
				return err
			})
			if err := s.Release(t.Context(), fresh.Key, next.Token); err == nil { // makes the statement known
				t.Error("released what is not held")
			}
			one("release", func() error { return s.Release(t.Context(), next.Key, next.Token) })
		})
	}
}

// A completion touches no index: over nine of ten are heap-only updates.
func TestCompletionsAreHeapOnly(t *testing.T) {
	t.Parallel()
	url := servertest.Postgres(t).DSN()
	watch := poolOf(t, url)
	for _, size := range []int{100, 1000, 1500} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			schema := servertest.Name(t)
			s := opened(t, url, pgstore.Config{Schema: schema})
			migrate(t, s)
			const pairs = 1000
			for i := range pairs {
				r := reservation(fmt.Sprint(i))
				mustReserve(t, s, r)
				mustComplete(t, s, r, strings.Repeat("x", size))
			}
			if err := s.Close(); err != nil { // the server counts when a session ends
				t.Fatal(err)
			}
			table := schema + ".semel_slots"
			const stats = "SELECT n_tup_%s FROM pg_stat_user_tables WHERE relid = $1::regclass"
			eventually(t, "the updates are counted", func() bool {
				return look[int64](t, watch, fmt.Sprintf(stats, "upd"), table) == pairs
			})
			hot := look[int64](t, watch, fmt.Sprintf(stats, "hot_upd"), table)
			t.Logf("%d of %d updates are heap-only", hot, pairs)
			if hot*10 < pairs*9 {
				t.Errorf("got %d of %d heap-only updates, want over 90 %%", hot, pairs)
			}
		})
	}
}
