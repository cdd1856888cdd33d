package semel

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"time"
)

// ErrTxBusy: no try came through, because of other transactions or of connections
// that broke. Nothing has happened, and the key is free.
var ErrTxBusy = errors.New("semel: the transaction did not come through")

// ErrTxSpoiled: the business code met an error after which its transaction cannot be
// committed, and went on as if it had succeeded. Nothing has happened, and the
// key is free.
var ErrTxSpoiled = errors.New("semel: the transaction cannot be committed")

// Ending is how a try of the business code wants its transaction to end.
type Ending struct {
	// How: Keep commits, with Response as the outcome. Free rolls back; the key is
	// free. Unknown rolls back and holds the key until the policy for lapsed
	// attempts applies, which runs it again: nothing has happened.
	How Disposition
	// Response is kept with Keep.
	Response Response
	// Refusal says that Response is right also without the business writes, as
	// "there is such an order already" is: it is then kept alone when an error of the
	// database has spoiled the transaction.
	Refusal bool
}

// TxOutcome is what [Engine.InTx] answers.
type TxOutcome struct {
	// Outcome has no Claim. With Ran its Kind is Replay when the response is
	// committed, and Reserved when the last try was rolled back. Without Ran it is as
	// [Engine.Begin] has it, and InFlight when another attempt took the slot over.
	Outcome
	// Ran is true when the last try of this call is the one that counts.
	Ran bool
	// How is how that try has ended.
	How Disposition
}

// txTries bounds how often the business code runs.
const txTries = 5

// InTx reserves the slot of call, runs f in a transaction of txs and commits
// its writes together with the response that it wants to keep (invariant I8).
// When InTx returns, that is durable (I14). [TxMode] says what lies in the
// transaction. Most callers want [DoTx] or the middleware of semelhttp.
//
// f gets the attempt's context, with the transaction's handle in it and the claim
// ([FromContext]), of which only DerivedKey, Settle and what identifies it make
// sense. f runs again in a new transaction after a serialization failure, a deadlock
// or a connection that broke before the commit, up to 5 times: what it did is
// rolled back, so it must have no effect elsewhere. An attempt that lost its slot
// meanwhile does not run again. A commit whose answer was lost is looked up.
//
// An error of f rolls back, frees the key and is returned, if another try cannot
// help. Otherwise an error is one of [Engine.Begin], or says that the transaction was
// not committed and the key is free: [ErrTxBusy], [ErrTxSpoiled], [ErrTxOwned],
// [ErrTooLarge], a [*StoreError], or the cause that ended the attempt's context. Only one that
// wraps [ErrCommitUnknown] says that nobody knows whether it was committed; the next
// attempt will, and either replays or runs.
func (e *Engine) InTx(ctx context.Context, call Call, txs Transactions, f func(ctx context.Context) (Ending, error)) (TxOutcome, error) {
	if err := e.CheckTransactions(txs); err != nil {
		return TxOutcome{}, err
	}
	call.DeferEffects = true
	if err := e.admit(&call); err != nil {
		return TxOutcome{}, err
	}
	r, err := e.reservation(ctx, &call)
	if err != nil {
		return TxOutcome{}, err
	}
	if e.isClosed() {
		return TxOutcome{}, ErrClosed
	}
	t := &transacted{engine: e, txs: txs, call: call, asked: r, run: f}
	defer func() {
		if t.claim != nil { // or a storm of refused duplicates would be one of polls
			e.ended(r.Key)
		}
	}()
	if txs.Mode() == SingleTx {
		t.asked.TakeOver, t.asked.TakeOverBlameless = false, false
		out, ok, err := t.patiently(ctx)
		switch {
		case errors.Is(err, ErrLost):
			return e.overtaken(ctx, &Claim{key: r.Key, fingerprint: r.Fingerprint, token: r.Token, retention: r.Retention, route: r.Route})
		case ok, err != nil:
			return out, plain(err)
		}
		// An attempt of the other mode has lapsed on this slot: only that one's
		// rules can take it over.
	}
	return t.claimed(ctx)
}

// CheckTransactions returns [ErrOtherStore] unless txs are transactions of e's store, or
// of one that it wraps.
func (e *Engine) CheckTransactions(txs Transactions) error {
	if txs == nil {
		return errors.New("semel: no transactions")
	}
	for s := e.store; s != nil; {
		if reflect.ValueOf(s).Comparable() && s == txs.Store() {
			return nil
		}
		w, ok := s.(interface{ Unwrap() Store })
		if !ok {
			break
		}
		s = w.Unwrap()
	}
	return ErrOtherStore
}

