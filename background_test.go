package semel_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// I11: a reserve whose answer was lost is repeated with the same token and
// recognises itself.
func TestReserveRecognisesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{})
		w.set(nil, once(semel.StepReserve, fails))
		c := reserve(t, e, call("order-1", "x"))
		if got := w.count(semel.StepReserve); c.Attempt() != 1 || got != 2 {
			t.Errorf("got attempt %d after %d reserves, want the first after 2", c.Attempt(), got)
		}
		complete(t, c, answer("paid"))
		wantReplay(t, begin(t, e, call("order-1", "x")), answer("paid"))
	})
}

// I11, I2: a complete whose answer was lost is repeated and finds itself done.
func TestCompleteRecognisesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{})
		w.set(nil, once(semel.StepComplete, fails))
		complete(t, reserve(t, e, call("order-1", "x")), answer("paid"))
		if got := w.count(semel.StepComplete); got != 2 {
			t.Errorf("got %d completes, want 2", got)
		}
		wantReplay(t, begin(t, e, call("order-1", "x")), answer("paid"))
	})
}

// I11: a release whose answer was lost is reported and repeated; the slot is
// free all the same, and its next owner is not disturbed.
func TestReleaseWithALostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		w.set(nil, once(semel.StepRelease, fails))
		wantStoreError(t, c.Release(t.Context()), semel.StepRelease, errCut)
		second := reserve(t, e, call("order-1", "x"))
		time.Sleep(10 * time.Minute)
		complete(t, second, answer("paid"))
	})
}

// A release that the store does not take is tried on.
func TestReleaseIsTriedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		w.cut()
		wantStoreError(t, c.Release(t.Context()), semel.StepRelease, errCut)
		time.Sleep(time.Minute)
		w.heal()
		time.Sleep(5 * time.Second)
		if got := reserve(t, e, call("order-1", "x")).Attempt(); got != 2 {
			t.Errorf("got attempt %d, want 2", got)
		}
	})
}

func wantStoreError(t *testing.T, err error, step semel.Step, cause error) {
	t.Helper()
	var failed *semel.StoreError
	if !errors.As(err, &failed) || failed.Step != step || !errors.Is(err, cause) {
		t.Fatalf("got %v, want a StoreError of %v with %v", err, step, cause)
	}
	if !strings.Contains(err.Error(), step.String()) {
		t.Errorf("got %q, want the step in it", err)
	}
}

// Fail closed: a store that is down at reserve gives an error and no claim,
// after two tries; when it is back so is the service (L4), without a trace.
func TestStoreDownAtReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{})
		w.cut()
		out, err := e.Begin(t.Context(), call("order-1", "x"))
		wantStoreError(t, err, semel.StepReserve, errCut)
		if out.Claim != nil || out.Kind != 0 {
			t.Errorf("got %v and claim %v beside an error, want none", out.Kind, out.Claim)
		}
		if got := w.count(semel.StepReserve); got != 2 {
			t.Errorf("got %d reserves, want 2", got)
		}
		w.heal()
		if got := reserve(t, e, call("order-1", "x")).Attempt(); got != 1 {
			t.Errorf("got attempt %d, want the first", got)
		}
	})
}

// A full store is a failure that repetition does not help, and that leaves
// nothing to take back.
func TestFullStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := process(t, memstore.New(memstore.Config{MaxRecords: 1}), semel.Config{})
		reserve(t, e, call("order-1", "x"))
		_, err := e.Begin(t.Context(), call("order-2", "x"))
		wantStoreError(t, err, semel.StepReserve, semel.ErrFull)
		synctest.Wait()
		if reserves, releases := w.count(semel.StepReserve), w.count(semel.StepRelease); reserves != 2 || releases != 0 {
			t.Errorf("got %d reserves and %d releases, want 1 for each call and none", reserves, releases)
		}
	})
}

