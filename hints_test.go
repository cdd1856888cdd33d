package semel_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// heed is how long ago the last question must be for a hint to lead to another one.
const heed = 25 * time.Millisecond

// radio is a way to the store on which messages may fail.
type radio struct {
	*wire
	mu     sync.Mutex
	sent   []string
	send   func(ctx context.Context, text string) error // nil: as the store does
	listen func(ctx context.Context, ready func(), heard func(string)) error
}

func (r *radio) Send(ctx context.Context, text string) error {
	r.mu.Lock()
	r.sent = append(r.sent, text)
	r.mu.Unlock()
	if r.send != nil {
		return r.send(ctx, text)
	}
	return r.wire.Send(ctx, text)
}

func (r *radio) Listen(ctx context.Context, ready func(), heard func(string)) error {
	if r.listen != nil {
		return r.listen(ctx, ready, heard)
	}
	return r.wire.Listen(ctx, ready, heard)
}

// hints counts the hints of a kind that were sent.
func (r *radio) hints(kind string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, text := range r.sent {
		n += strings.Count(text, kind)
	}
	return n
}

// tuned is an engine with hints over a radio.
func tuned(t *testing.T, store semel.Store, cfg semel.Config) (*semel.Engine, *radio) {
	t.Helper()
	r := &radio{wire: newWire(t, store)}
	cfg.Hints = true
	return newEngine(t, r, cfg), r
}

// forged is a message of another program.
func forged(e *semel.Engine, c semel.Call, kinds string) string {
	text := "1forged.."
	for _, kind := range kinds {
		text += string(kind) + e.Ref(c.Key)
	}
	return text
}

// L3: who waits in another process hears at once that the attempt has ended, however it has.
func TestHintsWake(t *testing.T) {
	for name, row := range map[string]struct {
		end  func(t *testing.T, c *semel.Claim)
		want func(t *testing.T, out semel.Outcome)
	}{
		"completed": {
			func(t *testing.T, c *semel.Claim) { t.Helper(); complete(t, c, answer("paid")) },
			func(t *testing.T, out semel.Outcome) { t.Helper(); wantReplay(t, out, answer("paid")) },
		},
		"released": {
			func(t *testing.T, c *semel.Claim) {
				t.Helper()
				if err := c.Release(t.Context()); err != nil {
					t.Fatal(err)
				}
			},
			func(t *testing.T, out semel.Outcome) { t.Helper(); wantOutcome(t, out, semel.Reserved) },
		},
		"given up": {
			func(t *testing.T, c *semel.Claim) { t.Helper(); c.Abandon(t.Context()) },
			func(t *testing.T, out semel.Outcome) { t.Helper(); wantUnknown(t, out) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memstore.New(memstore.Config{})
				here, _ := tuned(t, store, semel.Config{})
				there, _ := tuned(t, store, semel.Config{})
				for i := range 20 { // polls alone may be in time, but not always
					id := fmt.Sprint("order-", i)
					c := reserve(t, here, call(id, "x"))
					l := beginLater(t.Context(), there, patient(id, 5*time.Second))
					const runs = 2*time.Second + 345*time.Millisecond
					time.Sleep(runs)
					row.end(t, c)
					row.want(t, l.wait(t))
					if l.took < runs || l.took > runs+heed {
						t.Errorf("told after %v, want %v and no more than %v", l.took, runs, heed)
					}
				}
			})
		})
	}
}

