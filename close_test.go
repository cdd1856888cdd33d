package semel_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

func closeEngine(t *testing.T, e *semel.Engine) {
	t.Helper()
	if err := e.Close(t.Context()); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

func TestCloseRefusesNewAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		wired, w := process(t, store, semel.Config{})
		for name, e := range map[string]*semel.Engine{
			"over a wire": wired,
			"immediate":   newEngine(t, store, semel.Config{}),
			"observed": newEngine(t, store, semel.Config{
				Observe: func(ctx context.Context, _ semel.Op) (context.Context, func(semel.Event)) { return ctx, nil },
			}),
		} {
			closeEngine(t, e)
			closeEngine(t, e) // twice is once
			out, err := e.Begin(t.Context(), call("order-1", "x"))
			if !errors.Is(err, semel.ErrClosed) || out.Kind != 0 || out.Claim != nil {
				t.Errorf("%s: got %v, %v, want ErrClosed and nothing else", name, out.Kind, err)
			}
		}
		if got := w.count(semel.StepReserve); got != 0 {
			t.Errorf("got %d reserves, want none", got)
		}
		ctx, cancel := cancellable(t)
		cancel()
		for range 20 { // nothing is left to give up
			if err := wired.Close(ctx); err != nil {
				t.Fatalf("got %v of a closed engine, want nil", err)
			}
		}
		reserve(t, newEngine(t, store, semel.Config{}), call("order-1", "x"))
	})
}

// I1: an attempt that runs when the engine closes is told so, and its slot goes
// to somebody else only when the margin is over.
func TestCloseEndsRunningAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		e, _ := process(t, store, semel.Config{})
		other, _ := process(t, store, semel.Config{Lapsed: semel.Rerun})
		c := reserve(t, e, call("order-1", "x"))
		ctx := c.Attach(t.Context())
		defer c.Detach()
		start := time.Now()
		closeEngine(t, e)
		wantError(t, ctx.Err(), context.Canceled)
		wantError(t, context.Cause(ctx), semel.ErrClosed)
		if got := time.Since(start); got != 0 {
			t.Errorf("Close took %v, want it not to wait for handlers", got)
		}
		for time.Since(start) < semel.DefaultMargin {
			wantOutcome(t, begin(t, other, call("order-1", "x")), semel.InFlight)
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Millisecond)
		reserve(t, other, call("order-1", "x"))
	})
}

// What a handler completes after Close is stored all the same, released is
// free, abandoned lapses: its effect is no less true.
func TestClaimsEndAfterClose(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(ctx context.Context, c *semel.Claim) error
		want func(t *testing.T, out semel.Outcome)
	}{
		{
			"complete", func(ctx context.Context, c *semel.Claim) error { return c.Complete(ctx, answer("paid")) },
			func(t *testing.T, out semel.Outcome) { t.Helper(); wantReplay(t, out, answer("paid")) },
		},
		{
			"release", func(ctx context.Context, c *semel.Claim) error { return c.Release(ctx) },
			func(t *testing.T, out semel.Outcome) { t.Helper(); wantOutcome(t, out, semel.Reserved) },
		},
		{
			"abandon", func(ctx context.Context, c *semel.Claim) error { c.Abandon(ctx); return nil },
			func(t *testing.T, out semel.Outcome) { t.Helper(); wantUnknown(t, out) },
		},
	} {
		for _, immediate := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, immediate %v", tt.name, immediate), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := memstore.New(memstore.Config{})
					e, _ := process(t, store, semel.Config{})
					if immediate {
						e = newEngine(t, store, semel.Config{})
					}
					c := reserve(t, e, call("order-1", "x"))
					closeEngine(t, e)
					if err := tt.end(t.Context(), c); err != nil {
						t.Fatal(err)
					}
					tt.want(t, begin(t, newEngine(t, store, semel.Config{}), call("order-1", "x")))
				})
			})
		}
	}
}

// A completion that the store does not take after Close is not lost in silence.
func TestCompleteAfterCloseWhileTheStoreIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{Logger: log.logger()})
		c := reserve(t, e, call("order-1", "x"))
		closeEngine(t, e)
		w.cut()
		err := c.Complete(t.Context(), answer("paid"))
		wantError(t, err, semel.ErrNotStored)
		if got := log.String(); got == "" {
			t.Error("got no line in the log, want one")
		}
	})
}

// I14: Close waits for a response that is not stored yet, its lease is kept,
// and no other process repeats the effect.
func TestCloseWaitsForResponses(t *testing.T) {
	for name, during := range map[string]time.Duration{
		"while the caller waits": time.Microsecond, "between two tries": 20 * time.Millisecond, "in the background": 3 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memstore.New(memstore.Config{})
				e, w := process(t, store, semel.Config{})
				other, _ := process(t, store, semel.Config{Lapsed: semel.Rerun})
				c := reserve(t, e, call("order-1", "x"))
				w.set(at(semel.StepComplete, func() error { time.Sleep(time.Millisecond); return errCut }), nil)
				go func() { _ = c.Complete(t.Context(), answer("paid")) }()
				time.Sleep(during)
				closed := make(chan error, 1)
				go func() { closed <- e.Close(t.Context()) }()
				time.Sleep(10 * time.Second)
				select {
				case err := <-closed:
					t.Fatalf("Close returned %v, want it to wait", err)
				default:
				}
				wantOutcome(t, begin(t, other, call("order-1", "x")), semel.InFlight)
				w.heal()
				if err := <-closed; err != nil {
					t.Fatal(err)
				}
				wantReplay(t, begin(t, other, call("order-1", "x")), answer("paid"))
			})
		})
	}
}

