package semel_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

func says(r semel.Recovery) semel.RecoverFunc {
	return func(context.Context, semel.Record) (semel.Recovery, error) { return r, nil }
}

// asking is a hook that counts its calls and answers what the test says.
type asking struct {
	times  int
	answer func(ctx context.Context, held semel.Record) (semel.Recovery, error)
}

func (a *asking) config() semel.Config {
	return semel.Config{Lapsed: semel.Recover, Recover: func(ctx context.Context, held semel.Record) (semel.Recovery, error) {
		a.times++
		return a.answer(ctx, held)
	}}
}

func (a *asking) wantTimes(t *testing.T, want int) {
	t.Helper()
	if a.times != want {
		t.Fatalf("the hook was asked %d times, want %d", a.times, want)
	}
}

// lapsedSlot is a store where the attempt of order-1 crashed and has lapsed,
// and an engine that recovers.
func lapsedSlot(t *testing.T, hook *asking) (*memstore.Store, *semel.Engine, *wire) {
	t.Helper()
	store := memstore.New(memstore.Config{})
	crashed(t, store, call("order-1", "x"))
	time.Sleep(lapse)
	e, w := process(t, store, hook.config())
	return store, e, w
}

func TestRecoverExecuted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook := &asking{answer: func(context.Context, semel.Record) (semel.Recovery, error) {
			return semel.Recovery{Verdict: semel.Executed, Response: answer("found")}, nil
		}}
		_, e, _ := lapsedSlot(t, hook)
		out := begin(t, e, call("order-1", "x"))
		wantReplay(t, out, answer("found"))
		if out.Record.State != semel.StateCompleted {
			t.Errorf("got a %v record, want completed", out.Record.State)
		}
		wantReplay(t, begin(t, e, call("order-1", "x")), answer("found"))
		hook.wantTimes(t, 1)
	})
}

func TestRecoverNotExecuted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook := &asking{answer: says(semel.Recovery{Verdict: semel.NotExecuted})}
		_, e, _ := lapsedSlot(t, hook)
		c := reserve(t, e, call("order-1", "x"))
		ctx := c.Attach(t.Context())
		defer c.Detach()
		if ctx.Err() != nil {
			t.Fatalf("the attempt starts under an ended context: %v", context.Cause(ctx))
		}
		wantOutcome(t, begin(t, e, call("order-1", "x")), semel.InFlight)
		time.Sleep(2 * time.Minute) // it is renewed like any other
		complete(t, c, answer("second"))
		wantReplay(t, begin(t, e, call("order-1", "x")), answer("second"))
		hook.wantTimes(t, 1)
	})
}

// What a hook does not know stays held, and the next retry asks again at once.
func TestRecoverStillUnknown(t *testing.T) {
	for name, verdict := range map[string]struct {
		found semel.Recovery
		err   error
	}{
		"says so":                   {},
		"an error":                  {err: errors.New("the provider is down")},
		"an error beside a verdict": {semel.Recovery{Verdict: semel.NotExecuted}, errors.New("half an answer")},
		"a verdict that is none":    {found: semel.Recovery{Verdict: semel.NotExecuted + 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hook := &asking{answer: func(context.Context, semel.Record) (semel.Recovery, error) {
					return verdict.found, verdict.err
				}}
				_, e, _ := lapsedSlot(t, hook)
				for i := range 3 {
					out := begin(t, e, call("order-1", "x"))
					wantUnknown(t, out)
					if out.Record.Lapses != i+1 {
						t.Errorf("got %d lapses, want %d", out.Record.Lapses, i+1)
					}
				}
				hook.wantTimes(t, 3)
				hook.answer = says(semel.Recovery{Verdict: semel.NotExecuted})
				complete(t, reserve(t, e, call("order-1", "x")), answer("second"))
			})
		})
	}
}

// The hook gets the fresh reservation and the claim, so that it can ask the
// provider with the key that the crashed attempt used, and it stays alone.
func TestRecoverHookSeesTheClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		first, _ := crashed(t, store, call("order-1", "x"))
		want := first.DerivedKey("charge")
		time.Sleep(lapse)
		watcher, _ := process(t, store, semel.Config{})
		hook := &asking{answer: func(ctx context.Context, held semel.Record) (semel.Recovery, error) {
			c := semel.FromContext(ctx)
			if c == nil || c.DerivedKey("charge") != want || c.Token() != held.Token {
				t.Errorf("got claim %v of token %v, want that of the fresh reservation", c, held.Token)
			}
			if held.Lapses != 1 || held.Attempts != 2 || held.Fence <= first.Fence() {
				t.Errorf("got %d lapses, attempt %d, fence %d, want 1, 2 and more than %d", held.Lapses, held.Attempts, held.Fence, first.Fence())
			}
			time.Sleep(4 * time.Minute) // far over the lease: it is renewed
			if ctx.Err() != nil {
				t.Errorf("the hook's context ended: %v", context.Cause(ctx))
			}
			wantOutcome(t, begin(t, watcher, call("order-1", "x")), semel.InFlight)
			return semel.Recovery{Verdict: semel.Executed, Response: answer("found")}, nil
		}}
		e, _ := process(t, store, hook.config())
		wantReplay(t, begin(t, e, call("order-1", "x")), answer("found"))
	})
}

