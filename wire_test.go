package semel_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/storetest"
)

var errCut = errors.New("the wire is cut")

// wire stands between one engine and a store that others share, as a network
// does: steps wait and fail, and answers are lost after the step was applied.
// What it does may change while it runs. It checks that no step sees a context
// that can be cancelled.
type wire struct {
	*storetest.Faulty
	t testing.TB

	mu            sync.Mutex
	before, after func(semel.Step) error
	calls         map[semel.Step]int
	batches       []int // the sizes of the renewals
}

// process is an engine with its own wire to a store that others share, and a
// witness who checks all its steps.
func process(t *testing.T, store semel.Store, cfg semel.Config) (*semel.Engine, *wire) {
	t.Helper()
	w := newWire(t, store)
	if cfg.Observe == nil {
		cfg.Observe = newWitness(t).observe
	}
	return newEngine(t, w, cfg), w
}

func newWire(t *testing.T, store semel.Store) *wire {
	t.Helper()
	w := &wire{t: t, calls: map[semel.Step]int{}}
	w.Faulty = &storetest.Faulty{
		Store: store,
		Before: func(s semel.Step) error {
			w.mu.Lock()
			w.calls[s]++
			before := w.before
			w.mu.Unlock()
			return do(before, s)
		},
		After: func(s semel.Step) error {
			w.mu.Lock()
			after := w.after
			w.mu.Unlock()
			return do(after, s)
		},
	}
	return w
}

func do[S comparable](hook func(S) error, s S) error {
	if hook == nil {
		return nil
	}
	return hook(s)
}

// set replaces what happens before a step, whose error keeps it from happening,
// and after it, whose error is a lost answer. nil is nothing.
func (w *wire) set(before, after func(semel.Step) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before, w.after = before, after
}

// cut lets nothing through any more. To the store it looks like a crash.
func (w *wire) cut() { w.set(func(semel.Step) error { return errCut }, nil) }

func (w *wire) heal() { w.set(nil, nil) }

func (w *wire) count(s semel.Step) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[s]
}

// at returns a hook that runs f at every step of that kind.
func at[S comparable](step S, f func() error) func(S) error {
	return func(s S) error {
		if s != step {
			return nil
		}
		return f()
	}
}

// once returns a hook that runs f at the first step of that kind only.
func once[S comparable](step S, f func() error) func(S) error {
	var done atomic.Bool // not a sync.Once, whose second caller waits for the first
	return at(step, func() error {
		if done.Swap(true) {
			return nil
		}
		return f()
	})
}

func fails() error { return errCut }

// hangs waits for d and then returns err.
func hangs(d time.Duration, err error) func() error {
	return func() error { time.Sleep(d); return err }
}

func (w *wire) detached(ctx context.Context, step semel.Step) {
	if ctx.Done() != nil {
		w.t.Errorf("%v got a context that can be cancelled", step)
	}
}

func (w *wire) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	w.detached(ctx, semel.StepReserve)
	return w.Faulty.Reserve(ctx, r)
}

func (w *wire) Complete(ctx context.Context, c semel.Completion) error {
	w.detached(ctx, semel.StepComplete)
	return w.Faulty.Complete(ctx, c)
}

func (w *wire) Release(ctx context.Context, key semel.Key, token semel.Token) error {
	w.detached(ctx, semel.StepRelease)
	return w.Faulty.Release(ctx, key, token)
}

func (w *wire) BeginEffects(ctx context.Context, key semel.Key, token semel.Token) error {
	w.detached(ctx, semel.StepBeginEffects)
	return w.Faulty.BeginEffects(ctx, key, token)
}

func (w *wire) Renew(ctx context.Context, lease time.Duration, holders []semel.Holder) ([]semel.Token, error) {
	w.detached(ctx, semel.StepRenew)
	w.mu.Lock()
	w.batches = append(w.batches, len(holders))
	w.mu.Unlock()
	return w.Faulty.Renew(ctx, lease, holders)
}

func (w *wire) Purge(ctx context.Context, limit int) (int, error) {
	w.detached(ctx, semel.StepPurge)
	return w.Faulty.Purge(ctx, limit)
}

// plain is a store with no capability at all.
type plain struct{ w *wire }

func (p plain) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	return p.w.Reserve(ctx, r)
}

func (p plain) Complete(ctx context.Context, c semel.Completion) error { return p.w.Complete(ctx, c) }

func (p plain) Release(ctx context.Context, key semel.Key, token semel.Token) error {
	return p.w.Release(ctx, key, token)
}
