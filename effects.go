package semel

import (
	"context"
	"errors"
)

// ErrInTx: an effect outside the database was to begin inside a transaction,
// which may be rolled back and run again. Nothing has happened.
var ErrInTx = errors.New("semel: effects outside cannot begin inside a transaction")

// Deferred reports whether the promise of [Call].DeferEffects still holds: nothing that
// the attempt did has had an effect outside its transactions.
func (c *Claim) Deferred() bool { return c.deferred.Load() }

// Locked reports whether the attempt is in a transaction: after [Claim.LockIn] or
// [Claim.CompleteIn] until Confirm has told that it was rolled back, and throughout
// [Engine.InTx]. What the attempt did may then still be undone, so nothing of it
// may be told.
func (c *Claim) Locked() bool { return c.engine.running.inTx(c) }

// BeginEffects ends the promise of [Call].DeferEffects: from here on the attempt may
// have effects, and if it lapses its outcome is unknown. Call it once everything
// that can be refused has been, before the first effect; when it returns nil,
// that is durable. Without the promise, or when it has been ended before, it
// returns nil and writes nothing.
//
// After any error there must be no effect. [ErrLost] says that the slot is
// another's, [ErrSettled] that the claim has been ended, [ErrInTx] that a transaction
// holds it ([Claim.LockIn], [Engine.InTx]): write down what is to be done outside,
// in the transaction, and let somebody do it later. A [*StoreError] says that
// nobody knows whether the promise is ended, which is safe.
func (c *Claim) BeginEffects(ctx context.Context) error {
	e := c.engine
	switch standing := c.standing.Load(); {
	case standing == abandoned, standing == kept, standing == freed, standing == lapsing:
		return ErrSettled
	case e.running.inTx(c):
		return ErrInTx
	case !c.deferred.Load():
		return nil
	}
	if cause := e.running.ended(c); cause != nil {
		return cause
	}
	err := e.beginEffects(ctx, c)
	if err == nil {
		c.deferred.Store(false)
	}
	return err
}

// IsUnknown reports whether nobody can tell any more what the attempt has done: after an
// [ErrTxEnded] of CompleteIn, what Confirm has found to be committed without the record, or
// [Claim.EndPromise]. LockIn, Complete and Release then return ErrTxEnded and do nothing.
func (c *Claim) IsUnknown() bool { return c.txEnded.Load() }

// EndPromise says that the promise of [Call].DeferEffects does not hold, because nobody can tell
// what the attempt has done: its outcome is unknown, and the claim is to be abandoned. It is for those who
// find that out afterwards, as a transport does. Until it is
// written down, which is tried in the background if it must, Abandon lets the lease stand.
func (c *Claim) EndPromise(ctx context.Context) {
	c.txEnded.Store(true)
	if !c.deferred.Swap(false) {
		return
	}
	c.doubted.Store(true) // before anybody may end the lease
	c.doubted.Store(!c.engine.endPromise(ctx, c.key, c.token, c.attempt.lease))
}

func (e *Engine) beginEffects(ctx context.Context, c *Claim) (err error) {
	beginner, ok := As[EffectBeginner](e.store)
	if !ok {
		return &StoreError{StepBeginEffects, errors.New("the store answered with a deferred record, but is no EffectBeginner")}
	}
	ctx, end := e.observe(ctx, c.op(StepBeginEffects))
	defer func() { end(Event{Count: 1, Err: err}) }()
	ctx = context.WithoutCancel(ctx)
	err = errNoReturn
	_, err = await(e, e.cfg.ReserveTimeout, func() (struct{}, error) {
		return struct{}{}, beginner.BeginEffects(ctx, c.key, c.token)
	}, nil)
	if err == nil || errors.Is(err, ErrLost) {
		return err
	}
	return &StoreError{StepBeginEffects, err}
}
