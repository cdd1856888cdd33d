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

// names of the spans, by step.
var names = func() (all [semel.StepPoll + 1]string) {
	for step := range semel.StepPoll + 1 {
		all[step] = "semel." + step.String()
	}
	return all
}()

// Observe is the [semel.Observer] for semel.Config.Observe.
func (t *Telemetry) Observe(ctx context.Context, op semel.Op) (context.Context, func(semel.Event)) {
	sweeping := ctx.Value(sweepingKey{}) != nil
	s := step{telemetry: t, op: op, sweeping: sweeping}
	if int(op.Step) >= len(names) {
		return ctx, nil
	}
	switch op.Step {
	case semel.StepRenew, semel.StepPurge: // about many attempts, in no request
		s.ctx = ctx
		return ctx, s.end
	case semel.StepSweep:
		ctx = context.WithValue(ctx, sweepingKey{}, true)
	case semel.StepReserve, semel.StepComplete, semel.StepRelease, semel.StepAbandon, semel.StepRecover,
		semel.StepBeginEffects, semel.StepLock, semel.StepCommit, semel.StepSeal, semel.StepOpen,
		semel.StepWait, semel.StepPoll:
	}
	s.request = trace.SpanFromContext(ctx)
	s.ctx, s.span = t.tracer.Start(ctx, names[op.Step])
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
	if s.telemetry.took.Enabled(s.ctx) {
		s.telemetry.count(s, e)
	}
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
	about := make([]attribute.KeyValue, 0, 4) // at once: each call takes a lock
	if s.op.Route != "" {
		about = append(about, keyRoute.String(s.op.Route))
	}
	if s.telemetry.refs {
		if ref := s.op.Ref(); ref != "" {
			about = append(about, keyRef.String(ref))
		}
	}
	if e.Err != nil {
		s.span.RecordError(e.Err)
		s.span.SetStatus(codes.Error, s.op.Step.String())
	}
	switch {
	case (s.op.Step == semel.StepReserve || s.op.Step == semel.StepWait) && e.Err == nil && !e.Waits:
		what := len(about)
		about = append(about, keyOutcome.String(outcomeOf(e)), keyReplayed.Bool(e.Kind == semel.Replay))
		s.reserved(e, about[what:])
	case e.Bytes > 0:
		about = append(about, keyBytes.Int(e.Bytes))
		s.event(eventCommit)
	}
	s.span.SetAttributes(about...)
}

// reserved tells the span of the request what it was for.
func (s step) reserved(e semel.Event, what []attribute.KeyValue) {
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

// event adds one to the span of the request, which people look at, or to the step's if
// there is none.
func (s step) event(name string, about ...attribute.KeyValue) {
	span := s.request
	if !span.IsRecording() {
		span = s.span
	}
	if len(about) == 0 {
		span.AddEvent(name)
		return
	}
	span.AddEvent(name, trace.WithAttributes(about...))
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