// A panic or the end of the goroutine in the hook goes on, holds the key and
// lets the next one ask.
func TestRecoverHookThatDoesNotReturn(t *testing.T) {
	for name, how := range map[string]func(){
		"panic":  func() { panic("in the hook") },
		"goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hook := &asking{answer: func(context.Context, semel.Record) (semel.Recovery, error) {
					how()
					return semel.Recovery{Verdict: semel.NotExecuted}, nil
				}}
				_, e, _ := lapsedSlot(t, hook)
				ended := make(chan any)
				go func() {
					defer func() { ended <- recover() }()
					_, _ = e.Begin(t.Context(), call("order-1", "x"))
					t.Error("Begin returned, want it to end as its hook did")
				}()
				if got := <-ended; (name == "panic") != (got == "in the hook") {
					t.Errorf("got panic %v", got)
				}
				hook.answer = says(semel.Recovery{Verdict: semel.Executed, Response: answer("found")})
				wantReplay(t, begin(t, e, call("order-1", "x")), answer("found"))
				hook.wantTimes(t, 2)
			})
		})
	}
}

// I7: a process that dies while it recovers leaves a slot that asks again; its
// death does not make the first attempt forgotten.
func TestRecovererCrashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		dying := &asking{answer: func(ctx context.Context, _ semel.Record) (semel.Recovery, error) {
			<-goOn
			return semel.Recovery{Verdict: semel.NotExecuted}, nil
		}}
		store, e, w := lapsedSlot(t, dying)
		result := make(chan semel.Outcome)
		go func() {
			out, err := e.Begin(t.Context(), call("order-1", "x"))
			if err != nil {
				t.Error(err)
			}
			result <- out
		}()
		synctest.Wait()
		w.cut()

		second := &asking{answer: says(semel.Recovery{})}
		e2, _ := process(t, store, second.config())
		wantOutcome(t, begin(t, e2, call("order-1", "x")), semel.InFlight)
		second.wantTimes(t, 0)
		time.Sleep(lapse)
		out := begin(t, e2, call("order-1", "x"))
		wantUnknown(t, out)
		second.wantTimes(t, 1)
		if out.Record.Lapses != 2 {
			t.Errorf("got %d lapses, want 2", out.Record.Lapses)
		}

		// The first recoverer was only asleep. Its lease is over, so what its
		// hook says does not let it run.
		w.heal()
		close(goOn)
		wantUnknown(t, <-result)
	})
}

// I7: a take-over whose answer is lost must not make the slot forget that an
// attempt is unknown: the next one still asks the hook.
func TestRecoverAfterALostTakeOver(t *testing.T) {
	for name, fault := range map[string]func(w *wire){
		"both answers are lost": func(w *wire) { w.set(nil, at(semel.StepReserve, fails)) },
		"the answer never comes": func(w *wire) {
			w.set(nil, once(semel.StepReserve, hangs(time.Minute, errCut)))
		},
		"the answer comes late": func(w *wire) {
			w.set(nil, once(semel.StepReserve, hangs(time.Minute, nil)))
		},
		"the request comes late": func(w *wire) {
			w.set(once(semel.StepReserve, hangs(time.Minute, nil)), nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hook := &asking{answer: says(semel.Recovery{})}
				_, e, w := lapsedSlot(t, hook)
				fault(w)
				if out, err := e.Begin(t.Context(), call("order-1", "x")); err == nil {
					t.Fatalf("got %v, want an error", out.Kind)
				}
				w.heal()
				hook.wantTimes(t, 0)
				for range 3 {
					time.Sleep(time.Minute)
					wantUnknown(t, begin(t, e, call("order-1", "x")))
				}
				hook.wantTimes(t, 3)
			})
		})
	}
}

