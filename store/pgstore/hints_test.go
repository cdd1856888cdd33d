package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/pgstore"
	"github.com/semel-go/semel/store/storetest"
)

// hinting is an engine with hints, and counts the waits that a hint has ended.
type hinting struct {
	*semel.Engine
	woken atomic.Int64
}

func newHinting(t *testing.T, s semel.Store) *hinting {
	t.Helper()
	h := new(hinting)
	var err error
	h.Engine, err = semel.New(s, semel.Config{Logger: quiet, Hints: true, Observe: func(ctx context.Context, op semel.Op) (context.Context, func(semel.Event)) {
		return ctx, func(ev semel.Event) {
			if op.Step == semel.StepWait && ev.Woke == semel.WakeHint {
				h.woken.Add(1)
			}
		}
	}})
	must(t, err)
	t.Cleanup(func() { must(t, h.Close(context.WithoutCancel(t.Context()))) })
	return h
}

// hears waits until the engine listens.
func (h *hinting) hears(t *testing.T) {
	t.Helper()
	out, err := h.Begin(t.Context(), semel.Call{Key: semel.Key{Scope: "t", ID: rnd()}})
	must(t, err)
	must(t, out.Claim.Release(t.Context()))
	eventually(t, "it hears", h.Hearing)
}

func rnd() string { return semel.NewToken().String() }

