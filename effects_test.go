package semel_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// deferring is a call that promises to have no effect before BeginEffects.
func deferring(id, payload string) semel.Call {
	c := call(id, payload)
	c.DeferEffects = true
	return c
}

// under returns c with a policy, and a hook that answers found and counts.
func under(c semel.Call, p semel.Policy, hook *asking) semel.Call {
	c.Lapsed = p
	if p == semel.Recover {
		c.Recover = hook.config().Recover
	}
	return c
}

var policies = []semel.Policy{semel.Hold, semel.Rerun, semel.Recover}

// I7, L1: an attempt that lapsed before its effects began leaves nothing unknown: the
// next one runs, under every policy, and no hook is asked.
func TestLapsedBeforeItsEffects(t *testing.T) {
	for _, policy := range policies {
		t.Run(policy.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memstore.New(memstore.Config{})
				first, w := crashed(t, store, deferring("order-1", "x"))
				if !first.Deferred() {
					t.Error("got a claim without the promise")
				}
				hook := &asking{answer: says(semel.Recovery{})}
				e, _ := process(t, store, semel.Config{})
				next := under(deferring("order-1", "x"), policy, hook)
				time.Sleep(lapse - 1)
				wantOutcome(t, begin(t, e, next), semel.InFlight)
				time.Sleep(time.Nanosecond)
				other := next
				other.Fingerprint = semel.Fingerprint{1}
				wantOutcome(t, begin(t, e, other), semel.Conflict) // I5
				out := begin(t, e, next)
				wantOutcome(t, out, semel.Reserved)
				if out.Record.Lapses != 0 || out.Record.Attempts != 2 || out.Record.Fence <= first.Fence() || !out.Record.Blameless() {
					t.Errorf("got %+v, want a second attempt after which nothing is unknown", out.Record)
				}
				hook.wantTimes(t, 0)

				w.heal() // the first comes back: it may begin nothing (I1, I4)
				wantError(t, first.BeginEffects(t.Context()), semel.ErrLost)
				wantError(t, first.Complete(t.Context(), answer("late")), semel.ErrLost)
				complete(t, out.Claim, answer("second"))
				wantReplay(t, begin(t, e, next), answer("second"))
			})
		})
	}
}

// I7: once effects may have begun only the policy says who runs next.
func TestLapsedAfterItsEffectsBegan(t *testing.T) {
	for _, policy := range policies {
		t.Run(policy.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memstore.New(memstore.Config{})
				e, w := process(t, store, semel.Config{})
				c := reserve(t, e, deferring("order-1", "x"))
				if err := c.BeginEffects(t.Context()); err != nil || c.Deferred() {
					t.Fatalf("got %v, deferred %v, want the promise ended", err, c.Deferred())
				}
				w.cut()
				time.Sleep(lapse)
				hook := &asking{answer: says(semel.Recovery{})}
				other, _ := process(t, store, semel.Config{})
				next := under(deferring("order-1", "x"), policy, hook)
				out := begin(t, other, next)
				if policy == semel.Rerun {
					wantOutcome(t, out, semel.Reserved)
				} else {
					wantUnknown(t, out)
				}
				hook.wantTimes(t, map[semel.Policy]int{semel.Recover: 1}[policy])
				if want := map[semel.Policy]int{semel.Hold: 0, semel.Rerun: 1, semel.Recover: 1}[policy]; out.Record.Lapses != want {
					t.Errorf("got %d lapses, want %d", out.Record.Lapses, want)
				}
			})
		})
	}
}

// A process that dies before the next: what is unknown is decided by the whole row of
// attempts, not by the last.
func TestTakeOverThatDies(t *testing.T) {
	rerun := func(c semel.Call) semel.Call { c.Lapsed = semel.Rerun; return c }
	for _, tt := range []struct {
		name    string
		first   semel.Call
		second  semel.Call
		unknown bool
	}{
		{"none had begun", deferring("order-1", "x"), deferring("order-1", "x"), false},
		{"the first may have begun", call("order-1", "x"), rerun(deferring("order-1", "x")), true},
		{"the second may have begun", deferring("order-1", "x"), call("order-1", "x"), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memstore.New(memstore.Config{})
				crashed(t, store, tt.first)
				time.Sleep(lapse)
				crashed(t, store, tt.second)
				time.Sleep(lapse)
				hook := &asking{answer: says(semel.Recovery{Verdict: semel.NotExecuted})}
				e, _ := process(t, store, semel.Config{})
				out := begin(t, e, deferring("order-1", "x"))
				if !tt.unknown {
					wantOutcome(t, out, semel.Reserved)
					return
				}
				wantUnknown(t, out)
				c := reserve(t, e, under(deferring("order-1", "x"), semel.Recover, hook))
				hook.wantTimes(t, 1)
				if c.Attempt() != 3 {
					t.Errorf("got attempt %d, want 3", c.Attempt())
				}
			})
		})
	}
}

