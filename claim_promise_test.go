package semel_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/semel-go/semel"
)

// I7: a transaction whose lock has ended the promise, and that was rolled back, had been
// committed in part before: what the record says counts, and nobody says that nothing has
// happened. The record's word is of no matter where no transaction was at work.
func TestConfirmFindsThePromiseEnded(t *testing.T) {
	for _, locks := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b := newBank(t)
			e, s := b.teller(t, semel.Config{})
			c := reserve(t, e, deferring("order-1", "x"))
			x := own(t, s)
			if locks {
				x.pay(t, c, "paid")
			}
			x.Rollback(context.Background())
			if err := s.BeginEffects(context.Background(), c.Key(), c.Token()); err != nil { // as the lock of a store does, and a commit
				t.Fatal(err)
			}
			wantOutcome(t, confirm(t, c), semel.Reserved)
			if c.Deferred() == locks {
				t.Errorf("locked %v: got the promise kept %v", locks, c.Deferred())
			}
			if !locks {
				return
			}
			again := own(t, s)
			wantError(t, c.LockIn(t.Context(), again), semel.ErrTxEnded)
			again.Rollback(context.Background())
			wantError(t, c.Release(t.Context()), semel.ErrTxEnded)
			c.Abandon(t.Context())
			wantUnknown(t, begin(t, e, call("order-1", "x")))
		})
	}
}

// I8: who has been told that a transaction had ended before its completion begins none again.
func TestNothingAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		c := reserve(t, e, deferring("order-1", "x"))
		x := own(t, s)
		if err := c.LockIn(t.Context(), x); err != nil {
			t.Fatal(err)
		}
		wantError(t, c.CompleteIn(t.Context(), endedTx{x}, answer("paid")), semel.ErrTxEnded)
		x.Rollback(context.Background())
		wantOutcome(t, confirm(t, c), semel.Reserved)
		again := own(t, s)
		wantError(t, c.LockIn(t.Context(), again), semel.ErrTxEnded)
		if !c.Unlocked() {
			t.Error("the lock that was refused does not count as failed")
		}
		wantError(t, c.CompleteIn(t.Context(), again, answer("paid")), semel.ErrTxEnded)
		wantError(t, c.Complete(t.Context(), answer("paid")), semel.ErrTxEnded)
		wantError(t, c.Release(t.Context()), semel.ErrTxEnded)
		again.Rollback(context.Background())
	})
}