// The same without a wire.
func TestFullStoreWithoutAWire(t *testing.T) {
	e := newEngine(t, memstore.New(memstore.Config{MaxRecords: 1}), semel.Config{})
	reserve(t, e, call("order-1", "x"))
	_, err := e.Begin(t.Context(), call("order-2", "x"))
	wantStoreError(t, err, semel.StepReserve, semel.ErrFull)
}

// A reserve that takes too long ends in ErrTimeout when the timeout is over.
// Whether the request or the answer is late: what it reserves is taken back,
// and a later reservation of the same slot is never touched (I4).
func TestReserveTimeout(t *testing.T) {
	for name, hang := range map[string]func(w *wire, d time.Duration){
		"the request is late": func(w *wire, d time.Duration) { w.set(once(semel.StepReserve, hangs(d, nil)), nil) },
		"the answer is late":  func(w *wire, d time.Duration) { w.set(nil, once(semel.StepReserve, hangs(d, nil))) },
		"the answer is late and lost": func(w *wire, d time.Duration) {
			w.set(nil, once(semel.StepReserve, hangs(d, errCut)))
		},
	} {
		for _, d := range []time.Duration{5 * time.Second, 4 * time.Minute} {
			t.Run(name+" by "+d.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := memstore.New(memstore.Config{})
					e, w := process(t, store, semel.Config{})
					hang(w, d)
					start := time.Now()
					_, err := e.Begin(t.Context(), call("order-1", "x"))
					wantStoreError(t, err, semel.StepReserve, semel.ErrTimeout)
					if got := time.Since(start); got != semel.DefaultReserveTimeout {
						t.Errorf("Begin took %v, want %v", got, semel.DefaultReserveTimeout)
					}
					time.Sleep(time.Second)
					second := reserve(t, e, call("order-1", "x")) // already free, or still free
					time.Sleep(d)
					wantOutcome(t, begin(t, e, call("order-1", "x")), semel.InFlight)
					complete(t, second, answer("second"))
					wantReplay(t, begin(t, e, call("order-1", "x")), answer("second"))
				})
			})
		}
	}
}

// A request that arrives when everybody has forgotten it reserves a slot for
// nobody: it is taken back as soon as the answer is there.
func TestLateReservationIsTakenBack(t *testing.T) {
	hook := &asking{answer: says(semel.Recovery{Verdict: semel.NotExecuted})}
	for name, cfg := range map[string]semel.Config{"hold": {}, "rerun": {Lapsed: semel.Rerun}, "recover": hook.config()} {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, the answer is lost %v", name, lost), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					hook.times = 0
					e, w := process(t, memstore.New(memstore.Config{}), cfg)
					late := once(semel.StepReserve, hangs(time.Hour, nil))
					if lost {
						w.set(late, once(semel.StepReserve, fails))
					} else {
						w.set(late, nil)
					}
					_, err := e.Begin(t.Context(), call("order-1", "x"))
					wantError(t, err, semel.ErrTimeout)
					time.Sleep(time.Hour)
					if got := reserve(t, e, call("order-1", "x")).Attempt(); got != 2 {
						t.Errorf("got attempt %d, want 2: the late one and this one", got)
					}
					if !lost { // it is known that nothing was taken over, so nothing is unknown
						hook.wantTimes(t, 0)
					}
				})
			})
		}
	}
}

// An attempt never starts under a lease that is as good as over, however long
// the reserve was allowed to take (I1).
func TestReservationThatArrivesAtTheEndOfItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := semel.Config{Lease: time.Second, Margin: -1, ReserveTimeout: time.Minute}
		e, w := process(t, memstore.New(memstore.Config{}), cfg)
		w.set(nil, once(semel.StepReserve, hangs(900*time.Millisecond, nil)))
		_, err := e.Begin(t.Context(), call("order-1", "x"))
		wantStoreError(t, err, semel.StepReserve, semel.ErrTimeout)
		synctest.Wait()
		reserve(t, e, call("order-1", "x")) // it was taken back, not left to lapse
	})
}