// L3, I8: a transaction that commits here is told to those who wait in another process, after
// the commit.
func TestHintsWakeAfterACommit(t *testing.T) {
	inModes(t, func(in modal) {
		t, mode := in.T, in.TxMode
		b := newBank(t)
		here, s := b.teller(t, semel.Config{Hints: true})
		there, other := b.teller(t, semel.Config{Hints: true})
		for i := range 10 {
			c := call(fmt.Sprint("order-", i), "x")
			work := &transfer{then: func(context.Context) (semel.Ending, error) {
				time.Sleep(3 * time.Second)
				return keeps("paid"), nil
			}}
			var all sync.WaitGroup
			all.Go(func() { wantKept(t, inTx(t, here, c, s.mode(mode), work.run), answer("paid")) })
			time.Sleep(time.Second)
			start := time.Now()
			waits := c
			waits.Wait = 9 * time.Second
			wantElse(t, inTx(t, there, waits, other.mode(mode), work.run), semel.Replay)
			if took := time.Since(start); took < 2*time.Second || took > 2*time.Second+heed {
				t.Errorf("told after %v, want 2 s and no more than %v", took, heed)
			}
			all.Wait()
			work.wantRuns(t, 1)
		}
	})
}

// What nobody waits for is told to nobody, and in the process that waits itself no hint is
// needed.
func TestHintsCostNothingWithoutWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		e, r := tuned(t, store, semel.Config{})
		tuned(t, store, semel.Config{})
		for i := range 100 {
			if err := store.Send(t.Context(), forged(e, call("elsewhere", "x"), "?")); err != nil { // for another slot
				t.Fatal(err)
			}
			complete(t, reserve(t, e, call(fmt.Sprint("order-", i), "x")), answer("paid"))
		}
		time.Sleep(time.Minute)
		if len(r.sent) != 0 {
			t.Fatalf("%d messages were sent, want none", len(r.sent))
		}
		c := reserve(t, e, call("order", "x"))
		l := beginLater(t.Context(), e, patient("order", 9*time.Second))
		time.Sleep(4500 * time.Millisecond)
		complete(t, c, answer("paid"))
		wantReplay(t, l.wait(t), answer("paid"))
		time.Sleep(time.Minute)
		if asked, told := r.hints("?"), r.hints("!"); asked < 3 || asked > 5 || told != 0 {
			t.Errorf("in 4.5 s it was told %d times that somebody waits, and %d times that the attempt has ended, want 3 to 5 and 0", asked, told)
		}
	})
}

// A storm of forged hints costs the store a few polls, however many wait, and changes no
// outcome.
func TestStormOfHintsIsNoStormOfPolls(t *testing.T) {
	polls := func(storm bool) (asked int) {
		synctest.Test(t, func(t *testing.T) {
			const n = 1000
			store := memstore.New(memstore.Config{})
			e, r := tuned(t, store, semel.Config{MaxWaitersPerKey: n})
			other, _ := tuned(t, store, semel.Config{})
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
			text := forged(e, call("order-1", "x"), "!?!")
			for range 10_000 {
				time.Sleep(800 * time.Microsecond)
				if !storm {
					continue
				}
				if err := store.Send(t.Context(), text); err != nil {
					t.Fatal(err)
				}
			}
			complete(t, c, answer("paid"))
			all.Wait()
			asked = r.count(semel.StepReserve) - n // after the first question of each
		})
		return asked
	}
	calm, storm := polls(false), polls(true)
	t.Logf("polls without hints: %d, with 10,000: %d", calm, storm)
	if storm > calm+calm/2 { // the pauses are random
		t.Errorf("with 10,000 hints it polled %d times, without %d times", storm, calm)
	}
}

// L3: hints that are lost cost no more than the pause between two polls.
func TestLostHintsLeaveThePolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		here, _ := tuned(t, store, semel.Config{})
		there, r := tuned(t, store, semel.Config{})
		var log lines
		mute, m := tuned(t, store, semel.Config{Logger: log.logger()})
		r.send = func(context.Context, string) error { return nil }
		m.send = func(context.Context, string) error { return errors.New("no way") }
		c := reserve(t, here, call("order-1", "x"))
		all := []*later{
			beginLater(t.Context(), there, patient("order-1", 9*time.Second)),
			beginLater(t.Context(), mute, patient("order-1", 9*time.Second)),
		}
		const runs = 6 * time.Second
		time.Sleep(runs)
		complete(t, c, answer("paid"))
		for _, l := range all {
			wantReplay(t, l.wait(t), answer("paid"))
			if l.took > runs+500*time.Millisecond {
				t.Errorf("told after %v, want %v and a pause of 500 ms", l.took, runs)
			}
		}
		if n, asked := strings.Count(log.String(), "hints are not sent"), m.hints("?"); n != 1 || asked < 3 {
			t.Errorf("it said %d times that hints are not sent, and tried %d times, want once and 3 or more: %s", n, asked, log.String())
		}
	})
}

