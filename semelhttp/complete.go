package semelhttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/semel-go/semel"
)

// ErrFrozen: something was written to an answer that a transaction has taken
// already, see [CompleteIn]. It went nowhere.
var ErrFrozen = errors.New("semelhttp: the answer is part of a transaction and cannot be changed any more")

var (
	errSent       = errors.New("semelhttp: the answer, or a part of it, has been sent")
	errTooLate    = fmt.Errorf("%w, and its record is completed without the transaction: call LockIn before anything is written", errSent)
	errHidden     = errors.New("semelhttp: the answer is written to a ResponseWriter that hides the middleware's: it needs a method Unwrap")
	errOtherClaim = errors.New("semelhttp: the context is not that of the request that the answer belongs to")
	errRolledBack = errors.New("semelhttp: the transaction of the answer was not seen to commit with it: it was rolled back, or never committed after CompleteIn")
)

// LockIn is [semel.Claim.LockIn] of the attempt of ctx, for a handler that has begun tx
// itself: the first statement of each try of its transaction. From there on the
// answer is held back until the handler has returned, whatever its size, and cannot be
// flushed. After an error roll back and return: a handler that then writes nothing need
// not know whether another attempt has the slot, or its own lease was over. Its client
// gets what is kept, or is told that nothing was committed. Without an attempt, see
// [CompleteIn], it does nothing.
//
// A handler that has the lock and answers below 400, or not at all, without CompleteIn is not
// believed, whether it has committed or not: its client is told outcome-unknown. Believed is one
// that has rolled back and asked [semel.Claim.Confirm], or that says by [semel.Claim.Settle] (Keep or
// Free) how it ends. One that rolls back and gives up calls [Reset].
func LockIn(ctx context.Context, tx semel.Tx) error {
	claim := semel.FromContext(ctx)
	if claim == nil {
		return nil
	}
	return claim.LockIn(ctx, tx)
}

// CompleteIn completes the attempt of ctx in tx, a transaction that the handler has
// begun itself, with what it has written to w: answer and business writes are
// committed together, or neither (invariant I8). The answer is frozen from then on; it
// is sent when the handler has returned and the commit is confirmed. Call [LockIn]
// first: without it, an answer over MaxResponse leaves while it is written, and
// cannot be completed any more.
//
// After an error the transaction must be rolled back: [semel.ErrTxOwned] when it
// is [Middleware.InTx] that completes, [ErrFrozen] when this was called before, or one of
// [semel.Claim.CompleteIn]. After a roll back, [Reset] makes room for another
// answer, and LockIn and CompleteIn may be tried again in a new transaction. A
// handler that returns without having committed is told so in the log, its client
// gets not-committed or outcome-unknown, and the policy for lapsed attempts applies.
//
// w may be one that wraps the middleware's and has a method Unwrap. It must not
// hold back what is written to it, as a compressing one does.
//
// Without an attempt (a request without a key, where keys are optional) it does nothing.
func CompleteIn(ctx context.Context, w http.ResponseWriter, tx semel.Tx) error {
	claim, c := semel.FromContext(ctx), recorderOf(w)
	switch {
	case c == nil && claim == nil:
		return nil
	case c == nil:
		claim.Doubt("the answer is hidden from its transaction")
		hide(ctx, claim, tx)
		return errHidden
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.inTx:
		return semel.ErrTxOwned
	case c.mode != buffering:
		return errTooLate
	case c.frozen:
		return ErrFrozen
	}
	if c.status == 0 {
		c.writeHeader(http.StatusOK)
	}
	c.frozen = true // also after an error: what was written says that it is committed
	if claim != c.claim {
		return errOtherClaim
	}
	if err := c.fit(); err != nil {
		return err
	}
	whole, trailer := c.answer()
	c.s.trailer = trailer
	c.failed = claim.CompleteIn(ctx, tx, whole)
	return c.failed
}

// hide sees to it that the middleware does not send what is hidden from it either.
func hide(ctx context.Context, claim *semel.Claim, tx semel.Tx) {
	if claim.Locked() {
		return
	}
	if err := claim.LockIn(ctx, tx); err != nil { // the transaction may be over, and committed
		claim.EndPromise(ctx)
	}
}