// Close gives up when its context ends, tells why, and a second call waits on.
func TestCloseGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		goOn := make(chan struct{})
		w.set(at(semel.StepComplete, func() error { <-goOn; return errCut }), nil)
		wantError(t, c.Complete(t.Context(), answer("paid")), semel.ErrNotStored)
		why := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, why)
		defer cancel()
		start := time.Now()
		wantError(t, e.Close(ctx), why)
		if got := time.Since(start); got != time.Minute {
			t.Errorf("Close took %v, want a minute", got)
		}
		close(goOn)
		start = time.Now()
		closeEngine(t, e)
		if got := time.Since(start); got != 0 { // no new try begins
			t.Errorf("the second Close took %v, want none", got)
		}
	})
}

// The same when the store does not even take the end of the leases.
func TestCloseGivesUpOnAHangingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		ctx := c.Attach(t.Context())
		defer c.Detach()
		goOn := make(chan struct{})
		w.set(func(semel.Step) error { <-goOn; return nil }, nil)
		defer close(goOn)
		limit, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		wantError(t, e.Close(limit), context.DeadlineExceeded)
		wantError(t, context.Cause(ctx), semel.ErrClosed)
	})
}

// Close does not wait for what the lease takes care of.
func TestCloseLeavesReservationsToTheirLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		w.cut()
		_, err := e.Begin(t.Context(), call("order-2", "x"))
		wantError(t, err, errCut)
		wantError(t, c.Release(t.Context()), errCut)
		start := time.Now()
		closeEngine(t, e)
		if got := time.Since(start); got > time.Second {
			t.Errorf("Close took %v, want no wait", got)
		}
	})
}

// The engine closes while a reserve is on its way: nothing runs, and the slot
// is not left held. What is unknown stays so.
func TestCloseDuringAReserve(t *testing.T) {
	for _, lapsed := range []bool{false, true} {
		for name, fault := range map[string]func(w *wire){
			"in time":              func(w *wire) { w.set(nil, at(semel.StepReserve, hangs(time.Second, nil))) },
			"too late":             func(w *wire) { w.set(nil, at(semel.StepReserve, hangs(time.Minute, nil))) },
			"the answers are lost": func(w *wire) { w.set(nil, at(semel.StepReserve, hangs(time.Second/2, errCut))) },
		} {
			t.Run(fmt.Sprintf("%s, lapsed before %v", name, lapsed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := memstore.New(memstore.Config{})
					hook := &asking{answer: says(semel.Recovery{})}
					if lapsed {
						crashed(t, store, call("order-1", "x"))
						time.Sleep(lapse)
					}
					e, w := process(t, store, hook.config())
					fault(w)
					result := make(chan error, 1)
					go func() {
						_, err := e.Begin(t.Context(), call("order-1", "x"))
						result <- err
					}()
					time.Sleep(time.Millisecond)
					closeEngine(t, e)
					if err := <-result; err == nil {
						t.Error("got a claim of a closed engine, want an error")
					}
					hook.wantTimes(t, 0)
					other, _ := process(t, store, hook.config())
					if name == "in time" && !lapsed { // it is known that nothing ran
						reserve(t, other, call("order-1", "x"))
						hook.wantTimes(t, 0)
						return
					}
					time.Sleep(2 * time.Minute)
					if lapsed {
						wantUnknown(t, begin(t, other, call("order-1", "x")))
						hook.wantTimes(t, 1)
						return
					}
					hook.answer = says(semel.Recovery{Verdict: semel.NotExecuted})
					reserve(t, other, call("order-1", "x"))
				})
			})
		}
	}
}

// Many begin while the engine closes. Whoever got a claim is either stored or
// was told to stop; nobody else runs, and nothing is left behind.
func TestBeginRacesWithClose(t *testing.T) {
	for round := range 20 {
		synctest.Test(t, func(t *testing.T) {
			store := memstore.New(memstore.Config{})
			wired, _ := process(t, store, semel.Config{})
			for n, e := range []*semel.Engine{wired, newEngine(t, store, semel.Config{})} {
				var all sync.WaitGroup
				for i := range 16 {
					all.Go(func() { untilClosed(t, e, fmt.Sprint("order-", n, "-", i)) })
				}
				all.Go(func() {
					time.Sleep(time.Duration(round) * time.Microsecond)
					closeEngine(t, e)
				})
				all.Wait()
			}
		})
	}
}

func untilClosed(t *testing.T, e *semel.Engine, id string) {
	t.Helper()
	for n := range 1000 {
		pay := call(fmt.Sprint(id, "-", n), "x")
		out, err := e.Begin(t.Context(), pay)
		if err != nil {
			if !errors.Is(err, semel.ErrClosed) {
				t.Errorf("got %v, want ErrClosed", err)
			}
			return
		}
		ctx := out.Claim.Attach(t.Context())
		time.Sleep(time.Microsecond)
		if ctx.Err() != nil && !errors.Is(context.Cause(ctx), semel.ErrClosed) {
			t.Errorf("got cause %v, want ErrClosed", context.Cause(ctx))
		}
		if err := out.Claim.Complete(ctx, answer("paid")); err != nil {
			t.Errorf("Complete: %v", err)
		}
		out.Claim.Detach()
	}
	t.Error("the engine was never closed")
}
