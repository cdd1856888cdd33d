package semelcrash

import (
	"context"
	"time"

	"github.com/semel-go/semel"
)

// Store watches the steps of s: Reserve, Complete and Release, and, if s can,
// BeginEffects and Renew. It can what s can, no more and no less; what is no step
// of an attempt (List, Purge, Resolve, Look) passes by.
func (p *Process) Store(s semel.Store) semel.Store {
	if p == nil {
		return s
	}
	if lister, ok := semel.As[semel.Lister](s); ok {
		p.mu.Lock()
		p.lister = lister
		p.mu.Unlock()
	}
	w := watched{p, s}
	renewer, renews := semel.As[semel.Renewer](s)
	beginner, begins := semel.As[semel.EffectBeginner](s)
	switch {
	case renews && begins:
		return &watchedBoth{w, watchedRenewer{p, renewer}, watchedBeginner{p, beginner}}
	case renews:
		return &watchedRenewing{w, watchedRenewer{p, renewer}}
	case begins:
		return &watchedBeginning{w, watchedBeginner{p, beginner}}
	}
	return &w
}

// watched is a store whose steps are watched. A capability that it lacks is found
// through Unwrap, and so must be one that has no steps.
type watched struct {
	p *Process
	s semel.Store
}

type (
	watchedBoth struct {
		watched
		watchedRenewer
		watchedBeginner
	}
	watchedRenewing struct {
		watched
		watchedRenewer
	}
	watchedBeginning struct {
		watched
		watchedBeginner
	}
)

func (w *watched) Unwrap() semel.Store { return w.s }

func (w *watched) Reserve(ctx context.Context, r semel.Reservation) (held semel.Record, err error) {
	w.p.step(StepReserve, func() { held, err = w.s.Reserve(ctx, r) })
	return held, err
}

func (w *watched) Complete(ctx context.Context, c semel.Completion) (err error) {
	w.p.step(StepComplete, func() { err = w.s.Complete(ctx, c) })
	return err
}

func (w *watched) Release(ctx context.Context, key semel.Key, token semel.Token) (err error) {
	w.p.step(StepRelease, func() { err = w.s.Release(ctx, key, token) })
	return err
}

type watchedRenewer struct {
	p *Process
	r semel.Renewer
}

func (w watchedRenewer) Renew(ctx context.Context, lease time.Duration, holders []semel.Holder) (lost []semel.Token, err error) {
	name := StepRenew
	if lease == 0 {
		name = StepAbandon
	}
	w.p.step(name, func() { lost, err = w.r.Renew(ctx, lease, holders) })
	return lost, err
}

type watchedBeginner struct {
	p *Process
	b semel.EffectBeginner
}

func (w watchedBeginner) BeginEffects(ctx context.Context, key semel.Key, token semel.Token) (err error) {
	w.p.step(StepBeginEffects, func() { err = w.b.BeginEffects(ctx, key, token) })
	return err
}
