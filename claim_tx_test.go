package semel_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// tx stands for the transaction of a business database that also keeps the
// records: what it completes is visible when it commits.
type tx struct {
	semel.Completer
	t    *testing.T
	kept []semel.Completion
}

func (x *tx) Complete(ctx context.Context, c semel.Completion) error {
	if ctx.Done() != nil {
		x.t.Error("the transaction got a context that can be cancelled")
	}
	x.kept = append(x.kept, c)
	return nil
}

func (x *tx) commit() error {
	for _, c := range x.kept {
		if err := x.Completer.Complete(x.t.Context(), c); err != nil {
			return err
		}
	}
	return nil
}

// ofTx makes a Completer the transaction of a store's module.
type ofTx struct{ semel.Completer }

func (x ofTx) Steps(semel.Store) (semel.TxSteps, error) { return x, nil }

func (ofTx) Lock(context.Context, semel.Key, semel.Token) error { return nil }

func (ofTx) Reserve(context.Context, semel.Reservation) (semel.Record, error) {
	return semel.Record{}, errors.New("nobody reserves in it")
}

// I8: the record turns completed with the commit, not before.
func TestCompleteInCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		store := memstore.New(memstore.Config{})
		e, w := process(t, store, semel.Config{Logger: log.logger()})
		c := reserve(t, e, call("order-1", "x"))
		client, _ := cancellable(t)
		ctx := c.Attach(client)
		defer c.Detach()
		x := &tx{Completer: store, t: t}
		if err := c.CompleteIn(ctx, ofTx{x}, answer("paid")); err != nil {
			t.Fatal(err)
		}
		for range 3 { // a slow commit: the lease is kept
			time.Sleep(time.Minute)
			wantOutcome(t, begin(t, e, call("order-1", "x")), semel.InFlight)
		}
		if err := x.commit(); err != nil {
			t.Fatal(err)
		}
		wantReplay(t, begin(t, e, call("order-1", "x")), answer("paid"))

		// The next renewal finds that the token holds nothing any more: that is
		// the commit, and no loss.
		time.Sleep(semel.DefaultLease)
		if ctx.Err() != nil || strings.Contains(log.String(), "lost") {
			t.Errorf("got cause %v and log %s, want a context that goes on and no alarm", context.Cause(ctx), log)
		}
		out, err := c.Confirm(ctx)
		if err != nil {
			t.Fatal(err)
		}
		wantReplay(t, out, answer("paid"))
		if how, ok := c.Settled(); how != semel.Keep || !ok {
			t.Errorf("got settled %v, %v, want keep", how, ok)
		}
		renewals := w.count(semel.StepRenew)
		time.Sleep(time.Minute)
		if got := w.count(semel.StepRenew); got != renewals {
			t.Errorf("got %d renewals after the end, want none", got-renewals)
		}
	})
}

// I8: a transaction that was rolled back leaves no record, and the claim is
// open again: it may try once more, or say that nothing happened.
func TestCompleteInRollsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		e, _ := process(t, store, semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		if err := c.CompleteIn(t.Context(), ofTx{&tx{Completer: store, t: t}}, answer("rolled back")); err != nil {
			t.Fatal(err)
		}
		out, err := c.Confirm(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wantOutcome(t, out, semel.Reserved)
		if how, ok := c.Settled(); ok {
			t.Errorf("got settled %v, want open", how)
		}
		time.Sleep(time.Minute) // it is still renewed
		wantOutcome(t, begin(t, e, call("order-1", "x")), semel.InFlight)

		again := &tx{Completer: store, t: t}
		if err := c.CompleteIn(t.Context(), ofTx{again}, answer("second try")); err != nil {
			t.Fatal(err)
		}
		if err := again.commit(); err != nil {
			t.Fatal(err)
		}
		if out, err = c.Confirm(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantReplay(t, out, answer("second try"))
	})
}

type failing struct{ err error }

func (f failing) Complete(context.Context, semel.Completion) error { return f.err }

func TestCompleteInFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := process(t, memstore.New(memstore.Config{}), semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		broken := errors.New("the connection broke")
		wantStoreError(t, c.CompleteIn(t.Context(), ofTx{failing{broken}}, answer("a")), semel.StepComplete, broken)
		wantError(t, c.Release(t.Context()), semel.ErrSettled) // not before it is known
		if _, err := c.Confirm(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.CompleteIn(t.Context(), ofTx{failing{semel.ErrLost}}, answer("a")); !errors.Is(err, semel.ErrLost) {
			t.Errorf("got %v, want ErrLost", err)
		}
		if _, err := c.Confirm(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.Release(t.Context()); err != nil {
			t.Errorf("got %v, want the claim open again", err)
		}
	})
}

// A transaction whose end nobody knows: abandoning never harms a commit and
// never waits for what was rolled back.
func TestAbandonAfterCompleteIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		e, _ := process(t, store, semel.Config{})
		committed, rolledBack := reserve(t, e, call("order-1", "x")), reserve(t, e, call("order-2", "x"))
		for _, c := range []*semel.Claim{committed, rolledBack} {
			x := &tx{Completer: store, t: t}
			if err := c.CompleteIn(t.Context(), ofTx{x}, answer("paid")); err != nil {
				t.Fatal(err)
			}
			if c == committed {
				if err := x.commit(); err != nil {
					t.Fatal(err)
				}
			}
			c.Abandon(t.Context())
			if how, ok := c.Settled(); how != semel.Unknown || !ok {
				t.Errorf("got settled %v, %v, want hold", how, ok)
			}
		}
		wantReplay(t, begin(t, e, call("order-1", "x")), answer("paid"))
		wantUnknown(t, begin(t, e, call("order-2", "x")))
	})
}
