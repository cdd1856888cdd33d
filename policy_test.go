package semel_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// lapse is how long after its last renewal an attempt of the default
// configuration lapses.
const lapse = semel.DefaultLease + semel.DefaultMargin

// crashed leaves behind an attempt whose process died at this moment.
func crashed(t *testing.T, store semel.Store, c semel.Call) (*semel.Claim, *wire) {
	t.Helper()
	e, w := process(t, store, semel.Config{Owner: "crashed"})
	claim := reserve(t, e, c)
	w.cut()
	return claim, w
}

// I7, I9, L1: under hold a crashed attempt stays unknown until somebody knows,
// and no age takes it away.
func TestHoldRefusesUntilSomebodyKnows(t *testing.T) {
	ways := map[string]func(t *testing.T, store *memstore.Store, late *semel.Claim, w *wire, e *semel.Engine){
		"the late attempt completes": func(t *testing.T, _ *memstore.Store, late *semel.Claim, w *wire, e *semel.Engine) {
			t.Helper()
			w.heal()
			complete(t, late, answer("late"))
			wantReplay(t, begin(t, e, call("order-1", "x")), answer("late"))
		},
		"an operator knows the answer": func(t *testing.T, store *memstore.Store, late *semel.Claim, w *wire, e *semel.Engine) {
			t.Helper()
			resolved := answer("by hand")
			err := store.Resolve(t.Context(), semel.Resolution{Key: late.Key(), Fence: late.Fence(), Response: &resolved, Retention: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			wantReplay(t, begin(t, e, call("order-1", "x")), resolved)
			w.heal() // I3, I4: the late attempt neither changes it nor says anything else
			wantError(t, late.Complete(t.Context(), answer("late")), semel.ErrLost)
			out, err := late.Confirm(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			wantReplay(t, out, resolved)
			wantReplay(t, begin(t, e, call("order-1", "x")), resolved)
		},
		"an operator knows that nothing happened": func(t *testing.T, store *memstore.Store, late *semel.Claim, w *wire, e *semel.Engine) {
			t.Helper()
			err := store.Resolve(t.Context(), semel.Resolution{Key: late.Key(), Fence: late.Fence(), Retention: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			second := reserve(t, e, call("order-1", "x"))
			w.heal()
			wantError(t, late.Complete(t.Context(), answer("late")), semel.ErrLost)
			out, err := late.Confirm(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			wantUnknown(t, out)
			complete(t, second, answer("second"))
			wantReplay(t, begin(t, e, call("order-1", "x")), answer("second"))
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memstore.New(memstore.Config{})
				late, w := crashed(t, store, call("order-1", "x"))
				e, _ := process(t, store, semel.Config{})
				time.Sleep(lapse - 1)
				wantOutcome(t, begin(t, e, call("order-1", "x")), semel.InFlight)
				time.Sleep(time.Nanosecond)
				for range 5 {
					out := begin(t, e, call("order-1", "x"))
					wantUnknown(t, out)
					if out.Record.Owner != "crashed" || out.Record.Fence != late.Fence() {
						t.Errorf("got record of %q, fence %d, want that of the crashed attempt", out.Record.Owner, out.Record.Fence)
					}
					wantOutcome(t, begin(t, e, call("order-1", "another")), semel.Conflict)
					time.Sleep(semel.DefaultRetention)
					if n, err := store.Purge(t.Context(), 100); n != 0 || err != nil {
						t.Fatalf("purge took %d, %v, want nothing", n, err)
					}
				}
				way(t, store, late, w, e)
			})
		})
	}
}

// I1, I4, I6: rerun takes over as soon as lease and margin are over, not
// earlier, and the first attempt can touch nothing any more.
func TestRerunTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		stale, w := crashed(t, store, call("order-1", "x"))
		e, _ := process(t, store, semel.Config{Lapsed: semel.Rerun})
		time.Sleep(lapse - 1)
		wantOutcome(t, begin(t, e, call("order-1", "x")), semel.InFlight)
		time.Sleep(time.Nanosecond)
		wantOutcome(t, begin(t, e, call("order-1", "another")), semel.Conflict)
		second := reserve(t, e, call("order-1", "x"))
		if second.Token() == stale.Token() || second.Fence() <= stale.Fence() || second.Attempt() != 2 {
			t.Errorf("got token %v, fence %d, attempt %d, want new, larger than %d, and 2", second.Token(), second.Fence(), second.Attempt(), stale.Fence())
		}

		w.heal()
		wantError(t, stale.Complete(t.Context(), answer("stale")), semel.ErrLost)
		out, err := stale.Confirm(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wantUnknown(t, out)
		wantOutcome(t, begin(t, e, call("order-1", "x")), semel.InFlight)
		complete(t, second, answer("second"))
		wantReplay(t, begin(t, e, call("order-1", "x")), answer("second"))
		if out, err = stale.Confirm(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantReplay(t, out, answer("second"))
	})
}

// I4: no way of ending a stale claim has an effect on its successor.
func TestStaleClaimTouchesNothing(t *testing.T) {
	for name, end := range map[string]func(context.Context, *semel.Claim) error{
		"complete": func(ctx context.Context, c *semel.Claim) error { return c.Complete(ctx, answer("stale")) },
		"release":  func(ctx context.Context, c *semel.Claim) error { return c.Release(ctx) },
		"abandon":  func(ctx context.Context, c *semel.Claim) error { c.Abandon(ctx); return semel.ErrLost },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memstore.New(memstore.Config{})
				stale, w := crashed(t, store, call("order-1", "x"))
				e, _ := process(t, store, semel.Config{Lapsed: semel.Rerun})
				time.Sleep(lapse)
				second := reserve(t, e, call("order-1", "x"))
				w.heal()
				wantError(t, end(t.Context(), stale), semel.ErrLost)
				time.Sleep(10 * time.Second)
				wantOutcome(t, begin(t, e, call("order-1", "x")), semel.InFlight)
				complete(t, second, answer("second"))
				wantReplay(t, begin(t, e, call("order-1", "x")), answer("second"))
			})
		})
	}
}

// A call may choose another policy than its engine.
func TestPolicyOfTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		crashed(t, store, call("order-1", "x"))
		time.Sleep(lapse)
		e, _ := process(t, store, semel.Config{Lapsed: semel.Rerun})
		c := call("order-1", "x")
		c.Lapsed = semel.Hold
		wantUnknown(t, begin(t, e, c))
		c.Lapsed, c.Recover = semel.Recover, says(semel.Recovery{Verdict: semel.Executed, Response: answer("found")})
		wantReplay(t, begin(t, e, c), answer("found"))
	})
}
