package semel_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// witness is an observer that checks what every observer may rely on: each step
// that begins ends once, and its event says what such a step can say.
type witness struct {
	t  testing.TB
	mu sync.Mutex

	open   int
	events map[semel.Step][]semel.Event
	refs   map[semel.Step][]string
}

type opKey struct{}

func newWitness(t testing.TB) *witness {
	t.Helper()
	w := &witness{t: t, events: map[semel.Step][]semel.Event{}, refs: map[semel.Step][]string{}}
	t.Cleanup(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.open != 0 {
			t.Errorf("%d steps have begun and not ended", w.open)
		}
	})
	return w
}

func (w *witness) observe(ctx context.Context, op semel.Op) (context.Context, func(semel.Event)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open++
	many := op.Step == semel.StepRenew || op.Step == semel.StepPurge || op.Step == semel.StepSweep
	if (op.Ref() == "") != many {
		w.t.Errorf("%v: got ref %q, want one if and only if the step is about one slot", op.Step, op.Ref())
	}
	if text := fmt.Sprintf("%v %+v %s", op, op, op); leaks(text) || !strings.Contains(text, op.Step.String()) {
		w.t.Errorf("%v: got %s in print, want the step and no key", op.Step, text)
	}
	ended := false
	ctx, cancel := context.WithCancel(context.WithValue(ctx, opKey{}, op)) // no observer can cancel a step
	return ctx, func(ev semel.Event) {
		cancel()
		w.mu.Lock()
		defer w.mu.Unlock()
		if ended {
			w.t.Errorf("%v: ended twice", op.Step)
		}
		ended = true
		w.open--
		w.check(op.Step, ev)
		w.events[op.Step] = append(w.events[op.Step], ev)
		w.refs[op.Step] = append(w.refs[op.Step], op.Ref())
	}
}

func (w *witness) check(step semel.Step, ev semel.Event) {
	asks := step == semel.StepReserve || step == semel.StepWait || step == semel.StepPoll
	if (ev.Kind != 0) != (asks && ev.Err == nil) {
		w.t.Errorf("%v: got kind %v with error %v, want one for each reserve that worked", step, ev.Kind, ev.Err)
	}
	if ev.Took < 0 || ev.Lost > ev.Count || (ev.Lost > 0 && step != semel.StepRenew) {
		w.t.Errorf("%v: got %+v, want a time and no more lost than there were", step, ev)
	}
	if step != semel.StepRenew && step != semel.StepPurge && step != semel.StepSweep && step != semel.StepWait && ev.Count != 1 {
		w.t.Errorf("%v: got count %d, want 1", step, ev.Count)
	}
	completes := step == semel.StepComplete || step == semel.StepCommit
	if ev.Lapses > 0 && ev.Kind != semel.Reserved || ev.Bytes > 0 && (!completes || ev.Err != nil) || ev.More && step != semel.StepPurge {
		w.t.Errorf("%v: got %+v, want lapses of a granted reserve, bytes of a complete that worked, more of a purge", step, ev)
	}
	ofAttempt := !asks && step != semel.StepSeal && step != semel.StepOpen && ev.Count == 1
	if ev.Age < 0 || ev.Age > 0 && !ofAttempt {
		w.t.Errorf("%v: got age %v, want one only of an attempt", step, ev.Age)
	}
	if ev.Err != nil && leaks(ev.Err.Error()) {
		w.t.Errorf("%v: the error tells the key: %v", step, ev.Err)
	}
}

// take returns the events of one kind of step so far, and forgets them.
func (w *witness) take(step semel.Step) []semel.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	events := w.events[step]
	delete(w.events, step)
	return events
}