// I11: repeating BeginEffects is harmless, and costs a step only until it has worked.
func TestBeginEffectsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := newWitness(t)
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{Observe: seen.observe})
		c := reserve(t, e, deferring("order-1", "x"))
		w.set(nil, once(semel.StepBeginEffects, fails)) // it has happened, and nobody hears of it
		wantStoreError(t, c.BeginEffects(t.Context()), semel.StepBeginEffects, errCut)
		if !c.Deferred() {
			t.Error("the promise is ended, want it not known")
		}
		client, leave := cancellable(t)
		leave()
		for range 3 {
			if err := c.BeginEffects(client); err != nil {
				t.Fatal(err)
			}
		}
		if got := w.count(semel.StepBeginEffects); got != 2 || c.Deferred() {
			t.Errorf("got %d steps, deferred %v, want 2 and the promise ended", got, c.Deferred())
		}
		if got := seen.take(semel.StepBeginEffects); len(got) != 2 || !errors.Is(got[0].Err, errCut) || got[1].Err != nil {
			t.Errorf("got events %+v, want a failure and a success", got)
		}
		plainly := reserve(t, e, call("order-2", "x")) // without the promise
		if err := plainly.BeginEffects(t.Context()); err != nil || plainly.Deferred() || w.count(semel.StepBeginEffects) != 2 {
			t.Errorf("got %v after %d steps, want none", err, w.count(semel.StepBeginEffects))
		}
		complete(t, c, answer("paid"))
		wantReplay(t, begin(t, e, deferring("order-1", "x")), answer("paid"))
	})
}

// L3: a store that hangs, fails or panics: an error, in time, and no effect. The
// promise may be ended or not: both are safe.
func TestBeginEffectsFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := newWitness(t)
		store := memstore.New(memstore.Config{})
		e, w := process(t, store, semel.Config{Observe: seen.observe})
		c := reserve(t, e, deferring("order-1", "x"))
		w.set(once(semel.StepBeginEffects, hangs(time.Minute, nil)), nil)
		start := time.Now()
		wantStoreError(t, c.BeginEffects(t.Context()), semel.StepBeginEffects, semel.ErrTimeout)
		if got := time.Since(start); got != semel.DefaultReserveTimeout {
			t.Errorf("it took %v, want %v", got, semel.DefaultReserveTimeout)
		}
		w.set(at(semel.StepBeginEffects, func() error { panic("a bug in the driver") }), nil)
		func() {
			defer func() {
				if recover() == nil {
					t.Error("got no panic, want the driver's")
				}
			}()
			_ = c.BeginEffects(t.Context())
		}()
		if got := seen.take(semel.StepBeginEffects); len(got) != 2 || got[0].Err == nil || got[1].Err == nil {
			t.Errorf("got events %+v, want two with errors", got)
		}
		w.heal()
		time.Sleep(time.Minute) // the first try arrives
		w.cut()
		time.Sleep(lapse)
		other, _ := process(t, store, semel.Config{})
		wantUnknown(t, begin(t, other, deferring("order-1", "x")))
	})
}

// A store that keeps a promise without being able to end it lets no effect begin; one
// that keeps none needs no end of it.
func TestBeginEffectsWithoutSupport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keeping := newEngine(t, plain{newWire(t, memstore.New(memstore.Config{}))}, semel.Config{})
		c := reserve(t, keeping, deferring("order-1", "x"))
		if err := c.BeginEffects(t.Context()); err == nil || !c.Deferred() {
			t.Errorf("got %v, deferred %v, want an error", err, c.Deferred())
		}
		forgetful := newEngine(t, oddStore{plain{newWire(t, memstore.New(memstore.Config{}))}, func(r *semel.Record) { r.Deferred = false }}, semel.Config{})
		c = reserve(t, forgetful, deferring("order-1", "x"))
		if err := c.BeginEffects(t.Context()); err != nil || c.Deferred() {
			t.Errorf("got %v, deferred %v, want success without a promise", err, c.Deferred())
		}
	})
}

