package semel_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// Most attempts end before the first renewal: they cost the store nothing.
func TestNoRenewalBeforeAThirdOfTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{})
		var all sync.WaitGroup
		for i := range 100 { // one begins while others run, anywhere between two looks
			all.Go(func() {
				time.Sleep(time.Duration(i) * 1300 * time.Millisecond)
				c := reserve(t, e, call(fmt.Sprint("order-", i), "x"))
				time.Sleep(semel.DefaultLease/3 - time.Millisecond)
				complete(t, c, answer("paid"))
			})
		}
		all.Wait()
		if got := w.count(semel.StepRenew); got != 0 {
			t.Errorf("got %d renewals, want none", got)
		}
	})
}

// A running attempt keeps its slot far beyond one lease, with one renewal for
// each third of a lease at most.
func TestRunningAttemptIsRenewed(t *testing.T) {
	for _, lease := range []time.Duration{time.Second, 7 * time.Second, 30 * time.Second} {
		t.Run(lease.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memstore.New(memstore.Config{})
				e, w := process(t, store, semel.Config{Lease: lease, Margin: -1})
				other, _ := process(t, store, semel.Config{Lease: lease, Margin: -1, Lapsed: semel.Rerun})
				c := reserve(t, e, call("order-1", "x"))
				ctx := c.Attach(t.Context())
				defer c.Detach()
				for range 80 {
					time.Sleep(3 * time.Second)
					wantOutcome(t, begin(t, other, call("order-1", "x")), semel.InFlight)
				}
				if ctx.Err() != nil {
					t.Errorf("the attempt was ended: %v", context.Cause(ctx))
				}
				if got, most := w.count(semel.StepRenew), int(4*time.Minute/(lease/3)); got == 0 || got > most {
					t.Errorf("got %d renewals, want 1 to %d", got, most)
				}
				complete(t, c, answer("paid"))
			})
		})
	}
}

// Ten thousand attempts at once: at most ten statements at each tick, none of
// more than a thousand, and nobody is lost.
func TestRenewalIsBatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 10_000
		store := memstore.New(memstore.Config{})
		e, w := process(t, store, semel.Config{})
		claims := make([]*semel.Claim, n)
		for i := range claims {
			claims[i] = reserve(t, e, call(fmt.Sprint("order-", i), "x"))
			claims[i].Attach(t.Context())
		}
		w.set(at(semel.StepRenew, hangs(50*time.Millisecond, nil)), nil) // batches of one tick go one after the other
		const tick = semel.DefaultLease / 6
		for range 24 {
			before := w.count(semel.StepRenew)
			time.Sleep(tick)
			if got := w.count(semel.StepRenew) - before; got > 10 {
				t.Fatalf("got %d renewals in one tick, want at most 10", got)
			}
		}
		total := 0
		w.mu.Lock()
		for _, size := range w.batches {
			if total += size; size > 1000 {
				t.Errorf("got a renewal of %d, want at most 1,000", size)
			}
		}
		w.mu.Unlock()
		if total < 11*n || total > 12*n {
			t.Errorf("got %d leases renewed in 2 minutes, want all %d each third of a lease", total, n)
		}
		for _, c := range claims {
			complete(t, c, answer("paid"))
		}
	})
}

// I1: the owner stops before anybody else may begin. The wire is cut at every
// moment of a lease, renewals are slow or not, and another process takes over
// as early as the store lets it, without any margin.
func TestOwnersNeverOverlap(t *testing.T) {
	for _, lease := range []time.Duration{time.Second, 30 * time.Second} {
		for _, slow := range []time.Duration{0, lease / 10, lease / 2, lease * 9 / 10} {
			for cutAt := range 16 {
				synctest.Test(t, func(t *testing.T) {
					overlap(t, lease, slow, time.Duration(cutAt)*lease/8+time.Duration(cutAt%5))
				})
			}
		}
	}
}

