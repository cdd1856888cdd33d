package semel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"time"
)

// Sweeping says how [Engine.RunSweep] works.
type Sweeping struct {
	// Recover is asked about each lapsed attempt. Default [Config].Recover; one of
	// the two is required.
	Recover RecoverFunc
	// Only, when not nil, tells which attempts are to be asked about. Those that it refuses
	// stay as they are, for a retry or an operator. It gets the record as it is listed, and
	// must be quick. Default: all.
	Only func(held Record) bool
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
// still unknown, or cannot be kept, stays so, and is asked about again after a pause that doubles
// each time, from Every to an hour. Each process has pauses of its own, which begin anew when it
// starts. For each question the sweep takes the attempt over, which gives the record a
// new fence, owner and time. An attempt that cannot have had any
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
	w := &sweeper{engine: e, lister: lister, cfg: s, later: make(map[Slot]later)}
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
	place  time.Time // of the last attempt that was looked at; zero: begin anew
	later  map[Slot]later
}

// later is when an attempt whose outcome is still unknown is asked about again.
type later struct {
	at     time.Time
	pause  time.Duration
	fence  int64 // of the record that was left, and lapses too
	lapses int
}

// longestPause is between two questions about one attempt, if Every is not longer.
const longestPause = time.Hour

// waits reports whether an attempt is not to be asked about, or it is too early to do so again. One that began anew
// meanwhile is another; one that somebody else has asked about is not.
func (w *sweeper) waits(rec Record, now time.Time) bool {
	if w.cfg.Only != nil && !rec.Blameless() && !w.cfg.Only(rec) {
		return true
	}
	l, ok := w.later[rec.Key.Slot()]
	return ok && now.Before(l.at) && (rec.Fence == l.fence || rec.Lapses > l.lapses)
}

// note writes down how the question about rec has ended. After an error nobody knows what the
// slot holds: if rec was taken over, it lapses once more than rec.
func (w *sweeper) note(rec Record, out Outcome, err error) {
	slot := rec.Key.Slot()
	switch {
	case err != nil:
	case out.Kind == InFlight && out.Lapsed:
		rec = out.Record
	default:
		delete(w.later, slot)
		return
	}
	pause := w.cfg.Every
	if before, ok := w.later[slot]; ok {
		pause = min(2*before.pause, max(pause, longestPause))
	}
	w.later[slot] = later{time.Now().Add(pause), pause, rec.Fence, rec.Lapses}
}

// forget drops what somebody else must have settled: its time came long ago.
func (w *sweeper) forget(now time.Time) {
	maps.DeleteFunc(w.later, func(_ Slot, l later) bool { return now.Sub(l.at) > 2*max(w.cfg.Every, longestPause) })
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
	lapsed, place, err := w.lapsed(round)
	if err != nil {
		return err
	}
	for _, rec := range lapsed {
		if cause := context.Cause(round); cause != nil {
			return cause
		}
		looked++
		w.place = rec.CreatedAt
		out, serr := e.sweepOne(round, rec, w.asks(round))
		if serr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", e.Ref(rec.Key), serr))
		}
		w.note(rec, out, serr)
	}
	w.place = place
	return err
}

// mostLooks is how many batches of attempts a round passes over that are not to be asked about yet.
const mostLooks = 100

// lapsed lists the next attempts to ask about, the youngest first, and where to go on after
// them: zero when the list has ended. Of several that were made in the same
// microsecond as the last one, some may have to wait until the list begins anew.
func (w *sweeper) lapsed(ctx context.Context) (found []Record, place time.Time, err error) {
	now, looks := time.Now(), 0
	w.forget(now)
	f := Filter{States: []State{StateReserved}, Lapsed: true, Margin: w.engine.cfg.Margin}
	for rec, err := range w.lister.List(ctx, f) {
		switch {
		case err != nil:
			return nil, time.Time{}, err
		case rec.Key == sweepKey, !w.place.IsZero() && !rec.CreatedAt.Before(w.place):
			continue
		case !w.waits(rec, now):
			found = append(found, rec)
		}
		if looks++; len(found) == w.cfg.Batch || looks >= mostLooks*w.cfg.Batch {
			return found, rec.CreatedAt, nil
		}
	}
	return found, time.Time{}, nil
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
func (e *Engine) sweepOne(ctx context.Context, rec Record, hook RecoverFunc) (Outcome, error) {
	out, err := e.begin(ctx, Call{ // what a record has is stored already
		Key: rec.Key, Fingerprint: rec.Fingerprint, Route: rec.Route, Retention: rec.ExpiresAt.Sub(rec.CreatedAt),
		Lapsed: Recover, Recover: hook, DeferEffects: true,
	})
	if err != nil || out.Kind != Reserved {
		return out, err
	}
	if err := out.Claim.Release(ctx); err != nil && !errors.Is(err, ErrLost) {
		return out, err
	}
	return out, nil
}
