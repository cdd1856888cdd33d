package semel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// Sweeping says how [Engine.RunSweep] works.
type Sweeping struct {
	// Recover is asked about each lapsed attempt. Default [Config].Recover; one of
	// the two is required.
	Recover RecoverFunc
	// Every is the pause between two rounds. Default 1 min.
	Every time.Duration
	// Batch is how many lapsed attempts one round asks about, going on where the last
	// one ended. Default 100. A round also ends after [Config].MaxRun.
	Batch int
}

// sweepKey is the slot that the process holds which sweeps. It is stored as it is:
// nobody has called under it.
var sweepKey = Key{Scope: "semel", ID: "sweeper"}

// RunSweep asks a recovery hook about the attempts that lapsed, without waiting for
// a retry of their clients, until ctx ends, whose cause it returns. What
// was executed is kept, so that a retry is replayed; what was not is freed; what is
// still unknown stays so for the next round. An attempt that cannot have had any
// effect is freed without a question.
//
// Of all processes that run it on one store only one works at a time: it holds a
// reservation of the store, which appears in lists under the scope "semel". It asks about every
// lapsed attempt, whatever the policy of its route: the hook answers
// [StillUnknown] for what it does not know. The hook's context also ends with ctx
// and with the round. A panic of the hook counts as an error: one attempt must not keep
// the others from being asked about.
//
// It returns an error at once when the store is no [Lister] or s is invalid, and
// [ErrClosed] when the engine is closed. A round that fails is logged, and the next one
// comes.
func (e *Engine) RunSweep(ctx context.Context, s Sweeping) error {
	lister, ok := As[Lister](e.store)
	if !ok {
		return errors.New("semel: the store cannot list")
	}
	if s.Recover == nil {
		s.Recover = e.cfg.Recover
	}
	s.Every, s.Batch = cmp.Or(s.Every, time.Minute), cmp.Or(s.Batch, 100)
	if s.Recover == nil || s.Every < 0 || s.Batch < 0 {
		return errors.New("semel: Sweeping needs a Recover func, and Every and Batch above 0")
	}
	w := &sweeper{engine: e, lister: lister, cfg: s}
	timer := time.NewTimer(s.Every)
	defer timer.Stop()
	for {
		err := w.sweep(ctx)
		switch {
		case err == nil || ctx.Err() != nil:
		case e.isClosed():
			return ErrClosed
		default:
			e.cfg.Logger.WarnContext(ctx, "sweep", "err", err)
		}
		timer.Reset(s.Every)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		}
	}
}

type sweeper struct {
	engine *Engine
	lister Lister
	cfg    Sweeping
	place  time.Time // of the last attempt that was asked about; zero: begin anew
}

// sweep is one round, if no other process is at one.
func (w *sweeper) sweep(ctx context.Context) (err error) {
	e := w.engine
	ctx, end := e.observe(ctx, Op{Step: StepSweep})
	looked := 0
	defer func() { end(Event{Count: looked, Err: err}) }()
	out, err := e.begin(ctx, Call{Key: sweepKey, Fingerprint: FingerprintOf([]byte("sweep")), Lapsed: Rerun, DeferEffects: true})
	switch {
	case err != nil:
		return err
	case out.Kind == Conflict:
		return fmt.Errorf("a request has taken the key of the sweep: %w", out.Err())
	case out.Kind != Reserved: // another process has its turn
		return nil
	}
	turn := out.Claim
	round, stop := context.WithCancelCause(turn.Attach(ctx))
	defer turn.Detach()
	defer stop(nil)
	defer context.AfterFunc(ctx, func() { stop(context.Cause(ctx)) })()
	defer func() {
		if rerr := turn.Release(ctx); rerr != nil && !errors.Is(rerr, ErrLost) {
			err = errors.Join(err, rerr)
		}
	}()
	lapsed, err := w.lapsed(round)
	if err != nil {
		return err
	}
	for _, rec := range lapsed {
		if cause := context.Cause(round); cause != nil {
			return cause
		}
		looked++
		w.place = rec.CreatedAt
		if serr := e.sweepOne(round, rec, w.asks(round)); serr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", e.Ref(rec.Key), serr))
		}
	}
	if looked < w.cfg.Batch { // that were the last ones
		w.place = time.Time{}
	}
	return err
}

// lapsed lists the next attempts to ask about, the youngest first. Of several that
// were made in the same microsecond as the last one asked about, some may have to wait
// until the list begins anew.
func (w *sweeper) lapsed(ctx context.Context) ([]Record, error) {
	var found []Record
	f := Filter{States: []State{StateReserved}, Lapsed: true, Margin: w.engine.cfg.Margin}
	for rec, err := range w.lister.List(ctx, f) {
		switch {
		case err != nil:
			return nil, err
		case rec.Key == sweepKey, !w.place.IsZero() && !rec.CreatedAt.Before(w.place):
			continue
		}
		if found = append(found, rec); len(found) == w.cfg.Batch {
			break
		}
	}
	return found, nil
}

// asks is the hook in one round.
func (w *sweeper) asks(round context.Context) RecoverFunc {
	return func(ctx context.Context, held Record) (found Recovery, err error) {
		ctx, stop := context.WithCancelCause(ctx)
		defer stop(nil)
		defer context.AfterFunc(round, func() { stop(context.Cause(round)) })()
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("the hook panicked: %v\n%s", p, debug.Stack())
			}
		}()
		return w.cfg.Recover(ctx, held)
	}
}

// sweepOne settles one lapsed attempt as a retry under [Recover] would, except that
// nobody is there to run what was not executed.
func (e *Engine) sweepOne(ctx context.Context, rec Record, hook RecoverFunc) error {
	out, err := e.begin(ctx, Call{ // what a record has is stored already
		Key: rec.Key, Fingerprint: rec.Fingerprint, Retention: rec.ExpiresAt.Sub(rec.CreatedAt),
		Lapsed: Recover, Recover: hook, DeferEffects: true,
	})
	if err != nil || out.Kind != Reserved {
		return err
	}
	if err := out.Claim.Release(ctx); err != nil && !errors.Is(err, ErrLost) {
		return err
	}
	return nil
}