// Reset forgets what the handler has written to w, so that it may answer anew: after
// its transaction was rolled back. A handler that then gives up and returns without having
// written anything need not know whether a commit has happened: its client gets the
// answer that was committed, or is told that none was, as after [CompleteIn].
//
// A writer between w and the middleware's that has a method ResetResponse() is told, so
// that it forgets its own part: a status that it believes to be sent, for one.
//
// It returns an error when a part of the answer has been sent, when the handler has
// returned, or when w is no writer of a guarded request.
func Reset(w http.ResponseWriter) error {
	c := recorderOf(w)
	if c == nil {
		return errors.New("semelhttp: w does not belong to a guarded request")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.mode != buffering:
		return errSent
	case c.inTx && c.frozen: // the handler has returned
		return ErrFrozen
	}
	c.reset()
	clear(c.s.header)
	c.s.out, c.s.blob, c.s.trailer = c.s.out[:0], c.s.blob[:0], nil
	c.emptied, c.failed = !c.inTx, nil
	c.status, c.written, c.length, c.frozen = 0, 0, -1, false
	tellReset(w)
	return nil
}

// tellReset tells the writers above the recorder.
func tellReset(w http.ResponseWriter) {
	for {
		if between, ok := w.(interface{ ResetResponse() }); ok {
			between.ResetResponse()
		}
		above, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return
		}
		w = above.Unwrap()
	}
}

// tellFrozen logs, once, that a handler writes to an answer that is not its own any more.
func (c *recorder) tellFrozen() {
	if c.told {
		return
	}
	c.told = true
	c.mw.log(context.WithoutCancel(c.r.Context()), "a handler writes to its answer when a transaction has taken it", ErrFrozen)
}

// finishFrozen answers for a handler that has called CompleteIn: with what it has
// written if that, and nothing else, is kept.
func (c *recorder) finishFrozen(ctx context.Context) {
	out, err := c.claim.Confirm(ctx)
	switch {
	case err != nil:
		c.log(ctx, "it cannot be told whether the transaction of an answer was committed; it may still be open", err)
		c.endUnsent(ctx, func(w http.ResponseWriter, r *http.Request) { c.mw.refuseCommitUnknown(w, r, c.claim.Key()) })
	case out.Kind == semel.Reserved:
		cause := errRolledBack
		if c.failed != nil {
			cause = fmt.Errorf("semelhttp: CompleteIn has failed: %w", c.failed)
		}
		c.log(ctx, "a handler has returned and its answer does not count", cause)
		if how, wished := c.claim.Settlement(); wished && how == semel.Free && c.claim.Release(ctx) == nil {
			c.reset()
			c.refuseNotCommitted(c.w, c.r)
			return
		}
		c.endUnsent(ctx, c.refuseNotCommitted)
	case out.Kind == semel.Replay && c.isKept(out.Record):
		c.send(c.s.trailer)
	case out.Kind == semel.Replay && c.emptied && out.Record.Token == c.claim.Token():
		c.reset()
		c.mw.sendKept(c.w, c.r, out.Record, false)
	default:
		c.mw.answerInstead(c, semel.ErrLost)
	}
}

func (c *recorder) refuseNotCommitted(w http.ResponseWriter, r *http.Request) {
	c.mw.refuse(w, r, ProblemNotCommitted, c.mw.reference(c.claim.Key()))
}

// log tells which record it is about.
func (c *recorder) log(ctx context.Context, msg string, err error) {
	key := c.claim.Key()
	c.mw.cfg.Logger.ErrorContext(ctx, msg, "ref", c.mw.engine.Ref(key), "fence", c.claim.Fence(), "err", err) //nolint:sloglint // the callers' messages are constants
}

// isKept reports whether rec has the frozen answer. The header blob tells: it has sums
// of the status and the body, unless it is kept without bytes.
func (c *recorder) isKept(rec semel.Record) bool {
	return rec.Token == c.claim.Token() && bytes.Equal(rec.Response.Header, c.s.blob)
}

// endUnsent ends an attempt whose frozen answer does not count. If it has had no
// effect but in its transaction, the next one runs or finds the kept answer, and
// refuse tells the client to try again; else its outcome is not known.
func (c *recorder) endUnsent(ctx context.Context, refuse func(http.ResponseWriter, *http.Request)) {
	deferred := c.claim.Deferred()
	c.claim.Doubt("the answer's transaction was not seen to commit")
	c.claim.Abandon(ctx)
	c.reset()
	if deferred {
		refuse(c.w, c.r)
		return
	}
	c.mw.refuse(c.w, c.r, ProblemOutcomeUnknown, c.mw.reference(c.claim.Key()))
}
