package semelhttp

import (
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
	errNoStream = fmt.Errorf("semelhttp: an answer cannot leave before its transaction is committed: %w", errors.ErrUnsupported)
	errNotWhole = errors.New("semelhttp: the answer has another length than it declares")
	errSwitch   = errors.New("semelhttp: an answer in a transaction needs a final status")
)

// InTx returns a Middleware whose handlers run in a transaction of txs: what a handler
// writes in it and its answer are committed together, or neither (invariant I8),
// and the answer is sent afterwards. The handler finds the transaction in its
// request's context (pgstore.TxFrom, semelsql.TxFrom) and does not end it.
//
//   - An answer that is kept, failures of the client included, commits.
//   - An answer of 500 and above, or one that frees or holds the key, rolls back, and
//     so does a panic: nothing has happened. [semel.Claim.Settle] overrules both.
//   - A 4xx is kept also when an error of the database has spoiled the transaction; any
//     other answer is then replaced by not-committed.
//
// A handler may run several times for one request, see [semel.Engine.InTx]; each
// time it finds the request as it was, and what it wrote before is forgotten. It must
// not call other services: an outbox table is the way to do that. Answers are held back whole,
// also those over MaxResponse, which are committed without their bytes; they
// cannot be flushed or hijacked.
func (m *Middleware) InTx(txs semel.Transactions) (*Middleware, error) {
	return m.With(func(c *Config) { c.Tx = txs })
}

// transacting is one request whose handler runs in transactions.
type transacting struct {
	mw      *Middleware
	w       http.ResponseWriter
	r       *http.Request
	next    http.Handler
	content []byte    // the request's
	s       *scratch  // while no try has it
	last    *recorder // of the last try
	trailer http.Header
}

func (x *transacting) run(call semel.Call) {
	defer func() {
		x.reclaim()
		x.s.free()
	}()
	if c := semel.FromContext(x.r.Context()); c != nil && c.Key() == call.Key && c.Fingerprint() == call.Fingerprint {
		b := &body{rest: x.content} // a Middleware around this one has the attempt
		defer func() { _ = b.Close() }()
		x.next.ServeHTTP(x.w, b.give(x.r.WithContext(x.r.Context())))
		return
	}
	x.s.keepOuter(x.w.Header())
	out, err := x.mw.engine.InTx(x.r.Context(), call, x.mw.cfg.Tx, x.try)
	switch {
	case errors.Is(err, errNotWhole):
		panic(http.ErrAbortHandler) // as net/http would cut the connection
	case err != nil:
		x.reset()
		x.refuse(err)
	case out.Ran:
		x.last.release(x.trailer)
	case out.Kind == semel.Replay:
		x.reset()
		x.mw.replay(x.w, x.r, out.Record)
	default:
		x.reset()
		x.mw.refuseHeld(x.w, x.r, call.Key, out.Outcome)
	}
}

// try runs the handler once. What an earlier try has written is forgotten.
func (x *transacting) try(ctx context.Context) (semel.Ending, error) {
	x.reset()
	clear(x.s.header)
	x.s.out = x.s.out[:0]
	c := &recorder{mw: x.mw, w: x.w, r: x.r, claim: semel.FromContext(ctx), s: x.s, length: -1, inTx: true}
	c.body.rest = x.content
	x.last, x.s = c, nil
	x.next.ServeHTTP(c, c.body.give(x.r.WithContext(ctx)))
	end, trailer, err := c.freeze()
	x.trailer = trailer
	return end, err
}

// reclaim takes the working memory from the last try.
func (x *transacting) reclaim() {
	if x.last != nil {
		x.s, x.last = x.last.close(), nil
	}
}

// reset makes the header what it was before the handler ran.
func (x *transacting) reset() {
	if x.last != nil {
		x.last.mu.Lock()
		x.last.reset()
		x.last.mu.Unlock()
		x.reclaim()
	}
}

// freeze ends the writing of a handler that has returned and says how its
// transaction is to end.
func (c *recorder) freeze() (semel.Ending, http.Header, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status == 0 {
		c.writeHeader(http.StatusOK)
	}
	c.frozen = true
	switch {
	case !c.whole():
		return semel.Ending{}, nil, errNotWhole
	case c.status < 200:
		return semel.Ending{}, nil, errSwitch
	}
	end := semel.Ending{How: c.disposition()}
	if _, told := c.claim.Settlement(); !told && end.How == semel.Keep && c.status >= http.StatusInternalServerError {
		end.How = semel.Free // rolled back, it has not happened
	}
	if end.How != semel.Keep {
		return end, c.takeTrailer(), nil
	}
	end.Refusal = c.status >= http.StatusBadRequest
	whole, trailer := c.answer()
	if c.written > c.mw.cfg.MaxResponse {
		whole = c.withoutBytes()
	}
	end.Response = whole
	return end, trailer, nil
}

