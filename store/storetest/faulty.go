package storetest

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/semel-go/semel"
)

var (
	_ semel.Store          = (*Faulty)(nil)
	_ semel.EffectBeginner = (*Faulty)(nil)
	_ semel.Renewer        = (*Faulty)(nil)
	_ semel.Purger         = (*Faulty)(nil)
	_ semel.Lister         = (*Faulty)(nil)
	_ semel.Resolver       = (*Faulty)(nil)
	_ semel.Resealer       = (*Faulty)(nil)
	_ semel.Auditor        = (*Faulty)(nil)
	_ semel.Messenger      = (*Faulty)(nil)
	_ semel.Pinger         = (*Faulty)(nil)
	_ semel.Grader         = (*Faulty)(nil)
)

// Faulty is a store whose steps fail as a script says. It is for tests of what
// stands above a store.
//
// A hook may block, to hold a step for as long as the test wants, and may be
// called by many goroutines at once. It must not change after the first step.
//
// Faulty has every optional capability. Where the inner store lacks one, the
// method fails with [errors.ErrUnsupported], except that Ping succeeds and
// Grade is empty. List, Resolve, Reseal, Audit, Trail, Send, Listen, Ping and Grade call
// no hook.
type Faulty struct {
	// Store does the work. Required.
	semel.Store
	// Before is called ahead of a step. Its error is the answer, and the step
	// does not happen. A renewal with a zero lease is [semel.StepAbandon].
	Before func(step semel.Step) error
	// After is called when a step has happened, whatever its result. Its error
	// is the answer instead: the true one is lost on the way.
	After func(step semel.Step) error
	// Immediate lets the engine see that the inner store is a
	// [semel.Immediate], if it is. By default it is hidden, so that the engine
	// applies its timeouts. Hooks must not block when it is set.
	Immediate bool
}

// Unwrap returns the inner store if Immediate is set, and otherwise nil, which
// ends the search of [semel.As] here.
func (f *Faulty) Unwrap() semel.Store {
	if f.Immediate {
		return f.Store
	}
	return nil
}

// Reserve implements [semel.Store].
func (f *Faulty) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	return inject(f, semel.StepReserve, func() (semel.Record, error) { return f.Store.Reserve(ctx, r) })
}

// Complete implements [semel.Store].
func (f *Faulty) Complete(ctx context.Context, c semel.Completion) error {
	_, err := inject(f, semel.StepComplete, func() (none, error) { return none{}, f.Store.Complete(ctx, c) })
	return err
}

// Release implements [semel.Store].
func (f *Faulty) Release(ctx context.Context, key semel.Key, token semel.Token) error {
	_, err := inject(f, semel.StepRelease, func() (none, error) { return none{}, f.Store.Release(ctx, key, token) })
	return err
}

// BeginEffects implements [semel.EffectBeginner].
func (f *Faulty) BeginEffects(ctx context.Context, key semel.Key, token semel.Token) error {
	_, err := inject(f, semel.StepBeginEffects, func() (none, error) {
		inner, ok := semel.As[semel.EffectBeginner](f.Store)
		if !ok {
			return none{}, errors.ErrUnsupported
		}
		return none{}, inner.BeginEffects(ctx, key, token)
	})
	return err
}

// Renew implements [semel.Renewer].
func (f *Faulty) Renew(ctx context.Context, lease time.Duration, holders []semel.Holder) ([]semel.Token, error) {
	step := semel.StepRenew
	if lease == 0 {
		step = semel.StepAbandon
	}
	return inject(f, step, func() ([]semel.Token, error) {
		inner, ok := semel.As[semel.Renewer](f.Store)
		if !ok {
			return nil, errors.ErrUnsupported
		}
		return inner.Renew(ctx, lease, holders)
	})
}

// Purge implements [semel.Purger].
func (f *Faulty) Purge(ctx context.Context, limit int) (int, error) {
	return inject(f, semel.StepPurge, func() (int, error) {
		inner, ok := semel.As[semel.Purger](f.Store)
		if !ok {
			return 0, errors.ErrUnsupported
		}
		return inner.Purge(ctx, limit)
	})
}

type none struct{}

// inject runs a step between its hooks.
func inject[T any](f *Faulty, step semel.Step, run func() (T, error)) (T, error) {
	var zero T
	if f.Before != nil {
		if err := f.Before(step); err != nil {
			return zero, err
		}
	}
	result, err := run()
	if f.After != nil {
		if lost := f.After(step); lost != nil {
			return zero, lost
		}
	}
	return result, err
}

// List implements [semel.Lister].
func (f *Faulty) List(ctx context.Context, filter semel.Filter) iter.Seq2[semel.Record, error] {
	inner, ok := semel.As[semel.Lister](f.Store)
	if !ok {
		return func(yield func(semel.Record, error) bool) { yield(semel.Record{}, errors.ErrUnsupported) }
	}
	return inner.List(ctx, filter)
}

// Resolve implements [semel.Resolver].
func (f *Faulty) Resolve(ctx context.Context, r semel.Resolution) error {
	inner, ok := semel.As[semel.Resolver](f.Store)
	if !ok {
		return errors.ErrUnsupported
	}
	return inner.Resolve(ctx, r)
}

// Reseal implements [semel.Resealer].
func (f *Faulty) Reseal(ctx context.Context, holder semel.Holder, header, body []byte) error {
	inner, ok := semel.As[semel.Resealer](f.Store)
	if !ok {
		return errors.ErrUnsupported
	}
	return inner.Reseal(ctx, holder, header, body)
}

// Audit implements [semel.Auditor].
func (f *Faulty) Audit(ctx context.Context, e semel.AuditEntry) (semel.AuditEntry, error) {
	inner, ok := semel.As[semel.Auditor](f.Store)
	if !ok {
		return semel.AuditEntry{}, errors.ErrUnsupported
	}
	return inner.Audit(ctx, e)
}

// Trail implements [semel.Auditor].
func (f *Faulty) Trail(ctx context.Context, filter semel.AuditFilter) iter.Seq2[semel.AuditEntry, error] {
	inner, ok := semel.As[semel.Auditor](f.Store)
	if !ok {
		return func(yield func(semel.AuditEntry, error) bool) { yield(semel.AuditEntry{}, errors.ErrUnsupported) }
	}
	return inner.Trail(ctx, filter)
}

// Send implements [semel.Messenger].
func (f *Faulty) Send(ctx context.Context, text string) error {
	inner, ok := semel.As[semel.Messenger](f.Store)
	if !ok {
		return errors.ErrUnsupported
	}
	return inner.Send(ctx, text)
}

// Listen implements [semel.Messenger].
func (f *Faulty) Listen(ctx context.Context, ready func(), heard func(text string)) error {
	inner, ok := semel.As[semel.Messenger](f.Store)
	if !ok {
		return errors.ErrUnsupported
	}
	return inner.Listen(ctx, ready, heard)
}

// Ping implements [semel.Pinger].
func (f *Faulty) Ping(ctx context.Context) error {
	inner, ok := semel.As[semel.Pinger](f.Store)
	if !ok {
		return nil
	}
	return inner.Ping(ctx)
}

// Grade implements [semel.Grader].
func (f *Faulty) Grade() semel.Grade {
	inner, ok := semel.As[semel.Grader](f.Store)
	if !ok {
		return semel.Grade{}
	}
	return inner.Grade()
}
