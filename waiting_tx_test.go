package semel_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
)

// I8: who meets a transaction waits for its end without one of his own, and gets its answer.
func TestInTxWaits(t *testing.T) {
	inModes(t, func(in modal) {
		t, mode := in.T, in.TxMode
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		work := &transfer{then: func(context.Context) (semel.Ending, error) {
			time.Sleep(3 * time.Second)
			return keeps("paid"), nil
		}}
		first := make(chan semel.TxOutcome)
		go func() {
			out, err := e.InTx(t.Context(), call("order-1", "x"), s.mode(mode), work.run)
			if err != nil {
				t.Errorf("InTx: %v", err)
			}
			first <- out
		}()
		time.Sleep(time.Second)
		start := time.Now()
		second := inTx(t, e, patient("order-1", 9*time.Second), s.mode(mode), work.run)
		wantElse(t, second, semel.Replay)
		wantReplay(t, second.Outcome, answer("paid"))
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("it waited for %v, want 2 s", took)
		}
		wantKept(t, <-first, answer("paid"))
		work.wantRuns(t, 1)
	})
}

// demanding is patient with a payload of its own.
func demanding(payload string, wait time.Duration) semel.Call {
	c := call("order-1", payload)
	c.Wait = wait
	return c
}

// I5, I12: of a slot that a transaction works on nobody knows for which request it does. Who
// waits with another payload has the turn, and makes nobody else a conflict of it.
func TestInTxWaitsBesideAnotherPayload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		work := &transfer{then: func(context.Context) (semel.Ending, error) {
			time.Sleep(3 * time.Second)
			return keeps("paid"), nil
		}}
		var all sync.WaitGroup
		all.Go(func() { inTx(t, e, call("order-1", "y"), s.mode(semel.SingleTx), work.run) })
		time.Sleep(100 * time.Millisecond)
		all.Go(func() {
			wantElse(t, inTx(t, e, demanding("x", 9*time.Second), s.mode(semel.SingleTx), work.run), semel.Conflict)
		})
		synctest.Wait() // it has the turn
		wantElse(t, inTx(t, e, demanding("y", 9*time.Second), s.mode(semel.SingleTx), work.run), semel.Replay)
		all.Wait()
		work.wantRuns(t, 1)
	})
}

// I5, I12: what a poll has reserved, and rolled back, was never held: nobody is told of it.
func TestInTxPollIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		other, _ := b.teller(t, semel.Config{})
		first := reserve(t, other, call("order-1", "x"))
		declined := errors.New("declined")
		var all sync.WaitGroup
		all.Go(func() { // waits for the first, has the turn
			_, err := e.InTx(t.Context(), demanding("x", 9*time.Second), s.mode(semel.SingleTx), func(context.Context) (semel.Ending, error) {
				return semel.Ending{}, declined
			})
			if !errors.Is(err, declined) {
				t.Errorf("got %v, want that it runs", err)
			}
		})
		synctest.Wait()
		if err := first.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		second := reserve(t, other, call("order-1", "y")) // between two polls
		listens := beginLater(t.Context(), e, demanding("y", 9*time.Second))
		synctest.Wait()
		if err := second.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantOutcome(t, listens.wait(t), semel.Reserved)
		all.Wait()
	})
}

// An attempt that has waited for its slot has all of MaxRun.
func TestInTxHasMaxRunAfterAWait(t *testing.T) {
	inModes(t, func(in modal) {
		t, mode := in.T, in.TxMode
		b := newBank(t)
		e, s := b.teller(t, semel.Config{Lease: 3 * time.Second, MaxRun: 5 * time.Second})
		var all sync.WaitGroup
		all.Go(func() {
			inTx(t, e, call("order-1", "x"), s.mode(mode), func(context.Context) (semel.Ending, error) {
				time.Sleep(4500 * time.Millisecond)
				return semel.Ending{How: semel.Free}, nil
			})
		})
		time.Sleep(10 * time.Millisecond)
		work := &transfer{then: func(context.Context) (semel.Ending, error) {
			time.Sleep(1500 * time.Millisecond)
			return keeps("paid"), nil
		}}
		wantKept(t, inTx(t, e, patient("order-1", 9*time.Second), s.mode(mode), work.run), answer("paid"))
		all.Wait()
	})
}

