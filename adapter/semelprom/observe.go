package semelprom

import (
	"context"
	"errors"
	"time"

	"github.com/semel-go/semel"
)

type sweepingKey struct{}

// Observe is the [semel.Observer] for semel.Config.Observe. It allocates nothing.
func (c *Collector) Observe(ctx context.Context, op semel.Op) (context.Context, func(semel.Event)) {
	switch {
	case op.Step >= numSteps:
		return ctx, nil
	case op.Step == semel.StepSweep:
		c.sweeps.Store(true)
		return context.WithValue(ctx, sweepingKey{}, true), c.quiet[op.Step]
	case c.sweeps.Load() && ctx.Value(sweepingKey{}) != nil: // no request and no handler
		return ctx, c.quiet[op.Step]
	}
	return ctx, c.route(op.Route).ends[op.Step]
}

// step counts what every step has.
func (c *Collector) step(step semel.Step, e semel.Event) {
	if step != semel.StepWait { // which is mostly a pause; its polls are the store's
		c.steps[step].took().Observe(e.Took.Seconds())
	}
	if e.Err != nil && !errors.Is(e.Err, semel.ErrLost) {
		c.steps[step].failed().Inc()
	}
	if c.ended != nil {
		c.ended(step, e)
	}
}

func (c *Collector) end(r *route, step semel.Step, e semel.Event) {
	c.step(step, e)
	switch step {
	case semel.StepReserve:
		c.reserved(r, e)
	case semel.StepWait:
		c.waits.WithLabelValues(outcomeNames[outcomeOf(e)]).Observe(e.Took.Seconds())
		c.woken.WithLabelValues(e.Woke.String()).Inc()
		c.reserved(r, e)
	case semel.StepComplete:
		c.completed(r, e)
	case semel.StepCommit:
		if e.Bytes > 0 { // the completion has travelled with it
			c.completed(r, e)
		}
	case semel.StepRelease:
		r.handlers[semel.Free].Observe(e.Age.Seconds())
	case semel.StepAbandon:
		r.handlers[semel.Unknown].Observe(e.Age.Seconds())
	case semel.StepRenew:
		if e.Lost > 0 {
			c.lost.WithLabelValues(step.String()).Add(float64(e.Lost))
		}
	case semel.StepPurge:
		c.purged.Add(float64(e.Count))
		if !e.More && e.Err == nil {
			c.caughtUp.Set(float64(time.Now().UnixMilli()) / 1000)
		}
	case semel.StepRecover, semel.StepSweep, semel.StepBeginEffects, semel.StepLock, semel.StepSeal, semel.StepOpen,
		semel.StepPoll:
	}
}

// reserved counts the outcome of a request, unless that is still to come.
func (c *Collector) reserved(r *route, e semel.Event) {
	if e.Waits {
		return
	}
	r.requests[outcomeOf(e)].Inc()
	if e.Lapses > 0 {
		r.takeovers.Inc()
	}
}

func (c *Collector) completed(r *route, e semel.Event) {
	if errors.Is(e.Err, semel.ErrLost) {
		c.lost.WithLabelValues(semel.StepComplete.String()).Inc()
		return
	}
	if e.Err == nil {
		c.bytes.Observe(float64(e.Bytes))
	}
	r.handlers[semel.Keep].Observe(e.Age.Seconds())
}