// begins is a call that waits in h.
func (h *hinting) begins(t *testing.T) func(semel.Call) {
	t.Helper()
	return func(call semel.Call) {
		out, err := h.Begin(context.WithoutCancel(t.Context()), call)
		if err == nil && out.Claim != nil {
			err = out.Claim.Release(context.WithoutCancel(t.Context()))
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// wokenBy repeats: run runs an attempt elsewhere, for which waits waits in h meanwhile. It
// returns when a hint has ended a wait: a poll may be faster, but not each time.
func (h *hinting) wokenBy(t *testing.T, what string, waits func(semel.Call), run func(t *testing.T, call semel.Call, meanwhile func())) {
	t.Helper()
	before := h.woken.Load()
	for try := 0; h.woken.Load() == before; try++ {
		if try == 30 {
			t.Errorf("%s: no hint has ended any of %d waits", what, try)
			return
		}
		call := semel.Call{Key: semel.Key{Scope: "t", ID: rnd()}}
		var waiter sync.WaitGroup
		run(t, call, func() {
			call.Wait = semel.MaxWait
			waiter.Go(func() { waits(call) })
			time.Sleep(300 * time.Millisecond) // polls have become rare
		})
		waiter.Wait()
	}
}

var paid = semel.Response{Status: 200, Body: []byte("paid")}

// L3, I8: who waits in another process is told when the attempt has ended: with a response, with
// nothing, by a transaction of either mode.
func TestHintsWake(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	other := opened(t, servertest.Postgres(t).DSN(), pgstore.Config{Schema: l.schema})
	here, there := newHinting(t, l.Store), newHinting(t, other)
	here.hears(t)
	there.hears(t)
	claim := func(t *testing.T, call semel.Call) *semel.Claim {
		t.Helper()
		out, err := here.Begin(t.Context(), call)
		must(t, err)
		return out.Claim
	}
	there.wokenBy(t, "completed", there.begins(t), func(t *testing.T, call semel.Call, meanwhile func()) {
		t.Helper()
		c := claim(t, call)
		meanwhile()
		must(t, c.Complete(t.Context(), paid))
	})
	there.wokenBy(t, "released", there.begins(t), func(t *testing.T, call semel.Call, meanwhile func()) {
		t.Helper()
		c := claim(t, call)
		meanwhile()
		must(t, c.Release(t.Context()))
	})
	for _, mode := range []semel.TxMode{semel.SingleTx, semel.ClaimTx} {
		txs, others := l.Transactions(pgstore.TxConfig{Mode: mode}), other.Transactions(pgstore.TxConfig{Mode: mode})
		there.wokenBy(t, mode.String(), func(call semel.Call) {
			_, err := there.InTx(context.WithoutCancel(t.Context()), call, others, func(context.Context) (semel.Ending, error) {
				return semel.Ending{}, errors.New("it runs twice")
			})
			if err != nil {
				t.Error(err)
			}
		}, func(t *testing.T, call semel.Call, meanwhile func()) {
			t.Helper()
			_, err := here.InTx(t.Context(), call, txs, func(context.Context) (semel.Ending, error) {
				meanwhile()
				return semel.Ending{How: semel.Keep, Response: paid}, nil
			})
			must(t, err)
		})
	}
}

// L3: when the connection that listens is cut, waits are served by polls, and it comes back.
func TestHintsComeBack(t *testing.T) {
	t.Parallel()
	server := servertest.Postgres(t)
	name := servertest.Name(t)
	s := opened(t, server.DSN()+"&application_name="+name, pgstore.Config{Schema: name})
	migrate(t, s)
	here, there := newHinting(t, s), newHinting(t, s)
	here.hears(t)
	there.hears(t)
	pool := poolOf(t, server.DSN())
	completes := func(t *testing.T, call semel.Call, meanwhile func()) {
		t.Helper()
		out, err := here.Begin(t.Context(), call)
		must(t, err)
		meanwhile()
		must(t, out.Claim.Complete(t.Context(), paid))
	}
	for range 3 {
		cut := look[int](t, pool, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND application_name = $1`, name)
		if cut != 2 {
			t.Fatalf("%d connections listened, want 2", cut)
		}
		call := semel.Call{Key: semel.Key{Scope: "t", ID: rnd()}}
		done := make(chan semel.Outcome, 1)
		completes(t, call, func() {
			call.Wait = semel.MaxWait
			go func() {
				out, err := there.Begin(context.WithoutCancel(t.Context()), call)
				if err != nil {
					t.Error(err)
				}
				done <- out
			}()
			eventually(t, "it waits", func() bool { return there.Waiting() == 1 })
		})
		if out := <-done; out.Kind != semel.Replay {
			t.Errorf("got %v, want a replay", out.Kind)
		}
		eventually(t, "both hear again", func() bool { return here.Hearing() && there.Hearing() })
		there.wokenBy(t, "after the cut", there.begins(t), completes)
	}
}

// Through a pooler nobody listens, unless he is told the way to the server itself; sending is
// no trouble.
func TestListenThroughAPooler(t *testing.T) {
	t.Parallel()
	server := servertest.Postgres(t)
	pooler := servertest.NewPgBouncer(t, server).DSN()
	schema := servertest.Name(t)
	migrate(t, opened(t, server.DSN(), pgstore.Config{Schema: schema}))
	s := opened(t, pooler, pgstore.Config{Schema: schema})
	err := s.Listen(t.Context(), func() { t.Error("it is ready") }, func(string) {})
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "Config.ListenURL") {
		t.Fatalf("got %v, want that it cannot, and what helps", err)
	}

	direct := opened(t, pooler, pgstore.Config{Schema: schema, ListenURL: server.DSN()})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	heard := make(chan string, 1)
	done := make(chan error, 1)
	go func() {
		done <- direct.Listen(ctx, func() { must(t, s.Send(ctx, "it's \"1\" \\ text")) }, func(text string) { heard <- text })
	}()
	if got := <-heard; got != "it's \"1\" \\ text" {
		t.Errorf("got %q", got)
	}
	stop()
	<-done
	if _, err := pgstore.Open(t.Context(), pooler, pgstore.Config{ListenURL: "host=elsewhere password=secret"}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v for a ListenURL that is none, want an error without it", err)
	}
}

// Stores of other tables hear nothing of each other.
func TestMessagesStayWithTheirTable(t *testing.T) {
	t.Parallel()
	server := servertest.Postgres(t)
	one, two := fresh(t, server.DSN()), opened(t, server.DSN(), pgstore.Config{Schema: servertest.Name(t) + "_2"})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	heard := make(chan string, 9)
	done := make(chan error, 1)
	go func() {
		done <- one.Listen(ctx, func() {
			must(t, two.Send(ctx, "of two"))
			must(t, one.Send(ctx, "of one"))
		}, func(text string) { heard <- text })
	}()
	if got := <-heard; got != "of one" {
		t.Errorf("got %q, want what its own table was told", got)
	}
	stop()
	<-done
}

// What a pool does before each connection is done for the one that listens too.
func TestListenAsThePoolConnects(t *testing.T) {
	t.Parallel()
	server := servertest.Postgres(t)
	u, err := url.Parse(server.DSN())
	must(t, err)
	right := u.User
	pc, err := pgxpool.ParseConfig(server.DSN())
	must(t, err)
	pc.ConnConfig.User = "nobody_" + fmt.Sprint(time.Now().UnixNano())
	pc.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error { // as where passwords rotate
		c.User = right.Username()
		return nil
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), pc)
	must(t, err)
	t.Cleanup(pool.Close)
	s, err := pgstore.New(pool, pgstore.Config{Schema: servertest.Name(t), Logger: quiet})
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	if err := s.Listen(ctx, stop, func(string) {}); ctx.Err() == nil {
		t.Errorf("it never listened: %v", err)
	}
}

// go test -run '^$' -bench Hints -benchtime 30x.
func BenchmarkHints(b *testing.B) {
	server := servertest.NewPostgres(b)
	here, there := opened(b, server.DSN(), pgstore.Config{}), opened(b, server.DSN(), pgstore.Config{})
	migrate(b, here)
	storetest.BenchmarkHints(b, here, there)
}
