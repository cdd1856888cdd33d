package semel_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// patient is a call that waits.
func patient(id string, wait time.Duration) semel.Call {
	c := call(id, "x")
	c.Wait = wait
	return c
}

// later begins a call in a goroutine of its own, and tells what became of it and when.
type later struct {
	out  semel.Outcome
	err  error
	took time.Duration
	done chan struct{}
}

func beginLater(ctx context.Context, e *semel.Engine, c semel.Call) *later {
	l := &later{done: make(chan struct{})}
	go func() {
		defer close(l.done)
		start := time.Now()
		l.out, l.err = e.Begin(ctx, c)
		l.took = time.Since(start)
	}()
	return l
}

func (l *later) wait(t *testing.T) semel.Outcome {
	t.Helper()
	<-l.done
	if l.err != nil {
		t.Fatalf("Begin: %v", l.err)
	}
	return l.out
}

// L3, I3: who waits gets the kept answer when the attempt ends: at once from an attempt of
// the same engine, and from another process within the pause between two polls.
func TestWaitForTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		e, _ := process(t, store, semel.Config{})
		other, _ := process(t, store, semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		here, there := beginLater(t.Context(), e, patient("order-1", 5*time.Second)), beginLater(t.Context(), other, patient("order-1", 5*time.Second))
		const runs = 2*time.Second + 345*time.Millisecond
		time.Sleep(runs)
		if n := e.Waiting(); n != 1 {
			t.Errorf("got %d that wait, want 1", n)
		}
		complete(t, c, answer("paid"))
		wantReplay(t, here.wait(t), answer("paid"))
		wantReplay(t, there.wait(t), answer("paid"))
		if here.took != runs {
			t.Errorf("the same engine: answered after %v, want %v", here.took, runs)
		}
		if most := runs + 500*time.Millisecond; there.took < runs || there.took > most {
			t.Errorf("another engine: answered after %v, want %v to %v", there.took, runs, most)
		}
		if n := e.Waiting(); n != 0 {
			t.Errorf("got %d that wait, want none", n)
		}
	})
}

// L3: nobody waits longer than told, than MaxWait, than his client, or than the engine.
func TestWaitEnds(t *testing.T) {
	for _, row := range []struct {
		name string
		wait time.Duration
		end  func(e *semel.Engine, cancel context.CancelFunc)
		want time.Duration
	}{
		{name: "by its deadline", wait: 2 * time.Second, want: 2 * time.Second},
		{name: "by MaxWait", wait: time.Hour, want: semel.MaxWait},
		{
			name: "with its client", wait: 5 * time.Second, want: time.Second,
			end: func(_ *semel.Engine, cancel context.CancelFunc) { cancel() },
		},
		{
			name: "with the engine", wait: 5 * time.Second, want: time.Second,
			end: func(e *semel.Engine, _ context.CancelFunc) { _ = e.Close(context.Background()) },
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memstore.New(memstore.Config{})
				e, _ := process(t, store, semel.Config{})
				other, _ := process(t, store, semel.Config{})
				reserve(t, other, call("order-1", "x"))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				// One of them asks the store, and the others listen to it.
				all := []*later{beginLater(ctx, e, patient("order-1", row.wait)), beginLater(ctx, e, patient("order-1", row.wait)), beginLater(ctx, e, patient("order-1", row.wait))}
				if row.end != nil {
					time.Sleep(row.want)
					row.end(e, cancel)
				}
				for _, l := range all {
					wantOutcome(t, l.wait(t), semel.InFlight)
					if l.took != row.want {
						t.Errorf("got the outcome after %v, want it after %v", l.took, row.want)
					}
				}
			})
		})
	}
}

// L3: who listens to another's questions leaves with his own client.
func TestWhoListensMayLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := process(t, memstore.New(memstore.Config{}), semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		asks := beginLater(t.Context(), e, patient("order-1", 9*time.Second))
		synctest.Wait() // it has the turn
		ctx, leave := context.WithCancel(t.Context())
		listens := beginLater(ctx, e, patient("order-1", 9*time.Second))
		time.Sleep(time.Second)
		leave()
		wantOutcome(t, listens.wait(t), semel.InFlight)
		if listens.took != time.Second {
			t.Errorf("he left after %v, want 1 s", listens.took)
		}
		complete(t, c, answer("paid"))
		wantReplay(t, asks.wait(t), answer("paid"))
	})
}

