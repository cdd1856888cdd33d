package semelotel

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/semel-go/semel"
)

// The attributes of metrics, as semelprom names its labels.
const (
	labelOutcome = attribute.Key("outcome")
	labelRoute   = attribute.Key("route")
	labelStep    = attribute.Key("step")
	labelSettle  = attribute.Key("settle")
	labelBy      = attribute.Key("by")
)

// noRoute stands for calls without one.
const noRoute = "none"

// count counts a step that has ended. What a sweep does is no request and has no handler.
func (t *Telemetry) count(s step, e semel.Event) {
	ctx, name := s.ctx, s.op.Step.String()
	step := metric.WithAttributes(labelStep.String(name))
	t.took.Record(ctx, e.Took.Seconds(), step)
	if e.Err != nil && !isLost(e) {
		t.failures.Add(ctx, 1, step)
	}
	switch s.op.Step {
	case semel.StepRenew:
		if e.Lost > 0 {
			t.lost.Add(ctx, int64(e.Lost), metric.WithAttributes(labelBy.String(name)))
		}
		return
	case semel.StepPurge:
		t.purged.Add(ctx, int64(e.Count))
		return
	case semel.StepReserve, semel.StepComplete, semel.StepRelease, semel.StepAbandon, semel.StepRecover, semel.StepSweep,
		semel.StepBeginEffects, semel.StepLock, semel.StepCommit, semel.StepSeal, semel.StepOpen:
	}
	if !s.sweeping {
		t.countAttempt(ctx, s.op, e)
	}
}

func (t *Telemetry) countAttempt(ctx context.Context, op semel.Op, e semel.Event) {
	route := labelRoute.String(noRoute)
	if op.Route != "" {
		route = labelRoute.String(op.Route)
	}
	ended := func(how semel.Disposition) {
		t.handlers.Record(ctx, e.Age.Seconds(), metric.WithAttributes(labelSettle.String(how.String()), route))
	}
	switch op.Step {
	case semel.StepReserve:
		t.requests.Add(ctx, 1, metric.WithAttributes(labelOutcome.String(outcomeOf(e)), route))
		if e.Lapses > 0 {
			t.takeovers.Add(ctx, 1, metric.WithAttributes(route))
		}
	case semel.StepComplete, semel.StepCommit:
		switch {
		case isLost(e):
			t.lost.Add(ctx, 1, metric.WithAttributes(labelBy.String(semel.StepComplete.String())))
		case op.Step == semel.StepComplete || e.Bytes > 0: // or the completion has travelled with the commit
			if e.Err == nil {
				t.size.Record(ctx, int64(e.Bytes))
			}
			ended(semel.Keep)
		}
	case semel.StepRelease:
		ended(semel.Free)
	case semel.StepAbandon:
		ended(semel.Unknown)
	case semel.StepRenew, semel.StepPurge, semel.StepRecover, semel.StepSweep, semel.StepBeginEffects, semel.StepLock,
		semel.StepSeal, semel.StepOpen:
	}
}
