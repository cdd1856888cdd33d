package semel_test

import (
	"context"
	"errors"
	"testing"

	"github.com/semel-go/semel"
)

// I7, I8: a func that has locked its slot in a transaction of its own and succeeds without
// CompleteIn is not believed, and does not run again.
func TestDoWithLockInAndNoCompleteIn(t *testing.T) {
	b := newBank(t)
	_, s := b.teller(t, semel.Config{})
	e := newEngine(t, s, semel.Config{})
	c := semel.Call{Key: secretKey, DeferEffects: true}
	_, err := semel.Do(t.Context(), e, c, func(ctx context.Context) (string, error) {
		x := own(t, s)
		if err := semel.FromContext(ctx).LockIn(ctx, x); err != nil {
			t.Error(err)
		}
		x.Rollback(context.WithoutCancel(ctx))
		return "paid", nil
	})
	if !errors.Is(err, semel.ErrOutcomeUnknown) {
		t.Errorf("got %v, want ErrOutcomeUnknown", err)
	}
	_, err = semel.Do(t.Context(), e, c, func(context.Context) (string, error) { return "again", nil })
	if !errors.Is(err, semel.ErrOutcomeUnknown) {
		t.Errorf("then: got %v, want ErrOutcomeUnknown", err)
	}
}