// I1: a store that could not make a take-over safe has given it back, which ends
// its lease. The second try of that reserve finds its own token there, and no
// lease: whoever ran under it would have a successor beside him at once.
func TestTakeOverThatTheStoreGaveBack(t *testing.T) {
	hook := &asking{answer: says(semel.Recovery{Verdict: semel.NotExecuted})}
	for name, cfg := range map[string]semel.Config{"rerun": {Lapsed: semel.Rerun}, "recover": hook.config()} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hook.times = 0
				store := memstore.New(memstore.Config{})
				crashed(t, store, call("order-1", "x"))
				time.Sleep(lapse)
				e, w := process(t, store, cfg)
				w.set(nil, once(semel.StepReserve, func() error {
					for held, err := range store.List(t.Context(), semel.Filter{}) {
						if err == nil {
							_, err = store.Renew(t.Context(), 0, []semel.Holder{{Key: held.Key, Token: held.Token}})
						}
						if err != nil {
							t.Error(err)
						}
					}
					return errors.New("not confirmed")
				}))
				_, err := e.Begin(t.Context(), call("order-1", "x"))
				wantStoreError(t, err, semel.StepReserve, semel.ErrTimeout)
				hook.wantTimes(t, 0)
				if got := reserve(t, e, call("order-1", "x")).Attempt(); got != 3 {
					t.Errorf("got attempt %d, want 3: the lapsed one, the one given back and this one", got)
				}
			})
		})
	}
}

// I14: the store is down at complete. The caller is told that his true answer
// is not stored; nobody else runs meanwhile, and it is stored when it can be.
func TestStoreDownAtComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		store := memstore.New(memstore.Config{})
		e, w := process(t, store, semel.Config{Logger: log.logger()})
		other, _ := process(t, store, semel.Config{Lapsed: semel.Rerun})
		pay := semel.Call{Key: secretKey}
		c := reserve(t, e, pay)
		w.set(at(semel.StepComplete, fails), nil)
		start := time.Now()
		err := c.Complete(t.Context(), answer("paid"))
		wantError(t, err, semel.ErrNotStored)
		wantStoreError(t, err, semel.StepComplete, errCut)
		if took, tries := time.Since(start), w.count(semel.StepComplete); took != 750*time.Millisecond || tries < 5 || tries > 6 {
			t.Errorf("gave up after %v and %d tries, want 750 ms and 5, perhaps one in the background", took, tries)
		}
		if how, ok := c.Settled(); how != semel.Keep || !ok {
			t.Errorf("got settled %v, %v, want keep", how, ok)
		}
		for range 4 { // the lease is kept, so no other attempt repeats the effect
			time.Sleep(time.Minute)
			wantOutcome(t, begin(t, other, pay), semel.InFlight)
		}
		w.heal()
		time.Sleep(5 * time.Second)
		wantReplay(t, begin(t, other, pay), answer("paid"))
		renewals := w.count(semel.StepRenew)
		time.Sleep(time.Minute)
		if got := w.count(semel.StepRenew); got != renewals {
			t.Errorf("the lease was renewed %d times after the end", got-renewals)
		}
		text := log.String()
		for _, want := range []string{"is not stored", "stored late", e.Ref(secretKey)} {
			if !strings.Contains(text, want) {
				t.Errorf("got log %s, want %q in it", text, want)
			}
		}
		if leaks(text) {
			t.Errorf("the log tells the key: %s", text)
		}
	})
}

// The whole store is away for longer than a lease. The attempt lapses, and the
// late answer resolves it.
func TestStoreAwayAtComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		e, w := process(t, store, semel.Config{})
		other, _ := process(t, store, semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		w.cut()
		wantError(t, c.Complete(t.Context(), answer("paid")), semel.ErrNotStored)
		time.Sleep(lapse)
		wantUnknown(t, begin(t, other, call("order-1", "x")))
		w.heal()
		time.Sleep(5 * time.Second)
		wantReplay(t, begin(t, other, call("order-1", "x")), answer("paid"))
	})
}

