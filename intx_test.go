package semel_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
)

// modal is what a test in one mode gets.
type modal struct {
	*testing.T
	semel.TxMode
}

// inModes runs a test in virtual time, once for each mode.
func inModes(t *testing.T, test func(in modal)) {
	t.Helper()
	for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
		t.Run(mode.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(modal{t, mode}) })
		})
	}
}

// transfer is business code that pays 10 for the key of its attempt.
type transfer struct {
	runs int
	then func(ctx context.Context) (semel.Ending, error) // after the payment; nil: keep
}

func (b *transfer) run(ctx context.Context) (semel.Ending, error) {
	b.runs++
	if err := cashierOf(ctx).pay(semel.FromContext(ctx).Key(), "alice", "bob", 10); err != nil {
		return semel.Ending{}, err
	}
	if b.then != nil {
		return b.then(ctx)
	}
	return keeps("paid"), nil
}

func (b *transfer) wantRuns(t *testing.T, want int) {
	t.Helper()
	if b.runs != want {
		t.Fatalf("the business code ran %d times, want %d", b.runs, want)
	}
}

func keeps(body string) semel.Ending {
	return semel.Ending{How: semel.Keep, Response: answer(body)}
}

// inTx is a call that must not fail.
func inTx(t *testing.T, e *semel.Engine, c semel.Call, txs semel.Transactions, f func(context.Context) (semel.Ending, error)) semel.TxOutcome {
	t.Helper()
	out, err := e.InTx(t.Context(), c, txs, f)
	if err != nil {
		t.Fatalf("InTx: %v", err)
	}
	if out.Claim != nil {
		t.Fatal("InTx: got a claim, want none")
	}
	return out
}

// wantKept wants that the call itself has committed its response.
func wantKept(t *testing.T, out semel.TxOutcome, want semel.Response) {
	t.Helper()
	wantReplay(t, out.Outcome, want)
	if !out.Ran || out.How != semel.Keep || out.Record.State != semel.StateCompleted || out.Record.Deferred {
		t.Fatalf("got ran %v, %v, a %v record, deferred %v, want a response that this call has kept", out.Ran, out.How, out.Record.State, out.Record.Deferred)
	}
}

// wantElse wants an outcome under which this call has run nothing.
func wantElse(t *testing.T, out semel.TxOutcome, want semel.Kind) {
	t.Helper()
	wantOutcome(t, out.Outcome, want)
	if out.Ran {
		t.Fatal("got ran, want that nothing of this call counts")
	}
}

// I8, I14, I3: writes and response are committed when InTx returns, others see
// neither before, and every retry gets the response.
func TestInTxCommits(t *testing.T) {
	inModes(t, func(in modal) {
		t, mode := in.T, in.TxMode
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		other, s2 := b.teller(t, semel.Config{})
		pay := call("order-1", "x")
		work := &transfer{then: func(ctx context.Context) (semel.Ending, error) {
			b.wantPaid(t, pay.Key, 0)
			for _, m := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
				if m == semel.ClaimTx && mode == semel.SingleTx {
					continue // waits for the insert
				}
				start := time.Now()
				wantElse(t, inTx(t, other, pay, s2.mode(m), (&transfer{}).run), semel.InFlight)
				if got := time.Since(start); got != 0 {
					t.Errorf("a duplicate waited for %v, want no wait", got)
				}
			}
			return keeps("paid"), nil
		}}
		wantKept(t, inTx(t, e, pay, s.mode(mode), work.run), answer("paid"))
		b.wantPaid(t, pay.Key, 1)
		b.wantIdle(t)
		for _, m := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
			again := &transfer{}
			out := inTx(t, other, pay, s2.mode(m), again.run)
			wantElse(t, out, semel.Replay)
			wantReplay(t, out.Outcome, answer("paid"))
			wantElse(t, inTx(t, other, call("order-1", "y"), s2.mode(m), again.run), semel.Conflict)
			again.wantRuns(t, 0)
		}
		wantReplay(t, begin(t, other, pay), answer("paid"))
		b.wantPaid(t, pay.Key, 1)
		if got := s.count(semel.StepRelease) + s.count(semel.StepAbandon) + s.count(semel.StepComplete); got != 0 {
			t.Errorf("got %d steps beside the transaction, want none", got)
		}
	})
}

