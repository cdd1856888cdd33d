package semel

import (
	"context"
	"errors"
)

// LockIn takes the lock of the slot in tx, the caller's open transaction, for as
// long as that is open. It should be the first statement of every try of a
// business transaction: the attempt cannot be taken over from here to the commit,
// whatever its lease says, and [ErrLost] tells one that was taken over before it has
// written anything. Roll back after an error.
//
// Under the promise of [Call].DeferEffects the lock ends the promise within tx: what is
// committed without CompleteIn may have had an effect, and a roll back restores it.
//
// A claim whose CompleteIn was called, and rolled back, may begin again with LockIn: it
// returns ErrLost if that has committed after all, and [ErrTxEnded] if CompleteIn did. What
// was committed before CompleteIn was called it cannot know of: call that first, always. An
// attempt that rolls back and goes on without a transaction asks [Claim.Confirm] first, as
// its lease may have ended meanwhile.
func (c *Claim) LockIn(ctx context.Context, tx Tx) (err error) {
	defer func() { c.unlocked.Store(err != nil) }()
	if c.IsUnknown() {
		return ErrTxEnded
	}
	switch c.standing.Load() {
	case open, keptInTx:
	default:
		return ErrSettled
	}
	e := c.engine
	if cause := e.running.ended(c); cause != nil {
		return cause
	}
	steps, err := tx.Steps(e.store)
	if err != nil {
		return err
	}
	if err := e.stepIn(ctx, StepLock, c, Response{}, func(ctx context.Context) error { return steps.Lock(ctx, c.key, c.token) }); err != nil {
		return err
	}
	c.standing.CompareAndSwap(keptInTx, open) // it was rolled back: the slot is still reserved
	e.running.enterTx(c)
	return nil
}

// Unlocked reports whether the last LockIn has failed, so that nothing has happened in a
// transaction since. A handler that then returns without an answer has not succeeded.
func (c *Claim) Unlocked() bool { return c.unlocked.Load() }

// stepIn runs a step of the caller's transaction, which writes with.
func (e *Engine) stepIn(ctx context.Context, name Step, c *Claim, with Response, f func(context.Context) error) (err error) {
	ctx, end := e.observe(ctx, c.op(name))
	defer func() { end(Event{Count: 1, Bytes: stored(with, err), Err: err}) }()
	err = errNoReturn
	err = f(context.WithoutCancel(ctx))
	if err != nil && !errors.Is(err, ErrLost) {
		err = &StoreError{name, err}
	}
	return err
}

// CompleteIn completes in tx, the caller's open transaction, so that the record
// and the business writes commit or vanish together (invariant I8). The claim
// counts as settled from then on. Commit next; then nothing may be sent before
// [Claim.Confirm] has told that it is committed.
//
// After an error roll the transaction back: [ErrLost], and nobody but the
// attempt that has taken the slot over may write; [ErrTooLarge]; [ErrSettled];
// [ErrOtherStore]; or a [*StoreError]. One that wraps [ErrTxEnded] says that the
// transaction had ended before, and may have been committed: by its own Commit, which
// belongs behind CompleteIn, or by a statement. The outcome is unknown then, whatever
// [Call].DeferEffects has promised, and stays so ([Claim.IsUnknown]).
// Not every store can find out that a statement has committed and begun another
// transaction; see [Claim.Confirm].
func (c *Claim) CompleteIn(ctx context.Context, tx Tx, r Response) error {
	e := c.engine
	steps, err := tx.Steps(e.store)
	if err != nil {
		return err
	}
	if c.IsUnknown() {
		return ErrTxEnded
	}
	if err := c.settle(keptInTx); err != nil {
		return err
	}
	e.running.enterTx(c)
	sealed, err := e.seal(ctx, c.key, c.route, r)
	if err != nil {
		return err
	}
	err = e.stepIn(ctx, StepComplete, c, sealed, func(ctx context.Context) error { return steps.Complete(ctx, c.completion(sealed)) })
	if errors.Is(err, ErrTxEnded) {
		c.txEnded.Store(true)
		c.deferred.Store(false)
		c.doubted.Store(true) // before anybody may end the lease
		c.doubted.Store(!e.confess(ctx, c.key, c.token, c.attempt.lease))
	}
	return err
}

// Confirm asks the store what has become of the slot, after ErrLost or after
// the transaction of LockIn and CompleteIn. The outcome is Replay when there is a kept
// response for this request, Reserved (without a Claim) when the slot is still
// held by this attempt, and InFlight with Lapsed when nothing is known. Reserved
// after a transaction means that it was rolled back: the claim is open again, and the
// attempt may go on without a transaction if its context has not ended.
//
// After LockIn or CompleteIn it waits for a transaction that is still open, as long as the
// store's time-outs allow, and returns an error when it stays so. When it finds that the
// promise of [Call].DeferEffects has ended in the record, something was committed without it:
// the outcome is unknown then, as after an [ErrTxEnded] of CompleteIn.
func (c *Claim) Confirm(ctx context.Context) (Outcome, error) {
	e := c.engine
	standing := c.standing.Load()
	inTx := standing == keptInTx || standing == open && e.running.inTx(c)
	out, err := e.confirm(ctx, c)
	if looker, ok := As[Looker](e.store); ok && inTx && err == nil && out.Kind == Reserved {
		// The plain read may have seen the moment before the commit.
		out, err = e.look(ctx, looker, c)
	}
	switch {
	case err != nil: // nothing is known, so nothing changes
	case out.Kind == Reserved:
		c.standing.CompareAndSwap(keptInTx, open)
		if inTx { // it was rolled back
			e.leaveTx(c)
			if !out.Record.Deferred && c.deferred.Swap(false) { // and what came before it was not
				c.txEnded.Store(true)
			}
		}
	case c.standing.CompareAndSwap(keptInTx, kept):
		e.running.remove(c)
		e.ended(c.key)
	}
	return out, err
}

// look asks what the slot of c holds when no transaction is at work on it.
func (e *Engine) look(ctx context.Context, looker Looker, c *Claim) (Outcome, error) {
	held, err := e.lookUp(ctx, looker, c.key)
	if err != nil {
		return Outcome{}, err
	}
	switch {
	case held.State == StateReserved && held.Token == c.token:
		return Outcome{Kind: Reserved, Record: held}, nil
	case held.State == StateCompleted && held.Fingerprint == c.fingerprint:
		return e.answer(ctx, replays, held)
	case held.State == StateCompleted:
		return e.answer(ctx, refuses, held)
	}
	held.Lapsed = true // what this attempt did is not known, whoever is there now
	return e.answer(ctx, unknown, held)
}

func (e *Engine) lookUp(ctx context.Context, looker Looker, key Key) (Record, error) {
	ctx = context.WithoutCancel(ctx)
	held, err := await(e, e.cfg.CompleteTimeout, func() (Record, error) { return looker.Look(ctx, key) }, nil)
	if err != nil {
		return Record{}, &StoreError{StepCommit, err}
	}
	return held, nil
}