// I7, I9: what is never stored stays unknown; nothing runs silently.
func TestNeverStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		store := memstore.New(memstore.Config{})
		e, w := process(t, store, semel.Config{Logger: log.logger()})
		other, _ := process(t, store, semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		w.set(at(semel.StepComplete, fails), nil)
		wantError(t, c.Complete(t.Context(), answer("paid")), semel.ErrNotStored)
		time.Sleep(semel.DefaultMaxRun + lapse)
		tries := w.count(semel.StepComplete)
		wantUnknown(t, begin(t, other, call("order-1", "x")))
		time.Sleep(time.Hour)
		if got := w.count(semel.StepComplete); got != tries {
			t.Errorf("it is still tried after MaxRun: %d more times", got-tries)
		}
		wantUnknown(t, begin(t, other, call("order-1", "x")))
		if !strings.Contains(log.String(), "never stored") {
			t.Errorf("got log %s, want that it was never stored", log)
		}
	})
}

// While the answer waited, an operator has ended the slot: his word stands.
func TestStoredTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		store := memstore.New(memstore.Config{})
		e, w := process(t, store, semel.Config{Logger: log.logger()})
		other, _ := process(t, store, semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		w.cut()
		wantError(t, c.Complete(t.Context(), answer("paid")), semel.ErrNotStored)
		time.Sleep(lapse)
		resolved := answer("by hand")
		err := store.Resolve(t.Context(), semel.Resolution{Key: c.Key(), Fence: c.Fence(), Response: &resolved, Retention: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		w.heal()
		time.Sleep(5 * time.Second)
		wantReplay(t, begin(t, other, call("order-1", "x")), resolved)
		if !strings.Contains(log.String(), "too late") {
			t.Errorf("got log %s, want that the response came too late", log)
		}
	})
}

// L4: a complete that hangs is given up after CompleteTimeout, and stored by
// the next try although the first never comes back.
func TestCompleteHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		release := make(chan struct{})
		w.set(once(semel.StepComplete, func() error { <-release; return errCut }), nil)
		start := time.Now()
		err := c.Complete(t.Context(), answer("paid"))
		wantError(t, err, semel.ErrNotStored)
		wantError(t, err, semel.ErrTimeout)
		if got := time.Since(start); got != semel.DefaultCompleteTimeout {
			t.Errorf("Complete took %v, want %v", got, semel.DefaultCompleteTimeout)
		}
		time.Sleep(time.Millisecond)
		wantReplay(t, begin(t, e, call("order-1", "x")), answer("paid"))
		close(release)
	})
}

// The client is gone before and after: the store sees none of it (the wire
// checks every step), and the effect is stored.
func TestClientLeavesDuringTheAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{})
		ctx, leave := cancellable(t)
		w.set(at(semel.StepReserve, func() error { leave(); return nil }), nil)
		out, err := e.Begin(ctx, call("order-1", "x"))
		if err != nil {
			t.Fatal(err)
		}
		wantOutcome(t, out, semel.Reserved)
		w.heal()
		if err := out.Claim.Complete(ctx, answer("paid")); err != nil {
			t.Fatal(err)
		}
		wantReplay(t, begin(t, e, call("order-1", "x")), answer("paid"))

		for id, end := range map[string]func(*semel.Claim) error{
			"order-2": func(c *semel.Claim) error { return c.Release(ctx) },
			"order-3": func(c *semel.Claim) error { c.Abandon(ctx); return nil },
			"order-4": func(c *semel.Claim) error { _, err := c.Confirm(ctx); return err },
			"order-5": func(c *semel.Claim) error { return c.CompleteIn(ctx, ofTx{w}, answer("in tx")) },
		} {
			if err := end(reserve(t, e, call(id, "x"))); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
	})
}
