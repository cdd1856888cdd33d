package semel_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
)

// A lapsed attempt of claim mode had no effect, so both modes run at once, under every
// policy and without asking anybody; no outcome is unknown (I7, I8).
func TestInTxAfterALapsedAttempt(t *testing.T) {
	hook := &asking{answer: says(semel.Recovery{})}
	for name, cfg := range map[string]semel.Config{"hold": {}, "rerun": {Lapsed: semel.Rerun}, "recover": hook.config()} {
		t.Run(name, func(t *testing.T) {
			inModes(t, func(in modal) {
				t, mode := in.T, in.TxMode
				b := newBank(t)
				e, s := b.teller(t, semel.Config{})
				s.tx.set(once("commit", func() error { s.die(); return errBroken }), nil)
				_, err := e.InTx(t.Context(), call("order-1", "x"), s.mode(semel.ClaimTx), (&transfer{}).run)
				if err == nil {
					t.Fatal("got no error of a process that is dead")
				}
				next, s2 := b.teller(t, cfg)
				wantElse(t, inTx(t, next, call("order-1", "x"), s2.mode(mode), (&transfer{}).run), semel.InFlight)
				time.Sleep(lapse)
				wantElse(t, inTx(t, next, call("order-1", "y"), s2.mode(mode), (&transfer{}).run), semel.Conflict)
				out := inTx(t, next, call("order-1", "x"), s2.mode(mode), (&transfer{}).run)
				wantKept(t, out, answer("paid"))
				if out.Record.Lapses != 0 || out.Record.Attempts != 2 {
					t.Errorf("got %d lapses in attempt %d, want none in the second", out.Record.Lapses, out.Record.Attempts)
				}
				hook.wantTimes(t, 0)
				b.wantPaid(t, call("order-1", "x").Key, 1)
			})
		})
	}
}

// I7: an attempt that may have had effects elsewhere has lapsed. In a transaction too
// only the policy lets anybody run after it.
func TestInTxAfterAnUnknownOutcome(t *testing.T) {
	for name, tt := range map[string]struct {
		policy semel.Policy
		found  semel.Recovery
		want   func(t *testing.T, out semel.TxOutcome)
		runs   int
	}{
		"hold": {
			policy: semel.Hold, want: func(t *testing.T, out semel.TxOutcome) { t.Helper(); wantUnknown(t, out.Outcome) },
		},
		"rerun": {
			policy: semel.Rerun, runs: 1, want: func(t *testing.T, out semel.TxOutcome) { t.Helper(); wantKept(t, out, answer("paid")) },
		},
		"recover, executed": {
			policy: semel.Recover, found: semel.Recovery{Verdict: semel.Executed, Response: answer("found")},
			want: func(t *testing.T, out semel.TxOutcome) {
				t.Helper()
				wantElse(t, out, semel.Replay)
				wantReplay(t, out.Outcome, answer("found"))
			},
		},
		"recover, not executed": {
			policy: semel.Recover, found: semel.Recovery{Verdict: semel.NotExecuted}, runs: 1,
			want: func(t *testing.T, out semel.TxOutcome) { t.Helper(); wantKept(t, out, answer("paid")) },
		},
		"recover, unknown": {
			policy: semel.Recover, want: func(t *testing.T, out semel.TxOutcome) { t.Helper(); wantUnknown(t, out.Outcome) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			inModes(t, func(in modal) {
				t, mode := in.T, in.TxMode
				b := newBank(t)
				crashed(t, b, call("order-1", "x"))
				time.Sleep(lapse)
				e, s := b.teller(t, semel.Config{})
				c := call("order-1", "x")
				c.Lapsed = tt.policy
				asked := 0
				if tt.policy == semel.Recover {
					c.Recover = func(context.Context, semel.Record) (semel.Recovery, error) { asked++; return tt.found, nil }
				}
				work := &transfer{}
				tt.want(t, inTx(t, e, c, s.mode(mode), work.run))
				work.wantRuns(t, tt.runs)
				if want := map[bool]int{true: 1}[tt.policy == semel.Recover]; asked != want {
					t.Errorf("the hook was asked %d times, want %d", asked, want)
				}
				b.wantIdle(t)
			})
		})
	}
}

