package semel

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// tryTx is one transaction of [Engine.InTx]. Its steps take no longer than the engine
// allows: the driver is never told to give up, so one that hangs is left
// behind in a goroutine, which rolls back when it comes through.
type tryTx struct {
	engine *Engine
	tx     Transaction
	left   bool // to a step that hangs, or ended: nobody else may touch tx
	used   bool // by business code, and not committed
}

func (t *transacted) begin(ctx context.Context) (*tryTx, error) {
	e := t.engine
	ctx = context.WithoutCancel(ctx)
	tx, err := await(e, e.cfg.ReserveTimeout, func() (Transaction, error) { return t.txs.Begin(ctx) },
		func(late Transaction, err error) {
			if err == nil {
				late.Rollback(ctx)
			}
		})
	if err != nil {
		return nil, &StoreError{StepReserve, err}
	}
	return &tryTx{engine: e, tx: tx}, nil
}

// step runs one step of x within the timeout.
func step[T any](ctx context.Context, x *tryTx, name Step, timeout time.Duration, f func(ctx context.Context) (T, error)) (T, error) {
	type result struct {
		value T
		err   error // apart from await's: the driver may have an ErrTimeout of its own
	}
	ctx = context.WithoutCancel(ctx)
	r, err := await(x.engine, timeout, func() (r result, _ error) {
		r.value, r.err = f(ctx)
		return r, nil
	}, func(result, error) { x.tx.Rollback(ctx) })
	if err != nil {
		x.left, r.err = true, err
	}
	if r.err != nil && !errors.Is(r.err, ErrLost) {
		r.err = &StoreError{name, r.err}
	}
	return r.value, r.err
}

func (x *tryTx) lock(ctx context.Context, c *Claim) (err error) {
	if cause := x.engine.running.ended(c); cause != nil {
		return cause
	}
	ctx, end := x.engine.observe(ctx, c.op(StepLock))
	defer func() { end(Event{Count: 1, Err: err}) }()
	err = errNoReturn
	_, err = step(ctx, x, StepLock, x.engine.cfg.ReserveTimeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, x.tx.Lock(ctx, c.key, c.token)
	})
	if err == nil {
		x.engine.running.enterTx(c)
	}
	return err
}

func (x *tryTx) reserve(ctx context.Context, r Reservation, q question) (held Record, err error) {
	ctx, end := x.engine.observe(ctx, Op{Step: q.step, Route: r.Route, key: r.Key})
	defer func() { end(reserved(&held, r, q.patient, err)) }()
	err = errNoReturn
	held, err = step(ctx, x, StepReserve, x.engine.cfg.ReserveTimeout, func(ctx context.Context) (Record, error) {
		return x.tx.Reserve(ctx, r)
	})
	if err == nil && kindOf(held, r, nil) == 0 {
		err = &StoreError{StepReserve, nonsense(held)}
	}
	return held, err
}

// commit completes with r and commits.
func (x *tryTx) commit(ctx context.Context, c *Claim, r Response) error {
	e := x.engine
	if !e.hold() {
		return ErrClosed
	}
	defer e.letGo()
	sealed, err := e.seal(ctx, c.key, c.route, r)
	if err != nil {
		return err
	}
	last, with := x.tx.Commit, Response{}
	if both, ok := x.tx.(CompleteCommitter); ok {
		with = sealed
		last = func(ctx context.Context) error { return both.CompleteAndCommit(ctx, c.completion(sealed)) }
	} else if err := x.observed(ctx, StepComplete, c, sealed, func(ctx context.Context) error {
		return x.tx.Complete(ctx, c.completion(sealed))
	}); err != nil {
		return err
	}
	c.standing.Store(committing) // a renewal that finds it completed is no alarm
	err = x.observed(ctx, StepCommit, c, with, last)
	if err != nil {
		c.standing.Store(managed)
	}
	if x.left {
		err = errors.Join(ErrCommitUnknown, err)
	}
	return err
}

// observed runs a step that makes with durable.
func (x *tryTx) observed(ctx context.Context, name Step, c *Claim, with Response, f func(context.Context) error) (err error) {
	ctx, end := x.engine.observe(ctx, c.op(name))
	defer func() { end(Event{Count: 1, Bytes: stored(with, err), Err: err}) }()
	err = errNoReturn
	_, err = step(ctx, x, name, x.engine.cfg.CompleteTimeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, f(ctx)
	})
	return err
}

// rollback ends what was not committed, once. What hangs is ended by its last step.
func (x *tryTx) rollback(ctx context.Context) {
	if x.left {
		return
	}
	x.left = true
	ctx = context.WithoutCancel(ctx)
	_, _ = await(x.engine, x.engine.cfg.ReserveTimeout, func() (struct{}, error) { // its end does not matter: nothing of it can be committed
		x.tx.Rollback(ctx)
		return struct{}{}, nil
	}, nil)
}

// ended finds out, of what business code has used and nobody has committed, whether
// a statement had ended it before. An answer that does not come is a yes.
func (x *tryTx) ended() error {
	if !x.used {
		return nil
	}
	known, err := await(x.engine, x.engine.cfg.CompleteTimeout, func() (error, error) { return x.tx.Err(), nil }, nil)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrTxEnded, err)
	case errors.Is(known, ErrTxEnded):
		return known
	}
	return nil
}