// transacted is one call of InTx.
type transacted struct {
	engine  *Engine
	txs     Transactions
	call    Call
	asked   Reservation
	run     func(context.Context) (Ending, error)
	started time.Time // of the tries of single mode that go on now
	claim   *Claim    // of the last try
	alone   *Ending   // a refusal that is kept without the writes that failed
	ended   bool      // a statement has ended the transaction of the last try
}

// singly reserves in the transaction of the business code.
func (t *transacted) singly(ctx context.Context) (TxOutcome, bool, error) {
	defer func() { // also after a panic
		if t.ended && t.engine.confess(ctx, t.asked.Key, t.asked.Token, t.asked.Lease) && t.claim != nil {
			t.engine.abandon(ctx, t.claim) // a reservation that was committed too runs no more
		}
	}()
	return t.tries(ctx, t.single)
}

// claimed reserves on its own and runs the business code under that claim.
func (t *transacted) claimed(ctx context.Context) (TxOutcome, error) {
	e := t.engine
	out, err := e.begin(ctx, t.call)
	if err != nil || out.Kind != Reserved {
		return TxOutcome{Outcome: out}, err
	}
	c := out.Claim
	out.Claim, t.claim = nil, c
	if err := c.settle(managed); err != nil { // by a recovery hook that has not ended with its return
		return TxOutcome{}, err
	}
	inner := c.Attach(ctx)
	defer c.Detach()
	ended := false
	end := func(how uint32) {
		ended = true
		c.standing.Store(how)
		e.running.remove(c)
	}
	defer func() { // after a panic, Goexit, or when nobody knows
		switch {
		case ended:
		case t.ended && !e.confess(inner, c.key, c.token, c.attempt.lease):
			end(lapsing) // its lease gives the background time
		default:
			end(abandoned)
			e.abandon(inner, c)
		}
	}()
	tried, _, err := t.tries(inner, func(ctx context.Context, x *tryTx) (TxOutcome, bool, error) {
		if err := x.lock(ctx, c); err != nil {
			return TxOutcome{}, false, err
		}
		return t.business(ctx, x, c, out.Record)
	})
	switch {
	case errors.Is(err, ErrLost):
		return e.overtaken(inner, c)
	case errors.Is(err, ErrCommitUnknown), errors.Is(err, ErrTxEnded):
		// The next attempt finds out, or hears that nobody knows.
	case err != nil, tried.Kind == Reserved && tried.How == Free:
		end(freed)
		err = plain(err)
		if rerr := e.release(inner, c); rerr != nil && !errors.Is(rerr, ErrLost) {
			err = errors.Join(err, rerr)
		}
	case tried.Kind == Replay:
		end(kept)
	}
	return tried, err
}

// single reserves inside the transaction. It reports false when the slot holds a
// lapsed reservation.
func (t *transacted) single(ctx context.Context, x *tryTx) (TxOutcome, bool, error) {
	e, r := t.engine, t.asked
	held, err := x.reserve(ctx, r, question{step: StepReserve, patient: t.call.Wait > 0})
	if err != nil {
		return TxOutcome{}, false, err
	}
	verdict := decide(held, r, Hold)
	if verdict == unknown || verdict == asks {
		return TxOutcome{}, false, nil
	}
	if verdict != runs {
		out, err := e.answer(ctx, verdict, held)
		return TxOutcome{Outcome: out}, true, err
	}
	if err := e.prepare(time.Now(), r.Lease); err != nil {
		return TxOutcome{}, false, err
	}
	c := &Claim{
		engine: e, key: held.Key, fingerprint: held.Fingerprint, token: held.Token,
		fence: held.Fence, attempts: held.Attempts, retention: r.Retention, route: r.Route,
	}
	t.claim = c
	c.standing.Store(managed)
	c.attempt.leaseless = true
	c.attempt.started, c.attempt.maxRun, c.attempt.lease = t.started, t.call.MaxRun, r.Lease
	if !e.running.add(e, c) {
		return TxOutcome{}, false, ErrClosed
	}
	defer e.running.remove(c)
	inner := c.Attach(ctx)
	defer c.Detach()
	return t.business(inner, x, c, held)
}

