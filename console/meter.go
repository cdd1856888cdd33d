package console

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/semel-go/semel"
)

// The ring of a [Meter].
const (
	bucketTime  = 5 * time.Second
	bucketCount = 15*60/5 + 1 // a quarter of an hour, and the one that fills
)

// Meter counts what an engine does in the last quarter of an hour, for the overview: how
// often, with which outcome, and how long the store took. It holds nothing of a
// request. It is safe for concurrent use; make one with [NewMeter].
type Meter struct {
	ring  [bucketCount]bucket
	turn  sync.Mutex // held to empty a bucket
	ends  [semel.StepPoll + 1]func(semel.Event)
	swept func(semel.Event)
	now   func() time.Time
	start time.Time
}

// bucket is one piece of time. Who adds to it just when it is emptied may be lost or
// counted in the next one, which nobody sees in a rate.
type bucket struct {
	number   atomic.Int64 // time since 1970 in bucketTime
	outcomes [outcomes]atomic.Uint32
	lost     atomic.Uint32 // attempts that lost their slot
	reserve  histogram
	complete histogram
}

// outcome is how a reserve ended.
type outcome int

const (
	executed outcome = iota
	replayed
	inFlight
	conflict
	held
	failed
	outcomes
)

// NewMeter returns a Meter with nothing counted.
func NewMeter() *Meter { return newMeter(time.Now) }

func newMeter(now func() time.Time) *Meter {
	m := &Meter{now: now, start: now()}
	for step := range m.ends { // made once, so that a step allocates nothing
		switch semel.Step(step) {
		case semel.StepReserve:
			m.ends[step] = m.reserved
		case semel.StepWait:
			m.ends[step] = m.settled
		case semel.StepPoll:
			m.ends[step] = func(e semel.Event) { m.bucket().reserve.add(e.Took) }
		case semel.StepComplete, semel.StepCommit:
			m.ends[step] = m.completed
		case semel.StepRenew:
			m.ends[step] = func(e semel.Event) { m.bucket().lost.Add(uint32(e.Lost)) } //nolint:gosec // never negative
		case semel.StepRelease, semel.StepAbandon, semel.StepRecover, semel.StepPurge, semel.StepBeginEffects,
			semel.StepLock, semel.StepSweep, semel.StepSeal, semel.StepOpen:
		}
	}
	m.swept = func(e semel.Event) { m.bucket().reserve.add(e.Took) }
	return m
}

type sweepingKey struct{}

// Observe is the [semel.Observer] for [semel.Config].Observe. What a sweep reserves is no
// request, and is not counted as one.
func (m *Meter) Observe(ctx context.Context, op semel.Op) (context.Context, func(semel.Event)) {
	switch {
	case int(op.Step) >= len(m.ends):
		return ctx, nil
	case op.Step == semel.StepSweep:
		return context.WithValue(ctx, sweepingKey{}, m), nil
	case op.Step == semel.StepReserve && ctx.Value(sweepingKey{}) != nil:
		return ctx, m.swept
	}
	return ctx, m.ends[op.Step]
}

// Beside returns an observer that calls m and next.
func (m *Meter) Beside(next semel.Observer) semel.Observer {
	if next == nil {
		return m.Observe
	}
	return func(ctx context.Context, op semel.Op) (context.Context, func(semel.Event)) {
		ctx, mine := m.Observe(ctx, op)
		ctx, theirs := next(ctx, op)
		switch {
		case mine == nil:
			return ctx, theirs
		case theirs == nil:
			return ctx, mine
		}
		return ctx, func(e semel.Event) {
			mine(e)
			theirs(e)
		}
	}
}

func (m *Meter) reserved(e semel.Event) {
	m.bucket().reserve.add(e.Took)
	m.settled(e)
}

// settled counts the outcome of a request, unless that is still to come.
func (m *Meter) settled(e semel.Event) {
	if !e.Waits {
		m.bucket().outcomes[outcomeOf(e)].Add(1)
	}
}

func (m *Meter) completed(e semel.Event) { m.bucket().complete.add(e.Took) }

func outcomeOf(e semel.Event) outcome {
	switch e.Kind {
	case semel.Reserved:
		return executed
	case semel.Replay:
		return replayed
	case semel.Conflict:
		return conflict
	case semel.InFlight:
		if e.Lapsed {
			return held
		}
		return inFlight
	}
	return failed
}

// bucket returns the one that fills now.
func (m *Meter) bucket() *bucket {
	number := m.now().UnixNano() / int64(bucketTime)
	b := &m.ring[number%bucketCount]
	if b.number.Load() == number {
		return b
	}
	m.turn.Lock()
	defer m.turn.Unlock()
	if b.number.Load() < number {
		b.empty()
		b.number.Store(number)
	}
	return b
}

func (b *bucket) empty() {
	for i := range b.outcomes {
		b.outcomes[i].Store(0)
	}
	b.lost.Store(0)
	b.reserve.empty()
	b.complete.empty()
}