// No effect begins under a claim that has been ended, or whose attempt must stop.
func TestBeginEffectsTooLate(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(ctx context.Context, t *testing.T, e *semel.Engine, w *wire, c *semel.Claim)
		want error
	}{
		"completed": {func(_ context.Context, t *testing.T, _ *semel.Engine, _ *wire, c *semel.Claim) {
			t.Helper()
			complete(t, c, answer("paid"))
		}, semel.ErrSettled},
		"released": {func(ctx context.Context, _ *testing.T, _ *semel.Engine, _ *wire, c *semel.Claim) {
			_ = c.Release(ctx)
		}, semel.ErrSettled},
		"abandoned": {func(ctx context.Context, _ *testing.T, _ *semel.Engine, _ *wire, c *semel.Claim) {
			c.Abandon(ctx)
		}, semel.ErrSettled},
		"overran": {func(context.Context, *testing.T, *semel.Engine, *wire, *semel.Claim) {
			time.Sleep(semel.DefaultMaxRun + time.Minute)
		}, semel.ErrOverran},
		"lost its lease": {func(_ context.Context, _ *testing.T, _ *semel.Engine, w *wire, _ *semel.Claim) {
			w.set(at(semel.StepRenew, fails), nil)
			time.Sleep(semel.DefaultLease)
		}, semel.ErrLost},
		"closed": {func(_ context.Context, t *testing.T, e *semel.Engine, _ *wire, _ *semel.Claim) {
			t.Helper()
			closeEngine(t, e)
		}, semel.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memstore.New(memstore.Config{})
				e, w := process(t, store, semel.Config{})
				c := reserve(t, e, deferring("order-1", "x"))
				tt.end(t.Context(), t, e, w, c)
				wantError(t, c.BeginEffects(t.Context()), tt.want)
				if got := w.count(semel.StepBeginEffects); got != 0 {
					t.Errorf("got %d steps, want none", got)
				}
			})
		})
	}
}

// I7: fn of Do fails before it has begun: the next call runs at once. After it has
// begun, the key is held.
func TestDoDeferred(t *testing.T) {
	for _, begun := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			e, _ := process(t, memstore.New(memstore.Config{}), semel.Config{})
			_, err := semel.Do(t.Context(), e, deferring("order-1", "x"), func(ctx context.Context) (int, error) {
				if begun {
					if err := semel.FromContext(ctx).BeginEffects(ctx); err != nil {
						return 0, err
					}
				}
				return 0, errDeclined
			})
			wantError(t, err, errDeclined)
			got, err := semel.Do(t.Context(), e, deferring("order-1", "x"), func(context.Context) (int, error) { return 7, nil })
			if begun {
				wantError(t, err, semel.ErrOutcomeUnknown)
			} else if err != nil || got.Value != 7 || got.Replayed {
				t.Errorf("got %+v, %v, want that the next call runs", got, err)
			}
		})
	}
}

// Confirm takes over nothing, be it blameless or not: the one who asks has no attempt
// to run. What it may reserve by accident is held against nobody.
func TestConfirmNeverTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		first, w := crashed(t, store, deferring("order-1", "x"))
		time.Sleep(lapse)
		w.heal()
		out, err := first.Confirm(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wantOutcome(t, out, semel.Reserved)
		if !out.Record.Lapsed || out.Record.Token != first.Token() {
			t.Errorf("got %+v, want its own lapsed reservation", out.Record)
		}
		second, _ := crashed(t, store, deferring("order-1", "x"))
		time.Sleep(lapse)
		for range 2 {
			if out, err = first.Confirm(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantUnknown(t, out)
			if out.Record.Token != second.Token() || out.Record.Attempts != 2 {
				t.Errorf("got attempt %d, want the second, untouched", out.Record.Attempts)
			}
		}
	})
}

func TestConfirmOfAFreedSlotLeavesNothingUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		e, w := process(t, store, semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		if err := store.Release(t.Context(), c.Key(), c.Token()); err != nil { // an operator's doing
			t.Fatal(err)
		}
		w.set(nil, once(semel.StepReserve, func() error { w.cut(); return nil })) // it dies before it gives back what it got
		out, err := c.Confirm(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wantUnknown(t, out)
		other, _ := process(t, store, semel.Config{})
		wantOutcome(t, begin(t, other, call("order-1", "x")), semel.InFlight)
		time.Sleep(lapse)
		reserve(t, other, call("order-1", "x"))
	})
}