// business runs the business code once, and commits what it wants to keep.
func (t *transacted) business(ctx context.Context, x *tryTx, c *Claim, held Record) (TxOutcome, bool, error) {
	c.wish.Store(0) // what an earlier try was told to do with its answer is over
	end, err := t.outcome(ctx, x)
	if err != nil {
		return TxOutcome{}, true, err
	}
	out := TxOutcome{Outcome: Outcome{Kind: Reserved, Record: held}, Ran: true, How: end.How}
	if end.How != Keep {
		return out, true, nil
	}
	if cause := t.engine.running.ended(c); cause != nil {
		return TxOutcome{}, true, cause
	}
	switch err := x.commit(ctx, c, end.Response); {
	case errors.Is(err, ErrCommitUnknown):
		x.rollback(ctx) // what its connection still holds must not be waited for
		out, err := t.lookAfter(ctx, c, held, end.Response, err)
		x.used = err != nil
		return out, true, err
	case err != nil:
		return TxOutcome{}, true, err
	}
	x.left, x.used = true, false
	return committed(held, end.Response), true, nil
}

func committed(held Record, r Response) TxOutcome {
	held.State, held.Response, held.Deferred = StateCompleted, r, false
	return TxOutcome{Outcome: Outcome{Kind: Replay, Record: held}, Ran: true, How: Keep}
}

// errSpoiled ends a try whose refusal is to be kept alone.
var errSpoiled = errors.New("semel: the refusal is kept in another transaction")

// outcome is what the business code wants, if its transaction can do it.
func (t *transacted) outcome(ctx context.Context, x *tryTx) (Ending, error) {
	if t.alone != nil {
		return *t.alone, nil
	}
	x.used = true
	end, err := t.run(x.tx.Attach(ctx))
	spoiled := x.tx.Err()
	switch {
	case errors.Is(spoiled, ErrTxOwned): // that a statement has ended it is told when it is left, see ended
		return Ending{}, spoiled
	case spoiled != nil && t.txs.Again(spoiled):
		return Ending{}, spoiled // whatever the business code made of it
	case err != nil:
		return Ending{}, &businessError{err}
	case spoiled == nil || end.How != Keep:
		return end, nil
	case end.Refusal:
		t.alone = &end
		return Ending{}, errSpoiled
	}
	return Ending{}, fmt.Errorf("%w: %w", ErrTxSpoiled, spoiled)
}

// businessError is an error of the business code. It hides what it wraps: an ErrLost in
// it is of another attempt.
type businessError struct{ err error }

func (e *businessError) Error() string { return e.err.Error() }

// plain returns the error of the business code as it was.
func plain(err error) error {
	if own, ok := errors.AsType[*businessError](err); ok {
		return own.err
	}
	return err
}

// tries runs try, each time in a new transaction, until it need not be repeated.
func (t *transacted) tries(ctx context.Context, try func(context.Context, *tryTx) (TxOutcome, bool, error)) (TxOutcome, bool, error) {
	for n := 1; ; n++ {
		out, ok, err := t.once(ctx, try)
		switch {
		case err == nil || !t.again(err):
			return out, ok, err
		case n >= txTries:
			return out, ok, &businessError{fmt.Errorf("%w, %d times: %w", ErrTxBusy, n, plain(err))}
		}
		if t.claim != nil {
			if cause := t.engine.running.ended(t.claim); cause != nil {
				return TxOutcome{}, ok, cause
			}
		}
		limit := time.Millisecond << (2 * n)
		time.Sleep(limit/2 + rand.N(limit/2)) //nolint:gosec // jitter
	}
}

func (t *transacted) again(err error) bool {
	if errors.Is(err, errSpoiled) || errors.Is(err, errNotCommitted) {
		return true
	}
	err = plain(err)
	return !errors.Is(err, ErrCommitUnknown) && !errors.Is(err, ErrTimeout) && t.txs.Again(err)
}

func (t *transacted) once(ctx context.Context, try func(context.Context, *tryTx) (TxOutcome, bool, error)) (out TxOutcome, ok bool, err error) {
	x, err := t.begin(ctx)
	if err != nil {
		return TxOutcome{}, false, err
	}
	defer func() { // also after a panic
		x.rollback(ctx) // of what is not committed
		if cause := x.ended(); cause != nil {
			out, ok, err = TxOutcome{}, true, cause
		}
		t.ended = errors.Is(err, ErrTxEnded)
	}()
	return try(ctx, x)
}
