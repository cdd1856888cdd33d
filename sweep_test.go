package semel_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// ledger is a recovery hook that knows the effects of some keys, and counts who asks.
type ledger struct {
	mu    sync.Mutex
	knows map[string]semel.Recovery
	asked map[string]int
	then  func(ctx context.Context, held semel.Record) // when it is asked
}

func (l *ledger) recover(ctx context.Context, held semel.Record) (semel.Recovery, error) {
	l.mu.Lock()
	if l.asked == nil {
		l.asked = map[string]int{}
	}
	l.asked[held.Key.ID]++
	found, then := l.knows[held.Key.ID], l.then
	l.mu.Unlock()
	if then != nil {
		then(ctx, held)
	}
	return found, nil
}

func (l *ledger) times(id string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked[id]
}

// sweeping runs RunSweep until the end of the test, or stop is called, which returns
// what RunSweep did.
func sweeping(t *testing.T, e *semel.Engine, s semel.Sweeping) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.RunSweep(ctx, s) }()
	stop = sync.OnceValue(func() error {
		cancel(errEnough)
		return <-done
	})
	t.Cleanup(func() { _ = stop() })
	return stop
}

var errEnough = errors.New("enough")

// What was executed is kept, what was not is freed, what is unknown stays so and is
// asked about again, and what cannot have begun is freed without a question; nobody
// had to retry (I7, I9).
func TestSweepSettlesWhatHasLapsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		for _, id := range []string{"executed", "not executed", "unknown"} {
			c := call(id, "x")
			c.Retention = 48 * time.Hour
			crashed(t, store, c)
		}
		crashed(t, store, deferring("blameless", "x"))
		time.Sleep(lapse)
		seen := newWitness(t)
		running, _ := process(t, store, semel.Config{})
		runs := reserve(t, running, call("running", "x"))
		book := &ledger{knows: map[string]semel.Recovery{
			"executed": {Verdict: semel.Executed, Response: answer("found")}, "not executed": {Verdict: semel.NotExecuted},
			"blameless": {Verdict: semel.Executed, Response: answer("of nobody")}, "running": {Verdict: semel.NotExecuted},
		}}
		e, _ := process(t, store, semel.Config{Observe: seen.observe})
		stop := sweeping(t, e, semel.Sweeping{Recover: book.recover})
		time.Sleep(time.Second)
		wantReplay(t, begin(t, e, call("executed", "x")), answer("found"))
		reserve(t, e, call("not executed", "another request")) // it is free
		wantUnknown(t, begin(t, e, call("unknown", "x")))
		reserve(t, e, call("blameless", "another request"))
		wantOutcome(t, begin(t, e, call("running", "x")), semel.InFlight)
		for id, want := range map[string]int{"executed": 1, "not executed": 1, "unknown": 1} {
			if got := book.times(id); got != want {
				t.Errorf("%s was asked about %d times, want %d", id, got, want)
			}
		}
		if got := seen.take(semel.StepSweep); len(got) != 1 || got[0].Count != 4 || got[0].Err != nil {
			t.Errorf("got events %+v, want one of 4 lapsed attempts", got)
		}

		time.Sleep(time.Minute) // the next round
		if got := book.times("unknown"); got != 2 || len(book.asked) != 3 {
			t.Errorf("asked %v, want the unknown one once more", book.asked)
		}
		book.mu.Lock()
		book.knows["unknown"] = semel.Recovery{Verdict: semel.Executed, Response: answer("at last")}
		book.mu.Unlock()
		time.Sleep(2 * time.Minute)
		wantReplay(t, begin(t, e, call("unknown", "x")), answer("at last"))
		complete(t, runs, answer("paid"))
		time.Sleep(47 * time.Hour) // their own retention, and not the engine's
		wantReplay(t, begin(t, e, call("executed", "x")), answer("found"))
		wantError(t, stop(), errEnough)
	})
}

// One round asks about a batch, and the next goes on behind it, past those that stay
// unknown; then it begins anew.
func TestSweepPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		const n = 7
		for i := range n {
			crashed(t, store, call(fmt.Sprint("order-", i), "x"))
			time.Sleep(time.Millisecond)
		}
		time.Sleep(lapse)
		book := &ledger{}
		e, _ := process(t, store, semel.Config{Lapsed: semel.Recover, Recover: book.recover})
		sweeping(t, e, semel.Sweeping{Batch: 3, Every: time.Hour})
		for round, want := range []int{3, 6, 7, 10} {
			time.Sleep(time.Second)
			book.mu.Lock()
			sum, most := 0, 0
			for _, times := range book.asked {
				sum, most = sum+times, max(most, times)
			}
			book.mu.Unlock()
			if sum != want || most != (want+n-1)/n {
				t.Fatalf("after round %d: asked %v, want %d in all, evenly", round, book.asked, want)
			}
			time.Sleep(time.Hour - time.Second)
		}
	})
}