// The attempt belongs to the business code as any other: its claim, a context that
// outlives the client, and MaxRun as its deadline.
func TestInTxGivesTheAttempt(t *testing.T) {
	inModes(t, func(in modal) {
		t, mode := in.T, in.TxMode
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		client, leave := cancellable(t)
		client = context.WithValue(client, valueKey{}, "trace")
		var inner []context.Context
		start := time.Now()
		out, err := e.InTx(client, call("order-1", "x"), s.mode(mode), func(ctx context.Context) (semel.Ending, error) {
			inner = append(inner, ctx)
			c := semel.FromContext(ctx)
			if c.Key() != call("order-1", "x").Key || c.Attempt() != 1 || c.Fence() == 0 || c.Token() == (semel.Token{}) || c.Fingerprint() != call("order-1", "x").Fingerprint {
				t.Errorf("got claim %v of attempt %d", c, c.Attempt())
			}
			if how, ok := c.Settled(); how != semel.Unknown || ok {
				t.Errorf("got settled %v, want an open claim", how)
			}
			if d, ok := ctx.Deadline(); !ok || d.Sub(start) != semel.DefaultMaxRun {
				t.Errorf("got deadline %v, want %v", d.Sub(start), semel.DefaultMaxRun)
			}
			if ctx.Value(valueKey{}) != "trace" {
				t.Error("the caller's values are lost")
			}
			leave()
			if ctx.Err() != nil {
				t.Errorf("the context ended with the client's: %v", context.Cause(ctx))
			}
			return keeps("paid"), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		wantKept(t, out, answer("paid"))
		if inner[0].Err() == nil {
			t.Error("the attempt's context goes on, want its end")
		}
		if err := cashierOf(inner[0]).order("late"); !errors.Is(err, semel.ErrTxOver) {
			t.Errorf("got %v of a handle after the attempt, want ErrTxOver", err)
		}

		_, err = e.InTx(client, call("order-2", "x"), s.mode(mode), (&transfer{}).run) // has left before
		wantError(t, err, context.Canceled)
		if got := b.look(call("order-2", "x").Key); got.Fence != 0 {
			t.Errorf("got a %v slot, want no trace", got.State)
		}
	})
}

// Free rolls back and frees the key at once, also for another payload.
func TestInTxFrees(t *testing.T) {
	inModes(t, func(in modal) {
		t, mode := in.T, in.TxMode
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		work := &transfer{then: func(context.Context) (semel.Ending, error) { return semel.Ending{How: semel.Free}, nil }}
		out := inTx(t, e, call("order-1", "x"), s.mode(mode), work.run)
		wantOutcome(t, out.Outcome, semel.Reserved)
		if !out.Ran || out.How != semel.Free {
			t.Errorf("got ran %v, %v, want that it ran and freed", out.Ran, out.How)
		}
		b.wantIdle(t)
		b.wantPaid(t, call("order-1", "x").Key, 0)
		if got := b.look(call("order-1", "x").Key); got.State != semel.StateFree {
			t.Errorf("got a %v slot, want it free", got.State)
		}
		wantKept(t, inTx(t, e, call("order-1", "y"), s.mode(mode), (&transfer{}).run), answer("paid"))
	})
}

// Unknown, and whatever is no disposition, rolls back and holds the key in claim mode;
// the next attempt runs at once under every policy, as nothing has happened (I7).
func TestInTxHolds(t *testing.T) {
	for _, how := range []semel.Disposition{semel.Unknown, semel.Free + 1} {
		inModes(t, func(in modal) {
			t, mode := in.T, in.TxMode
			b := newBank(t)
			e, s := b.teller(t, semel.Config{})
			work := &transfer{then: func(context.Context) (semel.Ending, error) { return semel.Ending{How: how}, nil }}
			out := inTx(t, e, call("order-1", "x"), s.mode(mode), work.run)
			if !out.Ran || out.How != how || out.Kind != semel.Reserved {
				t.Errorf("got %v, ran %v, %v", out.Kind, out.Ran, out.How)
			}
			b.wantPaid(t, call("order-1", "x").Key, 0)
			if held := b.look(call("order-1", "x").Key); mode == semel.ClaimTx && (!held.Lapsed || !held.Blameless()) {
				t.Errorf("got %+v, want a lapsed attempt that is blameless", held)
			}
			if mode == semel.ClaimTx {
				wantElse(t, inTx(t, e, call("order-1", "y"), s.mode(mode), (&transfer{}).run), semel.Conflict)
			}
			again := inTx(t, e, call("order-1", "x"), s.mode(mode), (&transfer{}).run)
			wantKept(t, again, answer("paid"))
			if again.Record.Lapses != 0 {
				t.Errorf("got %d lapses, want none", again.Record.Lapses)
			}
		})
	}
}

// An error of the business code rolls back, frees the key and is returned as it is,
// whatever it wraps: it may come from another attempt of another slot.
func TestInTxReturnsTheError(t *testing.T) {
	for _, err := range []error{
		errors.New("no such account"),
		fmt.Errorf("at the provider: %w", semel.ErrLost),
		fmt.Errorf("at the provider: %w", semel.ErrCommitUnknown),
		fmt.Errorf("at the provider: %w", semel.ErrTimeout),
		errors.Join(semel.ErrTxBusy, semel.ErrClosed),
	} {
		inModes(t, func(in modal) {
			t, mode := in.T, in.TxMode
			b := newBank(t)
			e, s := b.teller(t, semel.Config{})
			work := &transfer{then: func(context.Context) (semel.Ending, error) { return keeps("not kept"), err }}
			out, got := e.InTx(t.Context(), call("order-1", "x"), s.mode(mode), work.run)
			if got != err || out.Ran || out.Kind != 0 { //nolint:errorlint // the very same
				t.Errorf("got %v, ran %v, error %v, want nothing but %v", out.Kind, out.Ran, got, err)
			}
			work.wantRuns(t, 1)
			b.wantIdle(t)
			b.wantPaid(t, call("order-1", "x").Key, 0)
			wantKept(t, inTx(t, e, call("order-1", "y"), s.mode(mode), (&transfer{}).run), answer("paid"))
		})
	}
}

// The release that belongs to an error fails too: both are told, and the background
// frees the key.
func TestInTxErrorWhileTheStoreIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		refused := errors.New("no such account")
		work := &transfer{then: func(context.Context) (semel.Ending, error) { s.cut(); return semel.Ending{}, refused }}
		_, err := e.InTx(t.Context(), call("order-1", "x"), s.mode(semel.ClaimTx), work.run)
		wantError(t, err, refused)
		wantStoreError(t, err, semel.StepRelease, errCut)
		s.heal()
		time.Sleep(time.Minute)
		wantKept(t, inTx(t, e, call("order-1", "y"), s.mode(semel.ClaimTx), (&transfer{}).run), answer("paid"))
	})
}