func overlap(t *testing.T, lease, slow, cutAfter time.Duration) {
	t.Helper()
	store := memstore.New(memstore.Config{})
	cfg := semel.Config{Lease: lease, Margin: -1, ReserveTimeout: lease}
	e, w := process(t, store, cfg)
	cfg.Lapsed = semel.Rerun
	other, _ := process(t, store, cfg)
	reserve(t, e, call("to start the watch", "x"))
	time.Sleep(cutAfter / 7) // the attempt begins anywhere between two looks
	w.set(nil, func(s semel.Step) error {
		if s == semel.StepReserve {
			time.Sleep(min(slow, lease/2)) // more is refused
		} else {
			time.Sleep(slow)
		}
		return nil
	})
	c := reserve(t, e, call("order-1", "x"))
	ctx := c.Attach(t.Context())
	defer c.Detach()
	time.Sleep(cutAfter)
	w.set(func(s semel.Step) error { return errCut }, at(semel.StepRenew, hangs(slow, nil)))
	cut := time.Now()
	for {
		out := begin(t, other, call("order-1", "x"))
		if out.Kind == semel.Reserved {
			break
		}
		if time.Since(cut) > 2*lease { // L1
			t.Fatalf("lease %v, slow %v, cut after %v: nobody took over within %v", lease, slow, cutAfter, time.Since(cut))
		}
		time.Sleep(lease / 200)
	}
	if ctx.Err() == nil {
		t.Errorf("lease %v, slow %v, cut after %v: the first attempt goes on beside the second", lease, slow, cutAfter)
	}
	wantError(t, context.Cause(ctx), semel.ErrLost)
}

// A cut that is shorter than a third of a lease disturbs nobody (L4).
func TestShortCutIsSurvived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		ctx := c.Attach(t.Context())
		defer c.Detach()
		for range 10 {
			w.cut()
			time.Sleep(9 * time.Second) // up to two renewals fail
			w.heal()
			time.Sleep(12 * time.Second)
		}
		if ctx.Err() != nil {
			t.Errorf("the attempt was ended: %v", context.Cause(ctx))
		}
		complete(t, c, answer("paid"))
	})
}

// L4: a renewal that never comes back keeps nobody from being renewed, neither
// the attempts in it nor later ones.
func TestRenewalHangsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{})
		goOn := make(chan struct{})
		defer close(goOn)
		w.set(once(semel.StepRenew, func() error { <-goOn; return errCut }), nil)
		for _, id := range []string{"order-1", "order-2"} {
			c := reserve(t, e, call(id, "x"))
			ctx := c.Attach(t.Context())
			time.Sleep(4 * time.Minute)
			if ctx.Err() != nil {
				t.Errorf("%s was ended: %v", id, context.Cause(ctx))
			}
			complete(t, c, answer("paid"))
		}
	})
}

// I1: a lease counts from before the renewal was sent, however late its answer
// comes, so the owner stops before the store's lease ends.
func TestLeaseCountsFromTheQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{})
		start := time.Now()
		c := reserve(t, e, call("order-1", "x"))
		ctx := c.Attach(t.Context())
		defer c.Detach()
		var asked time.Duration // by the store's clock, when it set the lease
		w.set(nil, once(semel.StepRenew, func() error {
			asked = time.Since(start)
			time.Sleep(9 * time.Second)
			return nil
		}))
		time.Sleep(19500 * time.Millisecond)
		w.cut()
		<-ctx.Done()
		if ended := time.Since(start); asked == 0 || ended > asked+semel.DefaultLease {
			t.Errorf("the attempt went on for %v, want no longer than the lease set after %v", ended, asked)
		}
	})
}

// An answer that overtakes an older one counts; the older one takes nothing back.
func TestRenewalsAnswerOutOfOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		ctx := c.Attach(t.Context())
		defer c.Detach()
		w.set(nil, once(semel.StepRenew, hangs(14*time.Second, nil))) // sent at 10 s, the next at 20 s
		time.Sleep(25 * time.Second)
		w.cut() // the lease of the renewal at 20 s ends at 50 s
		time.Sleep(19 * time.Second)
		if ctx.Err() != nil {
			t.Errorf("the attempt was ended: %v", context.Cause(ctx))
		}
		time.Sleep(6 * time.Second)
		wantError(t, context.Cause(ctx), semel.ErrLost)
	})
}