// Of several processes one works at a time; when it dies another takes its place.
func TestSweepIsOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		for i := range 5 {
			crashed(t, store, call(fmt.Sprint("order-", i), "x"))
		}
		time.Sleep(lapse)
		var mu sync.Mutex
		at, most := 0, 0
		book := &ledger{then: func(context.Context, semel.Record) {
			mu.Lock()
			at++
			most = max(most, at)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			at--
			mu.Unlock()
		}}
		var wires []*wire
		for range 3 {
			e, w := process(t, store, semel.Config{})
			wires = append(wires, w)
			sweeping(t, e, semel.Sweeping{Recover: book.recover, Every: 3 * time.Second})
		}
		time.Sleep(time.Minute)
		mu.Lock()
		if most != 1 || book.times("order-0") < 2 {
			t.Errorf("%d asked at a time, %d times, want one, more than once", most, book.times("order-0"))
		}
		mu.Unlock()
		wires[0].cut()
		wires[1].cut()
		time.Sleep(2 * lapse)
		before := book.times("order-0")
		time.Sleep(time.Minute)
		if got := book.times("order-0"); got == before {
			t.Error("nobody sweeps any more, want the one that lives")
		}
	})
}

// A hook that panics or fails is trouble of one attempt: the others are asked about,
// and the round is logged without a key.
func TestSweepHookFails(t *testing.T) {
	for name, how := range map[string]func(){"panics": func() { panic("in the hook") }, "goes on": func() {}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &lines{}
				store := memstore.New(memstore.Config{})
				crashed(t, store, call("good", "x"))
				time.Sleep(time.Millisecond)
				crashed(t, store, semel.Call{Key: secretKey}) // the youngest is asked about first
				time.Sleep(lapse)
				e, _ := process(t, store, semel.Config{Logger: log.logger()})
				sweeping(t, e, semel.Sweeping{Recover: func(_ context.Context, held semel.Record) (semel.Recovery, error) {
					if held.Key == secretKey {
						how()
						return semel.Recovery{Verdict: semel.Executed}, errors.New("in the hook")
					}
					return semel.Recovery{Verdict: semel.Executed, Response: answer("found")}, nil
				}})
				time.Sleep(time.Second)
				wantReplay(t, begin(t, e, call("good", "x")), answer("found"))
				wantUnknown(t, begin(t, e, semel.Call{Key: secretKey}))
				if text := log.String(); !strings.Contains(text, "in the hook") || !strings.Contains(text, e.Ref(secretKey)) || leaks(text) {
					t.Errorf("got log %s, want the error and the ref, and no key", text)
				}
			})
		})
	}
}

// A hook that hangs ends with its context: with the sweep's, at once, and with the
// round, which lasts no longer than MaxRun. The others get their turn.
func TestSweepHookHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		for i := range 2 {
			crashed(t, store, call(fmt.Sprint("order-", i), "x"))
			time.Sleep(time.Millisecond)
		}
		time.Sleep(lapse)
		book := &ledger{then: func(ctx context.Context, held semel.Record) {
			if c := semel.FromContext(ctx); c == nil || c.Token() != held.Token {
				t.Errorf("got claim %v, want that of the fresh reservation", c)
			}
			<-ctx.Done()
		}}
		e, _ := process(t, store, semel.Config{})
		stop := sweeping(t, e, semel.Sweeping{Recover: book.recover, Every: 10 * time.Second})
		time.Sleep(semel.DefaultMaxRun + time.Minute)
		if a, b := book.times("order-0"), book.times("order-1"); a == 0 || b == 0 || a+b > 4 {
			t.Errorf("asked about them %d and %d times, want both, one in each round", a, b)
		}
		start := time.Now()
		wantError(t, stop(), errEnough)
		if got := time.Since(start); got != 0 {
			t.Errorf("RunSweep ended after %v, want at once", got)
		}
		wantUnknown(t, begin(t, e, call("order-0", "x")))
	})
}