// Who cannot hear tries again, longer each time, and says so once; who never will tries no
// more. The engine serves all the same.
func TestListeningBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		var log lines
		e, r := tuned(t, store, semel.Config{Logger: log.logger()})
		var tries atomic.Int64
		r.listen = func(ctx context.Context, ready func(), heard func(string)) error {
			switch n := tries.Add(1); {
			case n < 10:
				return errors.New("no way")
			case n == 10:
				panic("the driver")
			case n == 11:
				ctx, cancel := context.WithTimeout(ctx, time.Minute)
				defer cancel()
				return r.wire.Listen(ctx, ready, heard)
			}
			return fmt.Errorf("a pooler: %w", errors.ErrUnsupported)
		}
		complete(t, reserve(t, e, call("order-1", "x")), answer("paid"))
		time.Sleep(10 * time.Second)
		if n := tries.Load(); n < 5 || n > 9 || e.Hearing() {
			t.Errorf("%d tries in 10 s, hearing %v, want 5 to 9 and false", n, e.Hearing())
		}
		time.Sleep(30 * time.Second)
		if !e.Hearing() {
			t.Error("it does not hear although it could")
		}
		time.Sleep(time.Hour)
		if n := tries.Load(); n != 12 || e.Hearing() {
			t.Errorf("got %d tries, hearing %v, want 12 and false", n, e.Hearing())
		}
		text := log.String()
		if lost, again := strings.Count(text, "are not heard"), strings.Count(text, "are heard again"); lost != 2 || again != 1 {
			t.Errorf("it said %d times that hints are not heard and %d times that they are, want 2 and 1: %s", lost, again, text)
		}
	})
}

// An engine that is closed neither listens nor sends.
func TestCloseEndsTheHints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		e, r := tuned(t, store, semel.Config{})
		other, _ := tuned(t, store, semel.Config{})
		c := reserve(t, e, call("order-1", "x"))
		l := beginLater(t.Context(), other, patient("order-1", 5*time.Second))
		time.Sleep(4 * time.Second)
		complete(t, c, answer("paid"))
		if err := e.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantReplay(t, l.wait(t), answer("paid"))
		if e.Hearing() {
			t.Error("it still listens")
		}
		if n := r.hints("!"); n != 1 {
			t.Errorf("it told %d times that the attempt has ended, want once, before it closed", n)
		}
	})
}

// A way that breaks as soon as it is there is tried as seldom as one that is not there.
func TestListeningThatEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, r := tuned(t, memstore.New(memstore.Config{}), semel.Config{})
		var tries atomic.Int64
		r.listen = func(_ context.Context, ready func(), _ func(string)) error {
			tries.Add(1)
			ready()
			return errors.New("permission denied")
		}
		complete(t, reserve(t, e, call("order-1", "x")), answer("paid"))
		time.Sleep(time.Minute)
		if n := tries.Load(); n > 25 {
			t.Errorf("%d tries in a minute", n)
		}
	})
}

// Close does not wait for hints that cannot be sent.
func TestCloseLeavesHintsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		e, r := tuned(t, store, semel.Config{})
		r.send = func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }
		for i := range 1000 {
			c := reserve(t, e, call(fmt.Sprint("order-", i), "x"))
			if err := r.wire.Send(t.Context(), forged(e, call(fmt.Sprint("order-", i), "x"), "?")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			complete(t, c, answer("paid"))
		}
		began := time.Now()
		if err := e.Close(t.Context()); err != nil || time.Since(began) > 6*time.Second {
			t.Errorf("closed after %v: %v", time.Since(began), err)
		}
	})
}

