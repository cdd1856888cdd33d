package semelotel

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/semel-go/semel"
)

// The attributes of spans.
const (
	keyOutcome  = attribute.Key("semel.outcome")
	keyReplayed = attribute.Key("semel.replayed")
	keyRoute    = attribute.Key("semel.route")
	keyRef      = attribute.Key("semel.ref")
	keyLapses   = attribute.Key("semel.lapses")
	keyBytes    = attribute.Key("semel.bytes")
)

// The events of spans.
const (
	eventClaim    = "semel.claim"
	eventTakeover = "semel.takeover"
	eventCommit   = "semel.commit"
)

type sweepingKey struct{}

// Observe is the [semel.Observer] for semel.Config.Observe.
func (t *Telemetry) Observe(ctx context.Context, op semel.Op) (context.Context, func(semel.Event)) {
	sweeping := ctx.Value(sweepingKey{}) != nil
	s := step{telemetry: t, op: op, sweeping: sweeping}
	switch op.Step {
	case semel.StepRenew, semel.StepPurge: // about many attempts, in no request
		s.ctx = ctx
		return ctx, s.end
	case semel.StepSweep:
		ctx = context.WithValue(ctx, sweepingKey{}, true)
	case semel.StepReserve, semel.StepComplete, semel.StepRelease, semel.StepAbandon, semel.StepRecover,
		semel.StepBeginEffects, semel.StepLock, semel.StepCommit, semel.StepSeal, semel.StepOpen:
	}
	s.request = trace.SpanFromContext(ctx)
	s.ctx, s.span = t.tracer.Start(ctx, "semel."+op.Step.String())
	if s.span.IsRecording() {
		if op.Route != "" {
			s.span.SetAttributes(keyRoute.String(op.Route))
		}
		if t.refs && op.Ref() != "" {
			s.span.SetAttributes(keyRef.String(op.Ref()))
		}
	}
	return s.ctx, s.end
}

// step is one that has begun.
type step struct {
	telemetry *Telemetry
	op        semel.Op
	ctx       context.Context //nolint:containedctx // of the step, until it ends
	span      trace.Span      // nil for steps without one
	request   trace.Span      // around the step
	sweeping  bool
}

func (s step) end(e semel.Event) {
	s.telemetry.count(s, e)
	if s.span == nil {
		return
	}
	if s.span.IsRecording() {
		s.describe(e)
	}
	s.span.End()
}

// describe tells what has become of the step, to its span and to that of the request.
func (s step) describe(e semel.Event) {
	if e.Err != nil {
		s.span.RecordError(e.Err)
		s.span.SetStatus(codes.Error, s.op.Step.String())
	}
	switch {
	case s.op.Step == semel.StepReserve && e.Err == nil:
		s.reserved(e)
	case e.Bytes > 0:
		s.span.SetAttributes(keyBytes.Int(e.Bytes))
		s.event(eventCommit)
	}
}

func (s step) reserved(e semel.Event) {
	what := []attribute.KeyValue{keyOutcome.String(outcomeOf(e)), keyReplayed.Bool(e.Kind == semel.Replay)}
	s.span.SetAttributes(what...)
	if s.sweeping {
		return
	}
	s.request.SetAttributes(what...)
	if e.Kind != semel.Reserved {
		return
	}
	if e.Lapses > 0 {
		s.event(eventTakeover, keyLapses.Int(e.Lapses))
	}
	s.event(eventClaim)
}

// event adds one to the step's span, and to the request's, which people look at.
func (s step) event(name string, about ...attribute.KeyValue) {
	for _, span := range []trace.Span{s.span, s.request} {
		span.AddEvent(name, trace.WithAttributes(about...))
	}
}

// outcomeOf is the word that semelprom has for it too.
func outcomeOf(e semel.Event) string {
	switch e.Kind {
	case semel.Reserved:
		return "executed"
	case semel.Replay:
		return "replayed"
	case semel.Conflict:
		return "conflict"
	case semel.InFlight:
		if e.Lapsed {
			return "outcome_unknown"
		}
		return "in_flight"
	}
	return "store_failed"
}

// isLost tells a slot that is another's from a failure.
func isLost(e semel.Event) bool { return errors.Is(e.Err, semel.ErrLost) }
