package semelhttp

import (
	"context"
	"errors"
	"net/http"

	"github.com/semel-go/semel"
)

// A handler that locks its slot in a transaction of its own, and forgets to complete in it.

var errUncompleted = errors.New("semelhttp: a handler has locked its key by LockIn and succeeds without CompleteIn: whether its transaction was committed is not known")

// succeeds reports whether the answer says that something has happened, and the handler has
// not said how the attempt ends. A refusal claims nothing, so it may be kept whatever became
// of a transaction.
func (c *recorder) succeeds() bool {
	wish, told := c.claim.Settlement()
	status, _ := c.meaning() // 0 when a call does not say
	return status < http.StatusBadRequest && (!told || wish == semel.Unknown)
}

// isUnknown reports whether nobody can tell what a transaction of the handler's own has done.
// A refusal is kept, or frees the key, only if nothing was committed behind LockIn without the
// record, as far as the promise of the route lets that be seen.
func (c *recorder) isUnknown(ctx context.Context, ended bool) bool {
	if !ended && !c.succeeds() && c.claim.Deferred() && c.claim.Locked() {
		_, _ = c.claim.Confirm(ctx) // or the store waits when the answer is kept
	}
	return c.claim.IsUnknown()
}

// finishUnknown answers that nobody knows, whatever the handler says.
func (c *recorder) finishUnknown(ctx context.Context) {
	c.log(ctx, "a handler has returned and its answer does not count", semel.ErrTxEnded)
	c.claim.Doubt("the transaction had ended before its record was in it")
	c.endUnsent(ctx, c.refuseNotCommitted)
}

// finishUncompleted answers for such a handler when it succeeds. Its answer says what may not be
// committed, and what it has committed must not run again by the promise of its route:
// nothing is known.
func (c *recorder) finishUncompleted(ctx context.Context) {
	switch out, err := c.claim.Confirm(ctx); {
	case err != nil:
		c.log(ctx, "a handler has returned and its answer does not count; its transaction may still be open", err)
	case out.Kind == semel.Reserved:
		c.log(ctx, "a handler has returned and its answer does not count", errUncompleted)
	default:
		c.mw.answerInstead(c, semel.ErrLost)
		return
	}
	c.claim.EndPromise(ctx)
	c.claim.Doubt("LockIn without CompleteIn")
	c.endUnsent(ctx, c.refuseNotCommitted)
}
