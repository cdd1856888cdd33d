package semel_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/semel-go/semel"
)

// I8: fn's value and its writes are kept together, and given to every later call.
func TestDoTx(t *testing.T) {
	inModes(t, func(in modal) {
		t, mode := in.T, in.TxMode
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		lostCommit(s, false)
		var runs uint64
		fn := func(ctx context.Context) (receipt, error) {
			runs++
			return receipt{ID: runs}, cashierOf(ctx).pay(semel.FromContext(ctx).Key(), "alice", "bob", 10)
		}
		for i := range 3 {
			got, err := semel.DoTx(t.Context(), e, call("order-1", "x"), s.mode(mode), fn)
			if err != nil || got.Value.ID != 2 || got.Replayed != (i > 0) || got.NotStored {
				t.Fatalf("call %d: got %+v, %v, want the value of the second run", i, got, err)
			}
		}
		if runs != 2 { // the first was rolled back
			t.Errorf("fn ran %d times, want 2", runs)
		}
		b.wantPaid(t, call("order-1", "x").Key, 1)
		got, err := semel.Do(t.Context(), e, call("order-1", "x"), func(context.Context) (receipt, error) { return receipt{}, nil })
		if err != nil || got.Value.ID != 2 || !got.Replayed { // one kind of record
			t.Errorf("got %+v, %v from Do, want the same value", got, err)
		}
	})
}

// An error of fn, a value that cannot be kept and a panic roll back, and the key is not
// held: nothing has happened.
func TestDoTxRollsBack(t *testing.T) {
	for name, fn := range map[string]func() (any, error){
		"error":              func() (any, error) { return nil, errDeclined },
		"error with a value": func() (any, error) { return 42, fmt.Errorf("%w: %w", errDeclined, semel.ErrLost) },
		"retryable":          func() (any, error) { return nil, semel.Retryable(errDeclined) },
		"not JSON":           func() (any, error) { return make(chan int), nil },
		"panic":              func() (any, error) { panic(errDeclined) },
	} {
		t.Run(name, func(t *testing.T) {
			inModes(t, func(in modal) {
				t, mode := in.T, in.TxMode
				b := newBank(t)
				e, s := b.teller(t, semel.Config{})
				func() {
					defer func() {
						if got := recover(); (got != nil) != (name == "panic") {
							t.Errorf("got panic %v", got)
						}
					}()
					got, err := semel.DoTx(t.Context(), e, call("order-1", "x"), s.mode(mode), func(ctx context.Context) (any, error) {
						if err := cashierOf(ctx).pay(call("order-1", "x").Key, "alice", "bob", 10); err != nil {
							return nil, err
						}
						return fn()
					})
					if err == nil || got != (semel.Result[any]{}) || name != "not JSON" && !errors.Is(err, errDeclined) {
						t.Errorf("got %+v, %v, want an error and nothing else", got, err)
					}
				}()
				b.wantIdle(t)
				b.wantPaid(t, call("order-1", "x").Key, 0)
				next, err := semel.DoTx(t.Context(), e, call("order-1", "x"), s.mode(mode), func(context.Context) (int, error) { return 7, nil })
				if err != nil || next.Value != 7 || next.Replayed {
					t.Errorf("got %+v, %v, want that the next call runs", next, err)
				}
			})
		})
	}
}

// I8: what fn has told its claim rolls back, and frees the key or holds it: there is no value
// then, whatever fn has returned. Keep keeps no error.
func TestDoTxSettles(t *testing.T) {
	for _, how := range []semel.Disposition{semel.Free, semel.Unknown, semel.Keep} {
		for _, failure := range []error{nil, errDeclined} {
			t.Run(fmt.Sprint(how, " ", failure), func(t *testing.T) {
				inModes(t, func(in modal) {
					t, mode := in.T, in.TxMode
					b := newBank(t)
					e, s := b.teller(t, semel.Config{})
					c := call("order-1", "x")
					got, err := semel.DoTx(t.Context(), e, c, s.mode(mode), func(ctx context.Context) (int, error) {
						semel.FromContext(ctx).Settle(how)
						return 5, errors.Join(cashierOf(ctx).pay(c.Key, "alice", "bob", 10), failure)
					})
					if how == semel.Keep && failure == nil {
						if err != nil || got.Value != 5 {
							t.Errorf("got %+v, %v, want the value", got, err)
						}
						b.wantPaid(t, c.Key, 1)
						return
					}
					if got != (semel.Result[int]{}) || !errors.Is(err, cmp.Or(failure, semel.ErrTxSettled)) {
						t.Errorf("got %+v, %v, want %v", got, err, cmp.Or(failure, semel.ErrTxSettled))
					}
					b.wantIdle(t)
					b.wantPaid(t, c.Key, 0)
					held := b.look(c.Key)
					if lapsed := held.State == semel.StateReserved; lapsed != (how == semel.Unknown && mode == semel.ClaimTx) {
						t.Errorf("got a %v slot", held.State)
					}
					next, err := semel.DoTx(t.Context(), e, c, s.mode(mode), func(context.Context) (int, error) { return 7, nil })
					if err != nil || next.Value != 7 || next.Replayed {
						t.Errorf("got %+v, %v, want that the next call runs", next, err)
					}
				})
			})
		}
	}
}

func TestDoTxRefuses(t *testing.T) {
	inModes(t, func(in modal) {
		t, mode := in.T, in.TxMode
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		try := func(c semel.Call) error {
			got, err := semel.DoTx(t.Context(), e, c, s.mode(mode), func(context.Context) (int, error) { t.Error("fn ran"); return 0, nil })
			if got != (semel.Result[int]{}) {
				t.Errorf("got %+v beside an error", got)
			}
			return err
		}
		c := reserve(t, e, call("order-1", "x"))
		wantError(t, try(call("order-1", "x")), semel.ErrInFlight)
		wantError(t, try(call("order-1", "y")), semel.ErrConflict)
		c.Abandon(t.Context())
		wantError(t, try(call("order-1", "x")), semel.ErrOutcomeUnknown)
		wantError(t, try(semel.Call{}), semel.ErrInvalidKey)
		complete(t, reserve(t, e, call("order-2", "x")), answer("by hand"))
		wantError(t, try(call("order-2", "x")), semel.ErrDamaged)
		s.tx.set(at("begin", fails), nil)
		wantError(t, try(call("order-3", "x")), errCut)
		time.Sleep(time.Second)
	})
}
