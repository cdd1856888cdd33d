package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
)

// engine is one on the ledger's store.
func (l *ledger) engine(t *testing.T, cfg semel.Config) *semel.Engine {
	t.Helper()
	cfg.Logger = quiet
	e, err := semel.New(l.Store, cfg)
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := e.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return e
}

// order pays for the key of call, once, and tells how often it was tried.
func (l *ledger) order(ctx context.Context, e *semel.Engine, call semel.Call, txs semel.Transactions) (semel.Result[string], error) {
	return semel.DoTx(ctx, e, call, txs, func(ctx context.Context) (string, error) {
		token := semel.FromContext(ctx).Token().String()
		return token, execIn(ctx, "INSERT INTO "+l.schema+".payments (id, by) VALUES ($1, $2)", call.Key.ID, token)
	})
}

func callOf(id string) semel.Call {
	r := reservation(id)
	return semel.Call{Key: r.Key, Fingerprint: r.Fingerprint}
}

// untilAnswered orders the way a client does that never gives up.
func (l *ledger) untilAnswered(t *testing.T, e *semel.Engine, call semel.Call, txs semel.Transactions) (value string) {
	t.Helper()
	var last error
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		res, err := l.order(t.Context(), e, call, txs)
		if err == nil {
			return res.Value
		}
		last = err
	}
	t.Errorf("no answer in two minutes: %v", last)
	return ""
}

// wantOne checks I3 and I8 at the end: one effect of each key, and it is the one that
// all were told of.
func (l *ledger) wantOne(t *testing.T, id string, answers ...string) {
	t.Helper()
	if n := l.paid(t, id); n != 1 {
		t.Fatalf("got %d effects of %s, want 1", n, id)
	}
	by := look[string](t, l.watch, "SELECT by FROM "+l.schema+".payments WHERE id = $1", id)
	for _, a := range answers {
		if a != by {
			t.Errorf("got an answer of %s, want that of %s, which has the effect", a, by)
		}
	}
}

// I1, I3, I8: many clients with one key get one answer, of the attempt whose effect is
// there.
func TestDoTx(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	e := l.engine(t, semel.Config{})
	for _, c := range append(l.settings(), l.sqlSettings(t)...) {
		t.Run(c.name, func(t *testing.T) {
			for round := range 3 {
				call := callOf(fmt.Sprint(c.name, round))
				var answers [8]string
				var wg sync.WaitGroup
				for i := range answers {
					wg.Go(func() { answers[i] = l.untilAnswered(t, e, call, c.txs) })
				}
				wg.Wait()
				l.wantOne(t, call.Key.ID, answers[:]...)
			}
		})
	}
}

// I8: the answer to a commit is lost, and the caller gets the response nevertheless,
// which is that of the effect.
func TestDoTxWithALostAnswer(t *testing.T) {
	t.Parallel()
	_, l, link := linked(t, servertest.Postgres(t))
	var arm atomic.Bool
	e := l.engine(t, semel.Config{Observe: func(ctx context.Context, op semel.Op) (context.Context, func(semel.Event)) {
		if op.Step == semel.StepCommit && arm.Swap(false) {
			var once atomic.Bool
			link.DropReplies(func() bool { return !once.Swap(true) })
		}
		return ctx, nil
	}})
	for _, c := range append(l.settings(), l.sqlSettings(t)...) {
		t.Run(c.name, func(t *testing.T) {
			call := callOf(servertest.Name(t))
			arm.Store(true)
			res, err := l.order(t.Context(), e, call, c.txs)
			link.DropReplies(nil)
			if err != nil || res.Replayed || arm.Load() {
				t.Fatalf("got %+v (%v), want the answer of the commit that was looked up", res, err)
			}
			l.wantOne(t, call.Key.ID, res.Value)
		})
	}
}