// L3: a wait in one mode is none of the other: when another process takes over what lapsed
// meanwhile, the time is over all the same.
func TestInTxWaitsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		other, _ := b.teller(t, semel.Config{})
		c := reserve(t, other, call("order-1", "x"))
		again := call("order-1", "x")
		again.Lapsed = semel.Rerun
		start, late := time.Now(), 0
		var second *semel.Claim
		s.tx.set(nil, func(step string) error {
			if step == "rollback" && time.Since(start) > 9*time.Second {
				if late++; late == 2 { // after the try that saw it lapsed
					second = begin(t, other, again).Claim
				}
			}
			return nil
		})
		var all sync.WaitGroup
		all.Go(func() { time.Sleep(9 * time.Second); c.Abandon(t.Context()) })
		mine := patient("order-1", semel.MaxWait)
		mine.Lapsed = semel.Rerun
		wantElse(t, inTx(t, e, mine, s.mode(semel.SingleTx), (&transfer{}).run), semel.InFlight)
		if took := time.Since(start); took > semel.MaxWait {
			t.Errorf("it waited for %v, more than %v", took, semel.MaxWait)
		}
		all.Wait()
		if second == nil {
			t.Fatal("nobody took over: the test shows nothing")
		}
		second.Abandon(t.Context())
	})
}

// A refusal of a try before the wait says nothing of what is there after it.
func TestInTxRefusalIsNotOlderThanTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		other, _ := b.teller(t, semel.Config{})
		order := func(there bool) {
			b.mu.Lock()
			defer b.mu.Unlock()
			delete(b.orders, "42")
			if there {
				b.orders["42"] = true
			}
		}
		var claim *semel.Claim
		begins := 0
		s.tx.set(func(step string) error {
			if step == "begin" {
				if begins++; begins == 2 { // between the try that was refused and the one that would keep it
					claim = reserve(t, other, call("order-1", "x"))
				}
			}
			return nil
		}, nil)
		order(true)
		var all sync.WaitGroup
		all.Go(func() {
			time.Sleep(5 * time.Second)
			order(false)
			if err := claim.Release(t.Context()); err != nil {
				t.Error(err)
			}
		})
		out := inTx(t, e, patient("order-1", 9*time.Second), s.mode(semel.SingleTx), func(ctx context.Context) (semel.Ending, error) {
			if err := cashierOf(ctx).order("42"); err == nil {
				return keeps("created"), nil
			}
			return semel.Ending{How: semel.Keep, Response: answer("there is one"), Refusal: true}, nil
		})
		wantKept(t, out, answer("created"))
		all.Wait()
	})
}

// Who is refused wakes nobody: a storm of duplicates is not one of polls.
func TestRefusedDuplicatesWakeNobody(t *testing.T) {
	inModes(t, func(in modal) {
		t, mode := in.T, in.TxMode
		b := newBank(t)
		e, s := b.teller(t, semel.Config{})
		other, _ := b.teller(t, semel.Config{})
		c := reserve(t, other, call("order-1", "x"))
		var all sync.WaitGroup
		all.Go(func() { inTx(t, e, patient("order-1", 9*time.Second), s.mode(mode), (&transfer{}).run) })
		synctest.Wait()
		asked := func() int { return s.tx.count("begin") + s.count(semel.StepReserve) }
		before := asked()
		for range 100 {
			inTx(t, e, call("order-1", "x"), s.mode(mode), (&transfer{}).run)
			synctest.Wait()
		}
		if n := asked() - before; n > 102 {
			t.Errorf("100 duplicates that were refused asked the store %d times", n)
		}
		complete(t, c, answer("paid"))
		all.Wait()
	})
}

// A request whose reserve says that it waits is counted once, also when its time is over
// before it can.
func TestWaitWithoutTimeIsObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		var mu sync.Mutex
		counted := 0
		e, s := b.teller(t, semel.Config{Observe: func(ctx context.Context, op semel.Op) (context.Context, func(semel.Event)) {
			return ctx, func(ev semel.Event) {
				mu.Lock()
				defer mu.Unlock()
				if (op.Step == semel.StepReserve || op.Step == semel.StepWait) && !ev.Waits {
					counted++
				}
			}
		}})
		other, _ := b.teller(t, semel.Config{})
		c := reserve(t, other, call("order-1", "x"))
		s.tx.set(func(string) error { time.Sleep(50 * time.Millisecond); return nil }, nil)
		wantElse(t, inTx(t, e, patient("order-1", 80*time.Millisecond), s.mode(semel.SingleTx), (&transfer{}).run), semel.InFlight)
		if counted != 1 {
			t.Errorf("counted %d times, want once", counted)
		}
		c.Abandon(t.Context())
	})
}