// I4: an attempt whose slot went to somebody else is told at the next renewal,
// with the cause and a line in the log; others are not disturbed.
func TestLostLeaseEndsTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		store := memstore.New(memstore.Config{})
		e, _ := process(t, store, semel.Config{Logger: log.logger()})
		lost, stays := reserve(t, e, semel.Call{Key: secretKey}), reserve(t, e, call("order-2", "x"))
		lostCtx, staysCtx := lost.Attach(t.Context()), stays.Attach(t.Context())
		if err := store.Release(t.Context(), lost.Key(), lost.Token()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(semel.DefaultLease/3 + semel.DefaultLease/6)
		wantError(t, lostCtx.Err(), context.Canceled)
		wantError(t, context.Cause(lostCtx), semel.ErrLost)
		if staysCtx.Err() != nil {
			t.Errorf("the other attempt was ended: %v", context.Cause(staysCtx))
		}
		if got := log.String(); strings.Count(got, "is lost") != 1 || !strings.Contains(got, e.Ref(secretKey)) || leaks(got) {
			t.Errorf("got log %s, want one line with the ref and no key", got)
		}
		complete(t, stays, answer("paid"))
	})
}

// A renewal that meets a slot just completed by its own claim hears "lost".
// That is no loss: the handler goes on and nobody is alarmed.
func TestRenewalMeetsACompletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{Logger: log.logger()})
		c := reserve(t, e, call("order-1", "x"))
		ctx := c.Attach(t.Context())
		defer c.Detach()
		w.set(at(semel.StepRenew, hangs(2*time.Second, nil)), at(semel.StepComplete, hangs(5*time.Second, nil)))
		time.Sleep(11 * time.Second) // the renewal has left and not arrived
		complete(t, c, answer("paid"))
		if w.count(semel.StepRenew) != 1 {
			t.Fatalf("got %d renewals, want 1", w.count(semel.StepRenew))
		}
		if ctx.Err() != nil || log.String() != "" {
			t.Errorf("got cause %v and log %s, want neither", context.Cause(ctx), log)
		}
	})
}

// L1: a renewal that was under way when its attempt was given up, and arrives after that,
// does not keep the next one waiting for a lease that nobody has.
func TestRenewalMeetsAnAbandonment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{})
		c := reserve(t, e, deferring("order-1", "x"))
		c.Attach(t.Context())
		defer c.Detach()
		w.set(once(semel.StepRenew, hangs(2*time.Second, nil)), nil) // sent at 10 s
		time.Sleep(11 * time.Second)
		c.Abandon(t.Context())
		time.Sleep(2 * time.Second)
		if w.count(semel.StepRenew) != 1 || w.count(semel.StepAbandon) == 0 {
			t.Fatalf("got %d renewals and %d to give up", w.count(semel.StepRenew), w.count(semel.StepAbandon))
		}
		wantOutcome(t, begin(t, e, call("order-1", "x")), semel.Reserved)
	})
}

// L1: so does one that was under way when the engine closed.
func TestRenewalMeetsTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		e, w := process(t, store, semel.Config{Margin: -1})
		c := reserve(t, e, call("order-1", "x"))
		c.Attach(t.Context())
		defer c.Detach()
		w.set(once(semel.StepRenew, hangs(2*time.Second, nil)), nil) // sent at 10 s
		time.Sleep(11 * time.Second)
		if err := e.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		other, _ := process(t, store, semel.Config{Margin: -1})
		if out := begin(t, other, call("order-1", "x")); out.Kind != semel.InFlight || !out.Lapsed {
			t.Errorf("got %v, lapsed %v, want a lease that is over", out.Kind, out.Lapsed)
		}
	})
}