// The same for a store that cannot end leases: the lost take-over lapses.
func TestRecoverAfterALostTakeOverWithoutRenewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook := &asking{answer: says(semel.Recovery{})}
		store, _, w := lapsedSlot(t, hook)
		e := newEngine(t, plain{w}, hook.config())
		w.set(nil, at(semel.StepReserve, fails))
		if out, err := e.Begin(t.Context(), call("order-1", "x")); err == nil {
			t.Fatalf("got %v, want an error", out.Kind)
		}
		w.heal()
		_ = store
		time.Sleep(lapse)
		wantUnknown(t, begin(t, e, call("order-1", "x")))
		hook.wantTimes(t, 1)
	})
}

// A hook may end the claim by itself; Begin then tells what the slot holds and
// never lets the caller run under a claim that is spent.
func TestRecoverHookEndsTheClaim(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(ctx context.Context, c *semel.Claim) error
		want func(t *testing.T, out semel.Outcome)
		next func(t *testing.T, out semel.Outcome)
	}{
		{
			"completes", func(ctx context.Context, c *semel.Claim) error { return c.Complete(ctx, answer("by the hook")) },
			func(t *testing.T, out semel.Outcome) { t.Helper(); wantReplay(t, out, answer("by the hook")) },
			func(t *testing.T, out semel.Outcome) { t.Helper(); wantReplay(t, out, answer("by the hook")) },
		},
		{
			"releases", func(ctx context.Context, c *semel.Claim) error { return c.Release(ctx) },
			func(t *testing.T, out semel.Outcome) { t.Helper(); wantUnknown(t, out) },
			func(t *testing.T, out semel.Outcome) { t.Helper(); wantOutcome(t, out, semel.Reserved) },
		},
		{
			"abandons", func(ctx context.Context, c *semel.Claim) error { c.Abandon(ctx); return nil },
			func(t *testing.T, out semel.Outcome) { t.Helper(); wantUnknown(t, out) },
			func(t *testing.T, out semel.Outcome) { t.Helper(); wantUnknown(t, out) },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hook := &asking{answer: func(ctx context.Context, _ semel.Record) (semel.Recovery, error) {
					return semel.Recovery{Verdict: semel.NotExecuted}, tt.end(ctx, semel.FromContext(ctx))
				}}
				_, e, _ := lapsedSlot(t, hook)
				tt.want(t, begin(t, e, call("order-1", "x")))
				time.Sleep(time.Second)
				hook.answer = says(semel.Recovery{})
				tt.next(t, begin(t, e, call("order-1", "x")))
			})
		})
	}
}

// I14: what the hook found is true, but it is not sent before it is stored.
func TestRecoverExecutedWhileTheStoreIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook := &asking{answer: says(semel.Recovery{Verdict: semel.Executed, Response: answer("found")})}
		_, e, w := lapsedSlot(t, hook)
		w.set(at(semel.StepComplete, fails), nil)
		_, err := e.Begin(t.Context(), call("order-1", "x"))
		wantError(t, err, semel.ErrNotStored)
		wantOutcome(t, begin(t, e, call("order-1", "x")), semel.InFlight)
		w.heal()
		time.Sleep(10 * time.Second) // the background stores it
		wantReplay(t, begin(t, e, call("order-1", "x")), answer("found"))
		hook.wantTimes(t, 1)
	})
}

// I3: an operator was faster than the hook; his answer counts.
func TestRecoverExecutedButResolvedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		resolved := answer("by hand")
		var store *memstore.Store
		hook := &asking{}
		hook.answer = func(ctx context.Context, held semel.Record) (semel.Recovery, error) {
			_, _ = store.Renew(ctx, 0, []semel.Holder{{Key: held.Key, Token: held.Token}})
			err := store.Resolve(ctx, semel.Resolution{Key: held.Key, Fence: held.Fence, Response: &resolved, Retention: time.Hour})
			return semel.Recovery{Verdict: semel.Executed, Response: answer("found")}, err
		}
		var e *semel.Engine
		store, e, _ = lapsedSlot(t, hook)
		wantReplay(t, begin(t, e, call("order-1", "x")), resolved)
	})
}

// The failure of a hook is logged, with the ref and without the key.
func TestRecoverFailureIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		store := memstore.New(memstore.Config{})
		crashed(t, store, semel.Call{Key: secretKey})
		time.Sleep(lapse)
		e, _ := process(t, store, semel.Config{
			Logger: log.logger(), Lapsed: semel.Recover,
			Recover: func(context.Context, semel.Record) (semel.Recovery, error) {
				return semel.Recovery{}, errors.New("the provider is down")
			},
		})
		wantUnknown(t, begin(t, e, semel.Call{Key: secretKey}))
		if got := log.String(); !strings.Contains(got, "the provider is down") || !strings.Contains(got, e.Ref(secretKey)) || leaks(got) {
			t.Errorf("got log %s, want the error and the ref, and no key", got)
		}
	})
}
