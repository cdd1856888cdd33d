package semel

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// claim makes the claim of a fresh reservation and begins to renew it. start is
// the time before the reserve was sent. It returns nil when the engine was
// closed meanwhile.
func (e *Engine) claim(held Record, r Reservation, start time.Time, maxRun time.Duration) *Claim {
	c := &Claim{
		engine: e, key: held.Key, fingerprint: held.Fingerprint, token: held.Token,
		fence: held.Fence, attempts: held.Attempts, retention: r.Retention, route: r.Route,
	}
	c.blameless = held.Blameless()
	c.deferred.Store(held.Deferred)
	c.attempt.started, c.attempt.renewed, c.attempt.asked, c.attempt.maxRun = start, start, start, maxRun
	c.attempt.lease = r.Lease
	if !e.running.add(e, c) {
		return nil
	}
	return c
}

const completeTries = 5

const tooLate = "a response came too late: another attempt or an operator has ended the slot"

// stored is how many bytes of a response are in the store.
func stored(r Response, err error) int {
	if err != nil {
		return 0
	}
	return len(r.Header) + len(r.Body)
}

// complete seals r and stores it, with up to completeTries tries within
// Config.CompleteTimeout, and then in the background. The lease is renewed
// until r is stored or lost.
func (e *Engine) complete(ctx context.Context, c *Claim, r Response) (err error) {
	var sealed Response
	later := false
	defer func() {
		if !later {
			e.running.remove(c)
		}
		e.ended(c.key)
	}()
	if e.cfg.Observe != nil {
		var end func(Event)
		ctx, end = e.observe(ctx, c.op(StepComplete))
		defer func() { end(Event{Count: 1, Bytes: stored(sealed, err), Err: err}) }()
	}
	err = errNoReturn
	sealed, err = e.seal(ctx, c.key, c.route, r)
	if err != nil {
		e.cfg.Logger.ErrorContext(ctx, "a response is not stored, as it could not be sealed; the outcome stays unknown",
			"ref", e.Ref(c.key), "fence", c.fence, "err", err)
		return fmt.Errorf("%w: %w", ErrNotStored, err)
	}
	done := c.completion(sealed)
	err = errNoReturn
	if e.immediate {
		err = e.store.Complete(ctx, done)
	} else {
		if e.hold() { // also between the tries here and those in the background
			defer e.letGo()
		}
		err = e.completeWithin(context.WithoutCancel(ctx), done)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrLost):
		e.cfg.Logger.ErrorContext(ctx, tooLate, "ref", e.Ref(c.key), "fence", c.fence)
		return err
	case errors.Is(err, ErrTooLarge):
		later = true // the caller will complete it with less
		return &StoreError{StepComplete, err}
	}
	later = true
	e.completeLater(context.WithoutCancel(ctx), c, done)
	return fmt.Errorf("%w: %w", ErrNotStored, &StoreError{StepComplete, err})
}

// completeWithin makes its tries in one goroutine, so that the caller can be
// told ErrNotStored while one of them hangs.
func (e *Engine) completeWithin(ctx context.Context, done Completion) error {
	_, err := await(e, e.cfg.CompleteTimeout, func() (struct{}, error) {
		var err error
		tries := 0
		e.retry(e.quit.Done(), e.cfg.CompleteTimeout, func() bool {
			err = e.store.Complete(ctx, done)
			tries++
			return err == nil || errors.Is(err, ErrLost) || errors.Is(err, ErrTooLarge) || tries == completeTries
		})
		return struct{}{}, err
	}, nil)
	return err
}

// completeLater goes on for as long as the attempt might have run, and says how
// it ended.
func (e *Engine) completeLater(ctx context.Context, c *Claim, done Completion) {
	log := e.cfg.Logger.With("ref", e.Ref(c.key), "fence", c.fence)
	log.ErrorContext(ctx, "a response is not stored; trying on in the background")
	started := e.goOwned(func() {
		defer e.ended(c.key)
		defer e.running.remove(c)
		var err error
		e.retry(e.quit.Done(), c.attempt.maxRun, func() bool {
			err = e.store.Complete(ctx, done)
			return err == nil || errors.Is(err, ErrLost)
		})
		switch {
		case err == nil:
			log.WarnContext(ctx, "a response was stored late")
		case errors.Is(err, ErrLost):
			log.ErrorContext(ctx, tooLate)
		default:
			log.ErrorContext(ctx, "a response was never stored; the outcome stays unknown", "err", err)
		}
	})
	if !started {
		e.running.remove(c)
		log.ErrorContext(ctx, "a response was never stored, as the engine is closed; the outcome stays unknown")
	}
}

func (e *Engine) release(ctx context.Context, c *Claim) (err error) {
	defer e.ended(c.key)
	ctx, end := e.observe(ctx, c.op(StepRelease))
	defer func() { end(Event{Count: 1, Err: err}) }()
	ctx = context.WithoutCancel(ctx)
	err = errNoReturn
	_, err = await(e, e.cfg.ReserveTimeout, func() (struct{}, error) {
		return struct{}{}, e.store.Release(ctx, c.key, c.token)
	}, nil)
	if err == nil || errors.Is(err, ErrLost) {
		return err
	}
	e.inBackground(e.stop, c.attempt.maxRun, func() bool {
		err := e.store.Release(ctx, c.key, c.token)
		return err == nil || errors.Is(err, ErrLost)
	})
	return &StoreError{StepRelease, err}
}

func (e *Engine) abandon(ctx context.Context, c *Claim) {
	if e.renewer == nil {
		return
	}
	defer e.ended(c.key)
	err := errNoReturn
	ctx, end := e.observe(ctx, c.op(StepAbandon))
	defer func() { end(Event{Count: 1, Err: err}) }()
	ctx = context.WithoutCancel(ctx)
	_, err = await(e, e.cfg.ReserveTimeout, func() ([]Token, error) {
		return e.renewer.Renew(ctx, 0, []Holder{{c.key, c.token}})
	}, nil)
	if err != nil {
		e.cfg.Logger.WarnContext(ctx, "an abandoned attempt is held until its lease ends",
			"ref", e.Ref(c.key), "fence", c.fence, "err", err)
	}
}

// confirm reads the slot by a reserve that can change nothing but an empty slot,
// as it takes nothing over. It has a token of its own, so that giving back what
// it may have reserved can never touch the claim's reservation; and if that is
// not given back, nothing is unknown, as nothing runs under it.
func (e *Engine) confirm(ctx context.Context, c *Claim) (Outcome, error) {
	r := Reservation{
		Key: c.key, Fingerprint: c.fingerprint, Token: NewToken(),
		Lease: e.cfg.Lease, Margin: e.cfg.Margin, Retention: c.retention, Owner: e.cfg.Owner, Route: c.route,
		Deferred: true,
	}
	held, err := e.reserve(ctx, r, question{step: StepReserve})
	if err != nil {
		return Outcome{}, err
	}
	verdict := decide(held, r, Hold)
	switch verdict {
	case runs, asks: // an operator freed the slot, or it was purged
		e.undo(ctx, r, false)
		return Outcome{Kind: InFlight, Lapsed: true, Record: Record{Key: r.Key, Fence: held.Fence}}, nil
	case waits, unknown:
		if held.Token == c.token {
			return Outcome{Kind: Reserved, Record: held}, nil
		}
		verdict = unknown // what this attempt did is not, whatever another one does
	case replays, refuses, broken:
	}
	return e.answer(ctx, verdict, held)
}