// The hard cap: the context tells it as its deadline and ends at the first look
// after it, the lease is not renewed any more, and the attempt lapses.
func TestMaxRun(t *testing.T) {
	for name, maxRun := range map[string]time.Duration{"config": 0, "call": 90 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memstore.New(memstore.Config{})
				e, w := process(t, store, semel.Config{MaxRun: 2 * time.Minute})
				pay := call("order-1", "x")
				pay.MaxRun = maxRun
				want := 2 * time.Minute
				if maxRun > 0 {
					want = maxRun
				}
				start := time.Now()
				c := reserve(t, e, pay)
				ctx := c.Attach(t.Context())
				defer c.Detach()
				if deadline, _ := ctx.Deadline(); !deadline.Equal(start.Add(want)) {
					t.Errorf("got deadline after %v, want %v", deadline.Sub(start), want)
				}
				<-ctx.Done()
				if got := time.Since(start); got < want || got > want+semel.DefaultLease/6 {
					t.Errorf("the attempt was ended after %v, want %v or a sixth of a lease later", got, want)
				}
				wantError(t, context.Cause(ctx), semel.ErrOverran)
				renewals := w.count(semel.StepRenew)
				time.Sleep(lapse)
				wantUnknown(t, begin(t, e, call("order-1", "x")))
				if got := w.count(semel.StepRenew); got != renewals {
					t.Errorf("got %d renewals after the end, want none", got-renewals)
				}
				complete(t, c, answer("late")) // and still nothing is lost
			})
		})
	}
}

// A claim that is forgotten holds its key and nothing else: it lapses, and the
// engine is idle again.
func TestForgottenClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{})
		_ = reserve(t, e, call("order-1", "x"))
		time.Sleep(semel.DefaultMaxRun + lapse)
		wantUnknown(t, begin(t, e, call("order-1", "x")))
		renewals := w.count(semel.StepRenew)
		time.Sleep(time.Hour)
		if got := w.count(semel.StepRenew); got != renewals {
			t.Errorf("got %d renewals of a forgotten claim, want none", got-renewals)
		}
	})
}

// A failed renewal is told and tried again at the next look.
func TestFailedRenewalIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{Logger: log.logger()})
		reserve(t, e, semel.Call{Key: secretKey})
		w.set(at(semel.StepRenew, fails), nil)
		time.Sleep(semel.DefaultLease/3 + time.Millisecond)
		w.heal()
		time.Sleep(semel.DefaultLease / 6)
		if got := w.count(semel.StepRenew); got != 2 {
			t.Errorf("got %d renewals, want the failed one and the next", got)
		}
		if got := log.String(); !strings.Contains(got, "not renewed") || leaks(got) {
			t.Errorf("got log %s, want that leases are not renewed, and no key", got)
		}
	})
}

// L1, I1: a call may have a lease of its own, shorter or longer than the engine's: each attempt is
// renewed in its own time, and lapses in its own time when nobody does.
func TestLeaseOfACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		e, w := process(t, store, semel.Config{Margin: -1, Lease: 12 * time.Second})
		other, _ := process(t, store, semel.Config{Margin: -1})
		leases := map[string]time.Duration{"usual": 0, "short": 2 * time.Second, "long": 10 * time.Minute, "too-short": time.Nanosecond}
		want := map[string]time.Duration{"usual": 12 * time.Second, "short": 2 * time.Second, "long": 10 * time.Minute, "too-short": time.Second}
		for _, id := range []string{"long", "usual", "short", "too-short"} { // each begins between two looks at the ones before
			c := call(id, "x")
			c.Lease = leases[id]
			reserve(t, e, c)
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(4 * time.Minute)
		for id := range leases {
			wantOutcome(t, begin(t, other, call(id, "x")), semel.InFlight)
		}
		// 20 a lease and minute of the shortest, and hardly more for the others.
		if got, most := w.count(semel.StepRenew), int(4*time.Minute/(time.Second/3)+4*time.Minute/(2*time.Second/3)+4*time.Minute/(4*time.Second)+2); got > most {
			t.Errorf("got %d renewals, want at most %d", got, most)
		}
		w.cut()
		died := time.Now()
		lapsed := map[string]time.Duration{}
		for len(lapsed) < len(leases) && time.Since(died) < 11*time.Minute {
			time.Sleep(100 * time.Millisecond)
			for id := range leases {
				if _, ok := lapsed[id]; !ok && begin(t, other, call(id, "x")).Lapsed {
					lapsed[id] = time.Since(died)
				}
			}
		}
		for id, lease := range want {
			if got := lapsed[id]; got < lease*3/5-100*time.Millisecond || got > lease+100*time.Millisecond {
				t.Errorf("%s lapsed after %v, want a lease of %v from the last renewal", id, got, lease)
			}
		}
	})
}