// The store fails in a round: it is logged, and the next round does what is left.
func TestSweepWhileTheStoreIsDown(t *testing.T) {
	for name, step := range map[string]semel.Step{"reserve": semel.StepReserve, "complete": semel.StepComplete, "release": semel.StepRelease} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &lines{}
				store := memstore.New(memstore.Config{})
				crashed(t, store, call("executed", "x"))
				crashed(t, store, call("not executed", "x"))
				time.Sleep(lapse)
				book := &ledger{knows: map[string]semel.Recovery{
					"executed": {Verdict: semel.Executed, Response: answer("found")}, "not executed": {Verdict: semel.NotExecuted},
				}}
				e, w := process(t, store, semel.Config{Logger: log.logger()})
				w.set(at(step, fails), nil)
				sweeping(t, e, semel.Sweeping{Recover: book.recover})
				time.Sleep(time.Second)
				if !strings.Contains(log.String(), "msg=sweep") {
					t.Errorf("got log %s, want the failed round", log)
				}
				w.heal()
				time.Sleep(5 * time.Minute)
				wantReplay(t, begin(t, e, call("executed", "x")), answer("found"))
				reserve(t, e, call("not executed", "another request"))
			})
		})
	}
}

// brokenList is a store whose list breaks off.
type brokenList struct{ *wire }

func (b brokenList) List(context.Context, semel.Filter) iter.Seq2[semel.Record, error] {
	return func(yield func(semel.Record, error) bool) {
		if yield(semel.Record{Key: call("order-1", "x").Key, State: semel.StateReserved, Lapsed: true}, nil) {
			yield(semel.Record{}, errCut)
		}
	}
}

func TestSweepListFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := newWitness(t)
		book := &ledger{}
		e := newEngine(t, brokenList{newWire(t, memstore.New(memstore.Config{}))}, semel.Config{Observe: seen.observe})
		sweeping(t, e, semel.Sweeping{Recover: book.recover, Every: time.Second})
		time.Sleep(1500 * time.Millisecond)
		if got := seen.take(semel.StepSweep); len(got) != 2 || !errors.Is(got[0].Err, errCut) || !errors.Is(got[1].Err, errCut) || got[0].Count != 0 {
			t.Errorf("got events %+v, want two rounds that failed", got)
		}
		if got := book.times("order-1"); got != 0 {
			t.Errorf("asked %d times, want never", got)
		}
	})
}

// A client whose key is that of the sweep keeps it from working, and the log says so.
func TestSweepKeyIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		e, _ := process(t, memstore.New(memstore.Config{}), semel.Config{Logger: log.logger()})
		reserve(t, e, semel.Call{Key: semel.Key{Scope: "semel", ID: "sweeper"}})
		sweeping(t, e, semel.Sweeping{Recover: (&ledger{}).recover})
		time.Sleep(time.Second)
		if !strings.Contains(log.String(), "taken the key of the sweep") {
			t.Errorf("got log %s, want that the key is taken", log)
		}
	})
}

func TestRunSweepRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		e, _ := process(t, store, semel.Config{})
		book := &ledger{}
		for name, s := range map[string]semel.Sweeping{
			"no hook": {}, "negative pause": {Recover: book.recover, Every: -1}, "negative batch": {Recover: book.recover, Batch: -1},
		} {
			if err := e.RunSweep(t.Context(), s); err == nil {
				t.Errorf("%s: got no error, want one", name)
			}
		}
		cannot := newEngine(t, plain{newWire(t, store)}, semel.Config{})
		if err := cannot.RunSweep(t.Context(), semel.Sweeping{Recover: book.recover}); err == nil {
			t.Error("got no error of a store that cannot list")
		}
		ended, cancel := cancellable(t)
		cancel()
		wantError(t, e.RunSweep(ended, semel.Sweeping{Recover: book.recover}), context.Canceled)
	})
}

// A closed engine ends its sweep, also in the middle of a round.
func TestSweepOfAClosedEngine(t *testing.T) {
	for _, during := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			store := memstore.New(memstore.Config{})
			crashed(t, store, call("order-1", "x"))
			time.Sleep(lapse)
			book := &ledger{}
			if during {
				book.then = func(ctx context.Context, _ semel.Record) { <-ctx.Done() }
			}
			e, _ := process(t, store, semel.Config{})
			done := make(chan error, 1)
			ctx, _ := cancellable(t)
			go func() { done <- e.RunSweep(ctx, semel.Sweeping{Recover: book.recover}) }()
			time.Sleep(time.Second)
			closeEngine(t, e)
			select {
			case err := <-done:
				wantError(t, err, semel.ErrClosed)
			case <-time.After(10 * time.Minute):
				t.Fatal("RunSweep goes on")
			}
			other, _ := process(t, store, semel.Config{})
			wantUnknown(t, begin(t, other, call("order-1", "x")))
		})
	}
}