// I5: who asks for something else does not wait, nor who meets an unknown outcome that the
// policy holds; and who waits is told when it becomes one.
func TestWaitOnlyForWhatIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := process(t, memstore.New(memstore.Config{}), semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		other := patient("order-1", 5*time.Second)
		other.Fingerprint = semel.FingerprintOf([]byte("y"))
		start := time.Now()
		wantOutcome(t, begin(t, e, other), semel.Conflict)
		if took := time.Since(start); took != 0 {
			t.Errorf("a conflict waited for %v", took)
		}
		l := beginLater(t.Context(), e, patient("order-1", 8*time.Second))
		time.Sleep(time.Second)
		c.Abandon(t.Context())
		wantUnknown(t, l.wait(t))
		if l.took != time.Second {
			t.Errorf("told after %v that nobody knows, want when it was given up", l.took)
		}
		start = time.Now()
		wantUnknown(t, begin(t, e, patient("order-1", 5*time.Second)))
		if took := time.Since(start); took != 0 {
			t.Errorf("an unknown outcome waited for %v", took)
		}
	})
}

// I1, I3: when the slot is freed one of those who wait gets it, and the others wait for that
// one's answer.
func TestWaitGetsAFreedSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := process(t, memstore.New(memstore.Config{}), semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		var mu sync.Mutex
		ran := 0
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				out, err := e.Begin(t.Context(), patient("order-1", 9*time.Second))
				if err != nil {
					t.Errorf("Begin: %v", err)
					return
				}
				if out.Kind == semel.Reserved {
					mu.Lock()
					ran++
					mu.Unlock()
					time.Sleep(3 * time.Second)
					complete(t, out.Claim, answer("paid"))
					return
				}
				wantReplay(t, out, answer("paid"))
			})
		}
		time.Sleep(time.Second)
		if err := c.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		all.Wait()
		if ran != 1 {
			t.Errorf("it ran %d times, want once", ran)
		}
	})
}

// Under a policy that takes over, whoever waits long enough does, also when the one who
// asks for all of them holds.
func TestWaitTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := process(t, memstore.New(memstore.Config{}), semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		holding := beginLater(t.Context(), e, patient("order-1", 8*time.Second))
		synctest.Wait() // it has the turn
		again := patient("order-1", 8*time.Second)
		again.Lapsed = semel.Rerun
		rerunning := beginLater(t.Context(), e, again)
		time.Sleep(time.Second)
		c.Abandon(t.Context())
		wantUnknown(t, holding.wait(t))
		wantOutcome(t, rerunning.wait(t), semel.Reserved)
	})
}

// A thousand who wait for one key cost the store the polls of one.
func TestThousandWaitersAskAsOne(t *testing.T) {
	polls := func(n int) (asked int) {
		synctest.Test(t, func(t *testing.T) {
			store := memstore.New(memstore.Config{})
			e, w := process(t, store, semel.Config{MaxWaitersPerKey: 1000})
			other, _ := process(t, store, semel.Config{})
			c := reserve(t, other, call("order-1", "x"))
			var all sync.WaitGroup
			for range n {
				all.Go(func() {
					out, err := e.Begin(t.Context(), patient("order-1", 9*time.Second))
					if err != nil {
						t.Errorf("Begin: %v", err)
						return
					}
					wantReplay(t, out, answer("paid"))
				})
			}
			time.Sleep(8 * time.Second)
			complete(t, c, answer("paid"))
			all.Wait()
			asked = w.count(semel.StepReserve) - n // after the first question of each
		})
		return asked
	}
	one, thousand := polls(1), polls(1000)
	t.Logf("polls of one: %d, of a thousand: %d", one, thousand)
	if thousand > one+one/2 { // the pauses are random
		t.Errorf("a thousand polled %d times, one %d times", thousand, one)
	}
	if most := 8 * time.Second / (250 * time.Millisecond) * 3 / 2; one > int(most) {
		t.Errorf("one polled %d times in 8 s", one)
	}
}

// No more than so many wait, for one key and in all; one more is answered at once.
func TestWaitersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := process(t, memstore.New(memstore.Config{}), semel.Config{MaxWaiters: 3, MaxWaitersPerKey: 2})
		for i := range 2 {
			reserve(t, e, call(fmt.Sprint("order-", i), "x"))
		}
		var all []*later
		for _, key := range []string{"order-0", "order-0", "order-0", "order-1", "order-1"} {
			all = append(all, beginLater(t.Context(), e, patient(key, time.Second)))
			synctest.Wait()
		}
		for i, want := range []time.Duration{time.Second, time.Second, 0, time.Second, 0} {
			wantOutcome(t, all[i].wait(t), semel.InFlight)
			if all[i].took != want {
				t.Errorf("call %d waited for %v, want %v", i, all[i].took, want)
			}
		}
	})
	if _, err := semel.New(memstore.New(memstore.Config{}), semel.Config{MaxWaiters: -1}); err == nil {
		t.Error("got no error for a negative bound")
	}
}