// withoutBytes is what is kept of an answer whose bytes are not.
func (c *recorder) withoutBytes() semel.Response {
	blob := c.s.encode(c.status, flagNotKept, -1, nil, nil, c.mw.cfg.Omit)
	return semel.Response{Status: c.status, Header: append([]byte(nil), blob...)}
}

// release sends the frozen answer.
func (c *recorder) release(trailer http.Header) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.send(trailer)
	c.stop(http.ErrHandlerTimeout)
}

// refuse answers when nothing was committed, or nobody knows.
func (x *transacting) refuse(err error) {
	m, ctx := x.mw, x.r.Context()
	for _, mistake := range []error{
		semel.ErrTxOwned, semel.ErrTxSpoiled, semel.ErrTxOver, semel.ErrTooLarge, semel.ErrOverran, semel.ErrLost, errSwitch,
	} {
		if errors.Is(err, mistake) {
			m.log(ctx, "a request is not committed", err)
			m.refuse(x.w, x.r, ProblemNotCommitted, nil)
			return
		}
	}
	m.refuseFailure(x.w, x.r, err)
}

// CompleteIn completes the attempt of ctx in tx, a transaction that the handler has
// begun itself, with what it has written to w: answer and business writes are
// committed together, or neither (invariant I8). The answer is frozen from then on; it
// is sent when the handler has returned and the commit is confirmed. [semel.Claim.LockIn]
// should be the transaction's first statement.
//
// An error means that the transaction must be rolled back; it is one of
// [semel.Claim.CompleteIn]. After a roll back, [Reset] makes room for another answer, and
// LockIn and CompleteIn may be tried again in a new transaction. A handler that returns
// without having committed is told so in the log, its client gets not-committed, and
// the outcome is left to the policy.
//
// Without an attempt in ctx (a request without a key, where keys are optional) it
// does nothing.
func CompleteIn(ctx context.Context, w http.ResponseWriter, tx semel.Tx) error {
	claim := semel.FromContext(ctx)
	if claim == nil {
		return nil
	}
	c := recorderOf(w)
	if c == nil {
		return errors.New("semelhttp: the answer is written to a ResponseWriter that hides the middleware's: it needs a method Unwrap")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.inTx:
		return semel.ErrTxOwned
	case c.frozen:
		return ErrFrozen
	case c.mode != buffering:
		return errors.New("semelhttp: the answer, or a part of it, has been sent")
	}
	if c.status == 0 {
		c.writeHeader(http.StatusOK)
	}
	if !c.whole() {
		return errNotWhole
	}
	if c.status < 200 {
		return errSwitch
	}
	whole, _ := c.answer()
	c.frozen = true
	return claim.CompleteIn(ctx, tx, whole)
}

// Reset forgets what the handler has written to w, so that it may answer anew: after
// its transaction was rolled back. It returns an error when a part of the answer
// has been sent, or when w is no writer of a guarded request.
func Reset(w http.ResponseWriter) error {
	c := recorderOf(w)
	if c == nil {
		return errors.New("semelhttp: w does not belong to a guarded request")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mode != buffering {
		return errors.New("semelhttp: the answer, or a part of it, has been sent")
	}
	c.reset()
	clear(c.s.header)
	c.s.out = c.s.out[:0]
	c.status, c.written, c.length, c.frozen = 0, 0, -1, false
	return nil
}

// tellFrozen logs, once, that a handler writes to an answer that is not its own any more.
func (c *recorder) tellFrozen() {
	if c.told {
		return
	}
	c.told = true
	c.mw.log(context.WithoutCancel(c.r.Context()), "a handler writes to its answer after it was completed in a transaction", ErrFrozen)
}

var errRolledBack = errors.New("semelhttp: the transaction of the answer was rolled back, or never committed")

// notCommitted answers for a handler whose transaction was rolled back, or never
// committed, and who has no other answer. What it did elsewhere is not known,
// unless it had promised to do nothing.
func (c *recorder) notCommitted(ctx context.Context) {
	nothing := c.claim.Deferred()
	c.claim.Abandon(ctx)
	c.mw.log(ctx, "a handler has returned and its answer does not count", errRolledBack)
	c.reset()
	if nothing {
		c.mw.refuse(c.w, c.r, ProblemNotCommitted, nil)
		return
	}
	c.mw.refuse(c.w, c.r, ProblemOutcomeUnknown, c.mw.reference(c.claim.Key()))
}

// unconfirmed answers when nobody can tell whether the handler's transaction was
// committed: it may still be open.
func (c *recorder) unconfirmed(ctx context.Context, err error) {
	c.mw.log(ctx, "it cannot be told whether the transaction of an answer was committed; it may still be open", err)
	c.reset()
	c.mw.refuse(c.w, c.r, ProblemOutcomeUnknown, c.mw.reference(c.claim.Key()))
}
