package semel

import (
	"context"
	"errors"
	"time"
)

// question is how observers see a reserve.
type question struct {
	step    Step
	patient bool // the call waits when the answer is that an attempt is in flight
}

// reserve runs the store's Reserve.
func (e *Engine) reserve(ctx context.Context, r Reservation, q question) (Record, error) {
	if e.isClosed() {
		return Record{}, ErrClosed
	}
	switch {
	case !e.immediate:
		return e.reserveWithin(ctx, r, q)
	case e.cfg.Observe != nil:
		return e.reserveSeen(ctx, r, q)
	}
	return e.reserveNow(ctx, r)
}

// reserveNow asks a store that never makes anybody wait.
func (e *Engine) reserveNow(ctx context.Context, r Reservation) (Record, error) {
	held, err := e.store.Reserve(ctx, r)
	if err != nil {
		return Record{}, &StoreError{StepReserve, err}
	}
	return held, nil
}

// reserveSeen is reserveNow under an observer.
func (e *Engine) reserveSeen(ctx context.Context, r Reservation, q question) (held Record, err error) {
	ctx, end := e.observe(ctx, Op{Step: q.step, Route: r.Route, key: r.Key})
	err = errNoReturn
	defer func() { end(reserved(&held, r, q.patient, err)) }()
	held, err = e.reserveNow(ctx, r)
	if err == nil && kindOf(held, r, nil) == 0 {
		err = &StoreError{StepReserve, nonsense(held)}
	}
	return held, err
}

// reserveWithin waits for no longer than the timeout and tries twice with the
// same token. When the result stays unknown it takes back in the background
// what may have been reserved.
func (e *Engine) reserveWithin(ctx context.Context, r Reservation, q question) (held Record, err error) {
	if !e.hold() {
		return Record{}, ErrClosed
	}
	defer e.letGo()
	ctx, end := e.observe(ctx, Op{Step: q.step, Route: r.Route, key: r.Key})
	defer func() { end(reserved(&held, r, q.patient, err)) }()

	start := time.Now()
	deadline := start.Add(e.cfg.ReserveTimeout)
	for try := 1; ; try++ {
		err = errNoReturn
		held, err = await(e, time.Until(deadline), func() (Record, error) {
			return e.store.Reserve(context.WithoutCancel(ctx), r)
		}, func(late Record, err error) {
			if err != nil || late.Token == r.Token {
				e.retry(e.stop, e.longest(r.Lease), e.takeBack(ctx, r, err != nil || late.Lapses > 0, true))
			}
		})
		if err == nil || try == 2 || errors.Is(err, ErrFull) || !time.Now().Before(deadline) {
			break
		}
	}
	switch {
	case err != nil:
	case kindOf(held, r, nil) == 0:
		err = nonsense(held)
	case held.Token == r.Token && (held.Lapsed || elapsed(start, time.Now())+tick(r.Lease) >= r.Lease):
		err = ErrTimeout // it is ours, but nothing of the lease is left to run under
	default:
		return held, nil
	}
	if !errors.Is(err, ErrFull) {
		e.inBackground(e.stop, e.longest(r.Lease), e.takeBack(ctx, r, true, false))
	}
	return Record{}, &StoreError{StepReserve, err}
}

func kindOf(held Record, r Reservation, err error) Kind {
	if err != nil {
		return 0
	}
	switch decide(held, r, Rerun) {
	case runs, asks:
		return Reserved
	case replays:
		return Replay
	case refuses:
		return Conflict
	case waits, unknown:
		return InFlight
	case broken:
	}
	return 0
}

// longest is for how long it is tried to take back what was reserved for this lease: a lease
// that is shorter than the usual one is no reason to give up before.
func (e *Engine) longest(lease time.Duration) time.Duration { return max(lease, e.cfg.Lease) }

// undo gives back, in the background, a reservation under which nothing ran.
func (e *Engine) undo(ctx context.Context, r Reservation, tookOver bool) {
	e.inBackground(e.stop, e.longest(r.Lease), e.takeBack(ctx, r, tookOver, true))
}

// takeBack returns a func that ends a reservation under which nothing ran, and
// reports whether that is done. arrived says that the reservation is known to
// have been made; if not, ErrLost may mean that it is still to come.
//
// One that took over a lapsed attempt, or may have, is not released: the slot
// would forget that an outcome is unknown, and the next attempt would run
// without asking (I7). Its lease is ended instead.
func (e *Engine) takeBack(ctx context.Context, r Reservation, tookOver, arrived bool) func() bool {
	ctx = context.WithoutCancel(ctx)
	return func() bool {
		if !tookOver || !r.TakeOver {
			err := e.store.Release(ctx, r.Key, r.Token)
			return err == nil || arrived && errors.Is(err, ErrLost)
		}
		if e.renewer == nil {
			return true // the lease ends by itself
		}
		lost, err := e.renewer.Renew(ctx, 0, []Holder{{r.Key, r.Token}})
		return err == nil && (arrived || len(lost) == 0)
	}
}