// I7: a process dies after the hook has said that nothing was executed. The question
// stays open, whatever the transaction of the dead one would have done.
func TestInTxDiesAfterARecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		crashed(t, b, call("order-1", "x"))
		time.Sleep(lapse)
		hook := &asking{answer: says(semel.Recovery{Verdict: semel.NotExecuted})}
		e, s := b.teller(t, hook.config())
		s.tx.set(once("commit", func() error { s.die(); return errBroken }), nil)
		_, err := e.InTx(t.Context(), call("order-1", "x"), s.mode(semel.ClaimTx), (&transfer{}).run)
		if err == nil {
			t.Fatal("got no error of a process that is dead")
		}
		time.Sleep(lapse)
		holds, s2 := b.teller(t, semel.Config{})
		wantUnknown(t, inTx(t, holds, call("order-1", "x"), s2.mode(semel.ClaimTx), (&transfer{}).run).Outcome)
		asks, s3 := b.teller(t, hook.config())
		wantKept(t, inTx(t, asks, call("order-1", "x"), s3.mode(semel.ClaimTx), (&transfer{}).run), answer("paid"))
		hook.wantTimes(t, 2)
	})
}

// An attempt outside transactions runs: both modes are told so, and wait for nothing.
func TestInTxBesideAPlainAttempt(t *testing.T) {
	inModes(t, func(in modal) {
		t, mode := in.T, in.TxMode
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		start := time.Now()
		wantElse(t, inTx(t, e, call("order-1", "x"), s.mode(mode), (&transfer{}).run), semel.InFlight)
		if got := time.Since(start); got != 0 {
			t.Errorf("it took %v, want no wait", got)
		}
		complete(t, c, answer("by hand"))
		wantReplay(t, inTx(t, e, call("order-1", "x"), s.mode(mode), (&transfer{}).run).Outcome, answer("by hand"))
		time.Sleep(semel.DefaultRetention)
		wantKept(t, inTx(t, e, call("order-1", "y"), s.mode(mode), (&transfer{}).run), answer("paid")) // it is over
	})
}

// A store whose transaction answers nonsense fails, and nobody runs.
func TestInTxNonsenseOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		work := &transfer{}
		_, err := e.InTx(t.Context(), call("order-1", "x"), oddBegins{s.mode(semel.SingleTx)}, work.run)
		var failed *semel.StoreError
		if !errors.As(err, &failed) || failed.Step != semel.StepReserve {
			t.Fatalf("got %v, want a StoreError", err)
		}
		work.wantRuns(t, 0)
		b.wantIdle(t)
	})
}

type oddBegins struct{ semel.Transactions }

func (o oddBegins) Begin(ctx context.Context) (semel.Transaction, error) {
	x, err := o.Transactions.Begin(ctx)
	return oddTx{x}, err
}

type oddTx struct{ semel.Transaction }

func (o oddTx) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	held, err := o.Transaction.Reserve(ctx, r)
	held.State = semel.StateFree
	return held, err
}

// What one try was told by Settle is forgotten in the next.
func TestInTxForgetsTheWish(t *testing.T) {
	inModes(t, func(in modal) {
		t, mode := in.T, in.TxMode
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		s.tx.set(once("complete", func() error { return errSerialize }), nil)
		work := &transfer{}
		work.then = func(ctx context.Context) (semel.Ending, error) {
			c := semel.FromContext(ctx)
			if how, ok := c.Settlement(); ok {
				t.Errorf("run %d begins with the wish %v, want none", work.runs, how)
			}
			if work.runs == 1 {
				c.Settle(semel.Free)
			}
			return keeps("paid"), nil
		}
		wantKept(t, inTx(t, e, call("order-1", "x"), s.mode(mode), work.run), answer("paid"))
		work.wantRuns(t, 2)
	})
}