// A panic, or the end of the goroutine, rolls back; the key runs again at once, under
// Hold too, and what was thrown is not lost.
func TestInTxWithoutReturn(t *testing.T) {
	for name, how := range map[string]func(){"panic": func() { panic("in the business code") }, "goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			inModes(t, func(in modal) {
				t, mode := in.T, in.TxMode
				b := newBank(t)
				e, s := b.teller(t, semel.Config{})
				var inner []context.Context
				ended := make(chan any)
				go func() {
					defer func() { ended <- recover() }()
					_, _ = e.InTx(t.Context(), call("order-1", "x"), s.mode(mode), (&transfer{then: func(ctx context.Context) (semel.Ending, error) {
						inner = append(inner, ctx)
						how()
						return keeps("never"), nil
					}}).run)
					t.Error("InTx returned, want it to end as the business code did")
				}()
				if got := <-ended; (name == "panic") != (got == "in the business code") {
					t.Errorf("got panic %v", got)
				}
				b.wantIdle(t)
				b.wantPaid(t, call("order-1", "x").Key, 0)
				if inner[0].Err() == nil {
					t.Error("the attempt's context goes on, want its end")
				}
				wantKept(t, inTx(t, e, call("order-1", "x"), s.mode(mode), (&transfer{}).run), answer("paid"))
			})
		})
	}
}