// A store that fails ends the wait of who asks it, and the next one asks. What is known of
// the slot is that an attempt was in flight: that is the outcome, and no failure, for which
// a route may be open.
func TestWaitMeetsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{ReserveTimeout: 100 * time.Millisecond})
		c := reserve(t, e, call("order-1", "x"))
		first := beginLater(t.Context(), e, patient("order-1", 5*time.Second))
		synctest.Wait()
		second := beginLater(t.Context(), e, patient("order-1", 5*time.Second))
		synctest.Wait()
		w.cut()
		wantOutcome(t, first.wait(t), semel.InFlight)
		w.heal()
		complete(t, c, answer("paid"))
		wantReplay(t, second.wait(t), answer("paid"))
	})
}

// A wait is observed as such: the reserve before it says that its outcome is still to come.
func TestWaitIsObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var seen []string
		observe := func(ctx context.Context, op semel.Op) (context.Context, func(semel.Event)) {
			return ctx, func(ev semel.Event) {
				mu.Lock()
				defer mu.Unlock()
				if op.Step != semel.StepPoll || ev.Kind != semel.InFlight {
					seen = append(seen, fmt.Sprintf("%v %v waits %v", op.Step, ev.Kind, ev.Waits))
				}
				if op.Step == semel.StepWait && (ev.Took != time.Second || ev.Count < 2) {
					t.Errorf("got a wait of %v with %d polls, want 1 s", ev.Took, ev.Count)
				}
			}
		}
		e, _ := process(t, memstore.New(memstore.Config{}), semel.Config{Observe: observe})
		c := reserve(t, e, patient("order-1", time.Minute))
		begin(t, e, call("order-1", "x"))
		l := beginLater(t.Context(), e, patient("order-1", time.Minute))
		time.Sleep(time.Second)
		complete(t, c, answer("paid"))
		l.wait(t)
		want := []string{
			"reserve reserved waits false", "reserve in-flight waits false", "reserve in-flight waits true",
			"complete invalid waits false", "poll replay waits false", "wait replay waits false",
		}
		if fmt.Sprint(seen) != fmt.Sprint(want) {
			t.Errorf("got %q, want %q", seen, want)
		}
	})
}

// Who waits under a claim of his own waits in vain, and is told at once.
func TestNobodyWaitsForHimself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := process(t, memstore.New(memstore.Config{}), semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		ctx := c.Attach(t.Context())
		defer c.Detach()
		l := beginLater(ctx, e, patient("order-1", 9*time.Second))
		wantOutcome(t, l.wait(t), semel.InFlight)
		if l.took != 0 {
			t.Errorf("he waited for %v", l.took)
		}
	})
}

// A call that is confirmed to be committed wakes those who wait for it.
func TestConfirmWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		l := beginLater(t.Context(), e, patient("order-1", 9*time.Second))
		time.Sleep(4 * time.Second)
		ctx := context.WithoutCancel(t.Context())
		x, err := s.mode(semel.ClaimTx).Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.CompleteIn(ctx, x.(*bankTx), answer("paid")); err != nil {
			t.Fatal(err)
		}
		if err := x.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		if out, err := c.Confirm(ctx); err != nil || out.Kind != semel.Replay {
			t.Fatal(out, err)
		}
		wantReplay(t, l.wait(t), answer("paid"))
		if l.took != 4*time.Second {
			t.Errorf("told after %v, want when it was confirmed", l.took)
		}
	})
}

// I7: a short lease is no reason to give up taking back what was reserved in vain: the key
// would be held although nothing has run.
func TestShortLeaseIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{})
		c := call("order-1", "x")
		c.Lease = time.Second
		sent := false
		w.set(func(semel.Step) error {
			if sent {
				return errCut
			}
			sent = true
			return nil
		}, func(semel.Step) error { return errCut }) // the first arrives, and its answer is lost
		if _, err := e.Begin(t.Context(), c); err == nil {
			t.Fatal("got no error from a store that is down")
		}
		time.Sleep(8 * time.Second)
		w.heal()
		time.Sleep(10 * time.Second)
		reserve(t, e, call("order-1", "x"))
	})
}
