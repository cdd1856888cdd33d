package semel

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// claim makes the claim of a fresh reservation and begins to renew it. start is
// the time before the reserve was sent.
func (e *Engine) claim(held Record, start time.Time, retention, maxRun time.Duration) *Claim {
	c := &Claim{engine: e, record: held, retention: retention}
	c.attempt.started, c.attempt.renewed, c.attempt.maxRun = start, start, maxRun
	e.running.add(e, c)
	return c
}

const completeTries = 5

// complete seals r and stores it, with up to completeTries tries within
// Config.CompleteTimeout, and then in the background.
func (e *Engine) complete(ctx context.Context, c *Claim, r Response) (err error) {
	if e.cfg.Observe != nil {
		var end func(Event)
		ctx, end = e.observe(ctx, StepComplete, c.record.Key)
		defer func() { end(Event{Count: 1, Err: err}) }()
	}
	sealed, err := e.seal(c.record.Key, r)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotStored, err)
	}
	done := c.completion(sealed)
	if e.immediate {
		err = e.store.Complete(ctx, done)
	} else {
		err = e.completeWithin(context.WithoutCancel(ctx), done)
	}
	if err == nil || errors.Is(err, ErrLost) {
		return err
	}
	e.completeLater(context.WithoutCancel(ctx), c, done)
	return fmt.Errorf("%w: %w", ErrNotStored, &StoreError{StepComplete, err})
}

func (e *Engine) completeWithin(ctx context.Context, done Completion) error {
	deadline := time.Now().Add(e.cfg.CompleteTimeout)
	var err error
	for try, pause := 1, firstPause; try <= completeTries; try, pause = try+1, 2*pause {
		_, err = await(e, time.Until(deadline), func() (struct{}, error) {
			return struct{}{}, e.store.Complete(ctx, done)
		}, nil)
		if err == nil || errors.Is(err, ErrLost) || errors.Is(err, ErrClosed) || time.Until(deadline) <= pause {
			return err
		}
		if try < completeTries {
			time.Sleep(pause)
		}
	}
	return err
}

// completeLater goes on until the attempt's hard cap, and says how it ended.
func (e *Engine) completeLater(ctx context.Context, c *Claim, done Completion) {
	log := e.cfg.Logger.With("ref", e.Ref(c.record.Key), "fence", c.record.Fence)
	log.ErrorContext(ctx, "a response is not stored; trying on in the background")
	started := e.goOwned(func() {
		var err error
		e.retry(e.quit.Done(), c.attempt.left(), func() bool {
			err = e.store.Complete(ctx, done)
			return err == nil || errors.Is(err, ErrLost)
		})
		if err != nil {
			log.ErrorContext(ctx, "a response was never stored; the outcome stays unknown", "err", err)
			return
		}
		log.WarnContext(ctx, "a response was stored late")
	})
	if !started {
		log.ErrorContext(ctx, "a response was never stored; the engine is closed")
	}
}

func (e *Engine) release(ctx context.Context, c *Claim) (err error) {
	ctx, end := e.observe(ctx, StepRelease, c.record.Key)
	defer func() { end(Event{Count: 1, Err: err}) }()
	ctx = context.WithoutCancel(ctx)
	_, err = await(e, e.cfg.ReserveTimeout, func() (struct{}, error) {
		return struct{}{}, e.store.Release(ctx, c.record.Key, c.record.Token)
	}, nil)
	if err == nil || errors.Is(err, ErrLost) {
		return err
	}
	e.inBackground(e.stop, c.attempt.left(), func() bool {
		err := e.store.Release(ctx, c.record.Key, c.record.Token)
		return err == nil || errors.Is(err, ErrLost)
	})
	return &StoreError{StepRelease, err}
}

func (e *Engine) abandon(ctx context.Context, c *Claim) {
	if e.renewer == nil {
		return
	}
	var err error
	ctx, end := e.observe(ctx, StepAbandon, c.record.Key)
	defer func() { end(Event{Count: 1, Err: err}) }()
	ctx = context.WithoutCancel(ctx)
	_, err = await(e, e.cfg.ReserveTimeout, func() ([]Token, error) {
		return e.renewer.Renew(ctx, 0, []Holder{{c.record.Key, c.record.Token}})
	}, nil)
	if err != nil {
		e.cfg.Logger.WarnContext(ctx, "an abandoned attempt is held until its lease ends",
			"ref", e.Ref(c.record.Key), "fence", c.record.Fence, "err", err)
	}
}

// confirm reads the slot by a reserve that can change nothing but an empty
// slot: with the claim's own token it recognises itself, and it takes nothing
// over. An empty slot (an operator freed it, or it was purged) is reserved by
// this read, so it is released again.
func (e *Engine) confirm(ctx context.Context, c *Claim) (Outcome, error) {
	r := Reservation{
		Key: c.record.Key, Fingerprint: c.record.Fingerprint, Token: c.record.Token,
		Lease: e.cfg.Lease, Margin: e.cfg.Margin, Retention: c.retention, Owner: e.cfg.Owner,
	}
	held, err := e.reserve(ctx, r)
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{Record: held}
	switch decide(held, r, Hold) {
	case replays:
		out.Kind = Replay
		if out.Record.Response, err = e.open(r.Key, held.Response); err != nil {
			return Outcome{}, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	case runs, asks:
		if held.Fence == c.record.Fence {
			out.Kind = Reserved
			break
		}
		e.undo(ctx, r)
		out.Kind, out.Lapsed = InFlight, true
	case waits, unknown:
		out.Kind, out.Lapsed = InFlight, true
	case refuses:
		out.Kind = Conflict
	case broken:
		return Outcome{}, &StoreError{StepReserve, fmt.Errorf("the store answered a %s record that no reserve can leave", held.State)}
	}
	return out, nil
}

func (e *Engine) observe(ctx context.Context, step Step, key Key) (context.Context, func(Event)) {
	if e.cfg.Observe == nil {
		return ctx, func(Event) {}
	}
	op := Op{Step: step}
	if key != (Key{}) {
		op.Ref = e.Ref(key)
	}
	start := time.Now()
	ctx, end := e.cfg.Observe(ctx, op)
	return ctx, func(ev Event) {
		if end != nil {
			ev.Took = time.Since(start)
			end(ev)
		}
	}
}
