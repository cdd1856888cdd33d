package semel

import (
	"context"
	"errors"
	"time"
)

// What has become of an attempt whose transaction did not end before our eyes.

// confess ends the promise of an attempt whose transaction had ended before its completion:
// what it wrote may be committed, so the next one must not run as if nothing were.
func (e *Engine) confess(ctx context.Context, key Key, token Token, lease time.Duration) bool {
	e.cfg.Logger.ErrorContext(ctx, "a transaction had ended before its record was in it: the outcome is unknown", "ref", e.Ref(key))
	return e.endPromise(ctx, key, token, lease)
}

// endPromise ends the promise of an attempt that nobody can vouch for. It reports
// whether that is written down; if not, it is tried on for one lease, which must not be
// ended before.
func (e *Engine) endPromise(ctx context.Context, key Key, token Token, lease time.Duration) bool {
	beginner, ok := As[EffectBeginner](e.store)
	if !ok {
		return true // a store that keeps no promise
	}
	ctx = context.WithoutCancel(ctx)
	confessed := func() error {
		err := beginner.BeginEffects(ctx, key, token)
		if errors.Is(err, ErrLost) {
			return nil // it was rolled back after all
		}
		return err
	}
	_, err := await(e, e.cfg.ReserveTimeout, func() (struct{}, error) { return struct{}{}, confessed() }, nil)
	if err != nil {
		e.cfg.Logger.ErrorContext(ctx, "that the outcome is unknown is not written down yet: the next attempt may run", "ref", e.Ref(key), "err", err)
		e.inBackground(e.quit.Done(), e.longest(lease), func() bool { return confessed() == nil })
	}
	return err == nil
}

// overtaken answers for an attempt that lost its slot, and of whose writes nothing is left.
func (e *Engine) overtaken(ctx context.Context, c *Claim) (TxOutcome, error) {
	e.running.remove(c)
	out, err := e.confirm(ctx, c)
	if err != nil {
		return TxOutcome{}, err
	}
	if out.Kind != Replay && out.Kind != Conflict {
		out.Kind, out.Lapsed = InFlight, false // what this attempt did is known: nothing
	}
	return TxOutcome{Outcome: out}, nil
}

// lookAfter finds out whether a commit has happened whose answer was lost.
func (t *transacted) lookAfter(ctx context.Context, c *Claim, held Record, r Response, cause error) (TxOutcome, error) {
	now, err := t.engine.lookUntil(ctx, c.key)
	switch {
	case err != nil:
		return TxOutcome{}, errors.Join(cause, err)
	case now.State == StateCompleted && now.Token == c.token:
		return committed(held, r), nil
	case now.State == StateCompleted:
		return TxOutcome{}, ErrLost
	case now.State == StateReserved && now.Token != c.token:
		return TxOutcome{}, ErrLost
	case now.State != StateReserved && !c.attempt.leaseless:
		return TxOutcome{}, ErrLost // an operator or a purge came between
	}
	return TxOutcome{}, errNotCommitted
}

// errNotCommitted says that a commit whose answer was lost has not happened.
var errNotCommitted = errors.New("semel: the commit did not happen")

// lookUntil looks until the store answers, or CompleteTimeout is over: a server that
// fell in a commit may need a moment to come back.
func (e *Engine) lookUntil(ctx context.Context, key Key) (held Record, err error) {
	looker, ok := As[Looker](e.store)
	if !ok {
		return Record{}, errors.New("semel: the store cannot look")
	}
	e.retry(e.quit.Done(), e.cfg.CompleteTimeout, func() bool {
		held, err = e.lookUp(ctx, looker, key)
		return err == nil
	})
	return held, err
}