// I3, I8, L4: connections and servers die in the middle of everything, and in the end each
// key has one effect, which its client was told of.
func TestDoTxInAStorm(t *testing.T) {
	t.Parallel()
	server := servertest.NewPostgres(t)
	l := newLedger(t, server.DSN())
	e := l.engine(t, semel.Config{Lease: time.Second, Margin: -1})
	var stop atomic.Bool
	var mu sync.Mutex
	answers := make(map[string]string)
	var wg sync.WaitGroup
	for i, c := range append(l.settings(), l.sqlSettings(t)...) {
		wg.Go(func() {
			for n := 0; !stop.Load(); n++ {
				call := callOf(fmt.Sprint(i, " ", n))
				value := l.untilAnswered(t, e, call, c.txs)
				mu.Lock()
				answers[call.Key.ID] = value
				mu.Unlock()
			}
		})
	}
	for round := range 3 {
		for range 10 {
			time.Sleep(20 * time.Millisecond)
			_, _ = l.watch.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' AND random() < 0.3`)
		}
		if round < 2 {
			server.Restart(t)
		}
	}
	stop.Store(true)
	wg.Wait()
	for id, value := range answers {
		l.wantOne(t, id, value)
	}
	if n := look[int](t, l.watch, "SELECT count(*) FROM "+l.schema+".payments"); n != len(answers) {
		t.Errorf("got %d effects of %d requests", n, len(answers))
	}
	t.Logf("%d requests", len(answers))
}

// An error of the business code rolls back, and its key is free: nothing is held
// that nobody could resolve.
func TestDoTxFails(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	e := l.engine(t, semel.Config{})
	no := errors.New("no")
	for _, c := range append(l.settings(), l.sqlSettings(t)...) {
		call := callOf(servertest.Name(t))
		_, err := semel.DoTx(t.Context(), e, call, c.txs, func(ctx context.Context) (string, error) {
			return "", errors.Join(execIn(ctx, l.insert(), call.Key.ID), no)
		})
		if !errors.Is(err, no) {
			t.Errorf("%s: got %v, want the error of the business code", c.name, err)
		}
		func() {
			defer func() { _ = recover() }()
			_, _ = semel.DoTx(t.Context(), e, call, c.txs, func(ctx context.Context) (string, error) {
				must(t, execIn(ctx, l.insert(), call.Key.ID))
				panic("no")
			})
		}()
		if n := l.paid(t, call.Key.ID); n != 0 {
			t.Errorf("%s: got %d effects of what failed", c.name, n)
		}
		l.wantOne(t, call.Key.ID, l.untilAnswered(t, e, call, c.txs))
	}
}

// I7, I8: business code that commits behind the handle's back has an effect without a
// record, also when it begins another transaction at once, so that the connection looks
// as if nothing had happened. The outcome is held as unknown: the next attempt does not
// run.
func TestDoTxCommitsBehindOurBack(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	e := l.engine(t, semel.Config{Lease: time.Second, Margin: -1})
	for _, c := range append(l.settings(), l.sqlSettings(t)...) {
		for _, by := range []string{"COMMIT", "COMMIT; BEGIN", "COMMIT AND CHAIN"} {
			call := callOf(servertest.Name(t))
			_, err := semel.DoTx(t.Context(), e, call, c.txs, func(ctx context.Context) (string, error) {
				return "", execIn(ctx, "INSERT INTO "+l.schema+".payments (id) VALUES ('"+call.Key.ID+"'); "+by)
			})
			if !errors.Is(err, semel.ErrTxEnded) {
				t.Errorf("%s, %s: got %v, want ErrTxEnded", c.name, by, err)
			}
			t.Run(c.name+", "+by, func(t *testing.T) {
				t.Parallel()
				l.wantUnknown(t, e, call, c.txs)
			})
		}
	}
}

// wantUnknown checks that an effect without a record makes its key one that waits for an
// answer.
func (l *ledger) wantUnknown(t *testing.T, e *semel.Engine, call semel.Call, txs semel.Transactions) {
	t.Helper()
	eventually(t, "it lapses", func() bool {
		_, err := l.order(t.Context(), e, call, txs)
		if err == nil {
			t.Fatal("the next attempt has run")
		}
		return errors.Is(err, semel.ErrOutcomeUnknown)
	})
	if n := l.paid(t, call.Key.ID); n != 1 {
		t.Errorf("got %d effects, want the one that was committed", n)
	}
}