// A store that does not take messages makes nobody wait, and no more of them are kept than
// it is worth.
func TestHintsAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		e, r := tuned(t, store, semel.Config{})
		gate := make(chan struct{})
		r.send = func(context.Context, string) error { <-gate; return nil }
		reserve(t, e, call("order", "x")).Abandon(t.Context()) // it listens
		synctest.Wait()
		start := time.Now()
		for i := range 3000 {
			c := call(fmt.Sprint("order-", i), "x")
			claim := reserve(t, e, c)
			if err := store.Send(t.Context(), forged(e, c, "?")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			complete(t, claim, answer("paid"))
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("the attempts took %v", took)
		}
		close(gate)
		time.Sleep(time.Minute)
		if n := r.hints("!"); n < 1024 || n > 1400 {
			t.Errorf("got %d hints of 3,000, want those of one message and the 1,024 that were kept", n)
		}
	})
}

// A wait tells what has ended it.
func TestWaitTellsWhatHasEndedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		seen := make(map[semel.Wake]int)
		observe := func(ctx context.Context, op semel.Op) (context.Context, func(semel.Event)) {
			return ctx, func(ev semel.Event) {
				mu.Lock()
				defer mu.Unlock()
				if op.Step == semel.StepWait {
					seen[ev.Woke]++
				} else if ev.Woke != 0 {
					t.Errorf("%v: got %v", op.Step, ev.Woke)
				}
			}
		}
		store := memstore.New(memstore.Config{})
		e, r := tuned(t, store, semel.Config{Observe: observe})
		other, _ := tuned(t, store, semel.Config{})
		plain, _ := process(t, store, semel.Config{})
		for i := range 10 {
			for _, who := range []*semel.Engine{e, other, plain} {
				id := fmt.Sprintf("order-%p-%d", who, i)
				c := reserve(t, who, call(id, "x"))
				one, two := beginLater(t.Context(), e, patient(id, 5*time.Second)), beginLater(t.Context(), e, patient(id, 5*time.Second))
				time.Sleep(2 * time.Second)
				complete(t, c, answer("paid"))
				wantReplay(t, one.wait(t), answer("paid"))
				wantReplay(t, two.wait(t), answer("paid"))
			}
		}
		reserve(t, other, call("order", "x"))
		wantOutcome(t, begin(t, e, patient("order", time.Second)), semel.InFlight)
		l := beginLater(t.Context(), e, patient("order", 5*time.Second))
		time.Sleep(time.Second)
		r.cut() // a question that fails has ended it, and nothing came of it
		wantOutcome(t, l.wait(t), semel.InFlight)
		r.heal()
		if seen[semel.WakeLocal] != 20 || seen[semel.WakeHint] < 10 || seen[semel.WakeTimer] < 20 || seen[0] != 2 {
			t.Errorf("got %v, want 20 local, most of 20 by a hint, 20 or more by the timer, and 2 by nothing", seen)
		}
	})
}

// Hints that nobody can carry are refused when the engine is made.
func TestHintsNeedAMessenger(t *testing.T) {
	w := newWire(t, memstore.New(memstore.Config{}))
	if _, err := semel.New(plain{w}, semel.Config{Hints: true}); err == nil || !strings.Contains(err.Error(), "no Messenger") {
		t.Errorf("got %v, want that the store is no Messenger", err)
	}
}

// Send implements [semel.Messenger].
func (b *bank) Send(ctx context.Context, text string) error { return b.records.Send(ctx, text) }

// Listen implements [semel.Messenger].
func (b *bank) Listen(ctx context.Context, ready func(), heard func(string)) error {
	return b.records.Listen(ctx, ready, heard)
}
