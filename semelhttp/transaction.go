package semelhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/semel-go/semel"
)

var (
	errNoStream = fmt.Errorf("semelhttp: an answer cannot leave before its transaction has ended: %w", errors.ErrUnsupported)
	errNotWhole = errors.New("semelhttp: the answer has another length than it declares")
	errSwitch   = errors.New("semelhttp: an answer in a transaction needs a final status")
	errNested   = errors.New("semelhttp: a Middleware without transactions guards the request already, so the handler would run without one")
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
// A handler may run several times for one request, see [semel.Engine.InTx], and so does
// what lies between it and this Middleware. Each time it finds the request as it
// was, and what it wrote before is forgotten, except 1xx. It must not call other
// services: an outbox table is the way to do that. Answers are held back whole, also those
// over MaxResponse, which are committed without their bytes; they cannot be
// flushed or hijacked.
//
// A Middleware without transactions must not guard the same request from outside:
// it is refused then. InTx returns [semel.ErrOtherStore] when txs do not belong to
// the engine's store.
func (m *Middleware) InTx(txs semel.Transactions) (*Middleware, error) {
	if err := m.engine.CheckTransactions(txs); err != nil {
		return nil, err
	}
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
	fence   int64     // of the attempt, once it has been tried
	trailer http.Header
	short   bool // the store has no room for the bytes of the answer
}

func (x *transacting) run(call semel.Call) {
	defer func() {
		x.reclaim()
		x.s.free()
	}()
	x.mw.preset.mark(x.w.Header(), call.Key.ID)
	x.s.keepOuter(x.w.Header())
	out, err := x.mw.engine.InTx(x.r.Context(), call, x.mw.cfg.Tx, x.try)
	if errors.Is(err, semel.ErrTooLarge) {
		x.mw.log(x.r.Context(), "an answer is not kept, as the store has no room for one of its size: a retry gets 410", err)
		x.short = true
		call.Wait = 0 // it has waited
		out, err = x.mw.engine.InTx(x.r.Context(), call, x.mw.cfg.Tx, x.try)
	}
	switch {
	case errors.Is(err, errNotWhole):
		panic(http.ErrAbortHandler) // as net/http would cut the connection
	case err != nil:
		x.reset()
		x.refuse(call.Key, err)
	case out.Ran:
		x.last.release(x.trailer)
	case out.Kind == semel.Replay:
		x.reset()
		x.mw.replay(x.w, x.r, out.Record)
	case isInside(x.r, out.Record):
		x.reset()
		x.refuseNested(call.Key)
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
	x.last, x.s, x.fence = c, nil, c.claim.Fence()
	// A clone, because a handler may change the header or the URL where they lie.
	x.next.ServeHTTP(c, c.body.give(x.r.Clone(context.WithValue(ctx, tryKey{}, c))))
	end, trailer, err := c.freeze(x.short)
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
func (c *recorder) freeze(short bool) (semel.Ending, http.Header, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status == 0 {
		c.writeHeader(http.StatusOK)
	}
	c.ended = true
	c.frozen = true
	if err := c.fit(); err != nil {
		return semel.Ending{}, nil, err
	}
	end := semel.Ending{How: c.disposition()}
	status, _ := c.meaning()
	if _, told := c.claim.Settlement(); !told && end.How == semel.Keep && status >= http.StatusInternalServerError {
		end.How = semel.Free // rolled back, it has not happened
	}
	if end.How != semel.Keep {
		return end, c.takeTrailer(), nil
	}
	end.Refusal = status >= http.StatusBadRequest && status < http.StatusInternalServerError
	var trailer http.Header
	end.Response, trailer = c.answer()
	if short {
		end.Response = c.withoutBytes()
	}
	return end, trailer, nil
}

// fit says why the answer cannot be one of a transaction.
func (c *recorder) fit() error {
	switch {
	case !c.whole():
		return errNotWhole
	case c.status < 200:
		return errSwitch
	}
	return nil
}

// release sends the frozen answer.
func (c *recorder) release(trailer http.Header) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.send(trailer)
	c.stop(http.ErrHandlerTimeout)
}

// refuse answers when nothing was committed, or nobody knows.
func (x *transacting) refuse(key semel.Key, err error) {
	m, stored := x.mw, x.mw.engine.StoredKey(key)
	var which []any
	if x.fence > 0 {
		which = []any{"fence", x.fence}
	}
	if errors.Is(err, semel.ErrCommitUnknown) {
		m.logRefused(x.r, stored, "it is not known whether a request is committed", err, which...)
		m.refuseCommitUnknown(x.w, x.r, stored)
		return
	}
	if errors.Is(err, semel.ErrTxEnded) {
		m.logRefused(x.r, stored, "a request may be committed without its record", err, which...)
		m.refuse(x.w, x.r, ProblemOutcomeUnknown, m.referenceOf(key))
		return
	}
	for _, mistake := range []error{
		semel.ErrTxOwned, semel.ErrTxSpoiled, semel.ErrTooLarge, semel.ErrOverran, errSwitch,
	} {
		if errors.Is(err, mistake) {
			m.logRefused(x.r, stored, "a request is not committed", err, which...)
			m.refuse(x.w, x.r, ProblemNotCommitted, m.referenceOf(key))
			return
		}
	}
	m.refuseFailure(x.w, x.r, key, err)
}

// refuseNested answers where the handler would run without its transaction. Nothing has
// happened, and no retry helps: somebody has to set it up otherwise.
func (x *transacting) refuseNested(key semel.Key) {
	stored := x.mw.engine.StoredKey(key)
	x.mw.logRefused(x.r, stored, "a request is not committed", errNested)
	d := ProblemNotCommitted.Details()
	d.Retryable, d.ReuseKey = false, false
	d.Detail = "Nothing was done: the service is not set up to run this request in a transaction. A retry does not help."
	d.Extra = x.mw.reference(stored)
	x.mw.render(x.w, x.r, d)
}

// refuseCommitUnknown answers when nobody knows whether a transaction was
// committed. A retry will: it finds the kept answer, or runs.
func (m *Middleware) refuseCommitUnknown(w http.ResponseWriter, r *http.Request, stored semel.Key) {
	d := ProblemStoreUnavailable.Details()
	d.Detail = "It is not known whether the request was committed. Retry with the same key."
	d.Extra = m.reference(stored)
	m.render(w, r, d)
}

type tryKey struct{}

// isTrying reports whether r belongs to a handler that runs in a transaction for the
// slot of key. The store must not be asked then: it could wait for that transaction.
func (m *Middleware) isTrying(r *http.Request, key semel.Key) bool {
	c, _ := r.Context().Value(tryKey{}).(*recorder)
	if c == nil || c.mw.engine != m.engine || c.claim.Key() != m.engine.StoredKey(key) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mode == buffering
}