// Each step of an attempt is told with its kind, its error and its time.
func TestObserveTellsEachStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		seen := newWitness(t)
		hook := &asking{answer: func(context.Context, semel.Record) (semel.Recovery, error) {
			time.Sleep(time.Second)
			return semel.Recovery{}, errCut
		}}
		cfg := hook.config()
		cfg.Observe = seen.observe
		e, w := process(t, store, cfg)
		pay := semel.Call{Key: secretKey}

		want := func(step semel.Step, want ...semel.Event) {
			t.Helper()
			got := seen.take(step)
			if len(got) != len(want) {
				t.Fatalf("%v: got %d events, want %d", step, len(got), len(want))
			}
			for i := range want {
				if got[i].Kind != want[i].Kind || got[i].Lapsed != want[i].Lapsed || got[i].Count != want[i].Count ||
					got[i].Lapses != want[i].Lapses || got[i].Bytes != want[i].Bytes || got[i].Age != want[i].Age ||
					got[i].Lost != want[i].Lost || got[i].Took != want[i].Took || !errors.Is(got[i].Err, want[i].Err) {
					t.Errorf("%v: got %+v, want %+v", step, got[i], want[i])
				}
			}
		}

		w.set(nil, at(semel.StepReserve, hangs(30*time.Millisecond, nil)))
		c := reserve(t, e, pay)
		want(semel.StepReserve, semel.Event{Kind: semel.Reserved, Count: 1, Took: 30 * time.Millisecond})
		w.heal()
		begin(t, e, pay)
		want(semel.StepReserve, semel.Event{Kind: semel.InFlight, Count: 1})
		begin(t, e, semel.Call{Key: secretKey, Fingerprint: semel.Fingerprint{1}})
		want(semel.StepReserve, semel.Event{Kind: semel.Conflict, Count: 1})
		time.Sleep(semel.DefaultLease / 2)
		want(semel.StepRenew, semel.Event{Count: 1})
		complete(t, c, answer("paid"))
		paid := answer("paid")
		want(semel.StepComplete, semel.Event{Count: 1, Bytes: len(paid.Header) + len(paid.Body), Age: 30*time.Millisecond + semel.DefaultLease/2})
		begin(t, e, pay)
		want(semel.StepReserve, semel.Event{Kind: semel.Replay, Count: 1})

		released := reserve(t, e, call("order-2", "x"))
		_ = released.Release(t.Context())
		want(semel.StepRelease, semel.Event{Count: 1})
		lost := reserve(t, e, call("order-2", "x"))
		_ = store.Release(t.Context(), lost.Key(), lost.Token())
		time.Sleep(semel.DefaultLease / 2)
		want(semel.StepRenew, semel.Event{Count: 1, Lost: 1})
		_ = lost.Complete(t.Context(), answer("a"))
		want(semel.StepComplete, semel.Event{Count: 1, Err: semel.ErrLost, Age: semel.DefaultLease / 2})

		lapses := reserve(t, e, call("order-2", "x"))
		lapses.Abandon(t.Context())
		want(semel.StepAbandon, semel.Event{Count: 1})
		seen.take(semel.StepReserve)
		asks := begin(t, e, call("order-2", "x"))
		wantUnknown(t, asks)
		want(semel.StepReserve, semel.Event{Kind: semel.Reserved, Count: 1, Lapses: 1})
		want(semel.StepRecover, semel.Event{Count: 1, Err: errCut, Took: time.Second})
		want(semel.StepAbandon, semel.Event{Count: 1, Age: time.Second})
		holding := call("order-2", "x")
		holding.Lapsed = semel.Hold
		wantUnknown(t, begin(t, e, holding))
		want(semel.StepReserve, semel.Event{Kind: semel.InFlight, Lapsed: true, Count: 1})

		inTx := reserve(t, e, call("order-3", "x"))
		_ = inTx.CompleteIn(t.Context(), ofTx{failing{errCut}}, answer("a"))
		want(semel.StepComplete, semel.Event{Count: 1, Err: errCut})
		inTx.Abandon(t.Context())
		want(semel.StepAbandon, semel.Event{Count: 1})

		seen.take(semel.StepReserve)
		w.cut()
		if _, err := e.Begin(t.Context(), pay); err == nil {
			t.Error("got no error, want one")
		}
		want(semel.StepReserve, semel.Event{Count: 1, Err: errCut})
		for _, refs := range seen.refs {
			for _, ref := range refs {
				if leaks(ref) || ref != "" && len(ref) != 12 {
					t.Errorf("got ref %q, want 12 digits and no key", ref)
				}
			}
		}
	})
}

// A hook that panics or ends its goroutine has ended its step, with an error.
func TestObserveEndsWithAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := newWitness(t)
		hook := &asking{answer: func(context.Context, semel.Record) (semel.Recovery, error) { panic("in the hook") }}
		cfg := hook.config()
		cfg.Observe = seen.observe
		store := memstore.New(memstore.Config{})
		crashed(t, store, call("order-1", "x"))
		time.Sleep(lapse)
		e, _ := process(t, store, cfg)
		func() {
			defer func() { _ = recover() }()
			_, _ = e.Begin(t.Context(), call("order-1", "x"))
		}()
		if got := seen.take(semel.StepRecover); len(got) != 1 || got[0].Err == nil {
			t.Errorf("got events %+v, want one with an error", got)
		}
	})
}

// ctxStore looks at the context of each step.
type ctxStore struct {
	semel.Store
	see func(ctx context.Context)
}

func (s ctxStore) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	s.see(ctx)
	return s.Store.Reserve(ctx, r)
}

func (s ctxStore) Complete(ctx context.Context, c semel.Completion) error {
	s.see(ctx)
	return s.Store.Complete(ctx, c)
}

// What the observer puts into the context reaches the store: spans nest.
func TestObserverContextReachesTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var steps []semel.Step
		store := ctxStore{memstore.New(memstore.Config{}), func(ctx context.Context) {
			op, _ := ctx.Value(opKey{}).(semel.Op)
			steps = append(steps, op.Step)
			if ctx.Value(valueKey{}) != "trace" {
				t.Errorf("%v: the caller's values are lost", op.Step)
			}
		}}
		e := newEngine(t, store, semel.Config{Observe: newWitness(t).observe})
		ctx := context.WithValue(t.Context(), valueKey{}, "trace")
		out, err := e.Begin(ctx, call("order-1", "x"))
		if err != nil {
			t.Fatal(err)
		}
		if err := out.Claim.Complete(ctx, answer("paid")); err != nil {
			t.Fatal(err)
		}
		if len(steps) != 2 || steps[0] != semel.StepReserve || steps[1] != semel.StepComplete {
			t.Errorf("got steps %v, want reserve and complete", steps)
		}
	})
}

// An observer that wants no end, and one on a store that is called directly.
func TestObserverWithoutEnd(t *testing.T) {
	var steps []semel.Step
	e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{
		Observe: func(ctx context.Context, op semel.Op) (context.Context, func(semel.Event)) {
			steps = append(steps, op.Step)
			return ctx, nil
		},
	})
	complete(t, reserve(t, e, call("order-1", "x")), answer("paid"))
	wantReplay(t, begin(t, e, call("order-1", "x")), answer("paid"))
	if len(steps) != 3 {
		t.Errorf("got steps %v, want 3", steps)
	}
}
