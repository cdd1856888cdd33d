package semelotel

import (
	"context"
	"errors"
	"time"

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

// unusual are the steps that most requests do not have. They have spans of their own.
var unusual = [semel.StepPoll + 1]bool{
	semel.StepRelease: true, semel.StepAbandon: true, semel.StepRecover: true, semel.StepSweep: true, semel.StepWait: true,
}

// Observe is the [semel.Observer] for semel.Config.Observe.
func (t *Telemetry) Observe(ctx context.Context, op semel.Op) (context.Context, func(semel.Event)) {
	if int(op.Step) >= len(names) {
		return ctx, nil
	}
	s := step{telemetry: t, op: op, sweeping: ctx.Value(sweepingKey{}) != nil}
	if op.Step == semel.StepSweep {
		ctx = context.WithValue(ctx, sweepingKey{}, true)
	}
	s.ctx = ctx
	if !t.silent && op.Step != semel.StepRenew && op.Step != semel.StepPurge { // they are about many attempts, in no request
		s = s.traced()
	}
	if s.request == nil && !t.took.Enabled(ctx) {
		return s.ctx, nil
	}
	return s.ctx, s.end
}

// step is one that has begun.
type step struct {
	telemetry *Telemetry
	op        semel.Op
	ctx       context.Context //nolint:containedctx // of the step, until it ends
	span      trace.Span      // nil for steps without one
	request   trace.Span      // around the step; nil when nobody wants to know
	sweeping  bool
}

// traced finds the span that is told about the step: that of the request, or one of its own.
func (s step) traced() step {
	around := trace.SpanFromContext(s.ctx)
	recording := around.IsRecording()
	if !recording && isDropped(around.SpanContext()) {
		return s
	}
	if !recording || s.sweeping || s.telemetry.steps || unusual[s.op.Step] {
		ctx, span := s.telemetry.tracer.Start(s.ctx, names[s.op.Step])
		s.ctx = ctx
		if !span.IsRecording() {
			return s
		}
		s.span = span
	}
	s.request = around
	return s
}

// isDropped tells that the sampler of this process did not want the trace. What it thinks of
// one that comes from elsewhere, without a span here, is not known yet.
func isDropped(at trace.SpanContext) bool { return at.IsValid() && !at.IsSampled() && !at.IsRemote() }

func (s step) end(e semel.Event) {
	if s.telemetry.took.Enabled(s.ctx) {
		s.telemetry.count(s, e)
	}
	switch {
	case s.request == nil:
		return
	case s.span == nil && e.Err == nil:
		s.tell(e)
		return
	case s.span == nil: // a failure is worth one
		_, s.span = s.telemetry.tracer.Start(s.ctx, names[s.op.Step], trace.WithTimestamp(time.Now().Add(-e.Took)))
	}
	s.describe(e)
	s.span.End()
}

// tell tells the span of the request what has become of the step.
func (s step) tell(e semel.Event) {
	switch {
	case s.op.Step == semel.StepReserve && e.Waits: // the outcome is still to come
	case s.op.Step == semel.StepReserve:
		about := s.telemetry.about.of(outcome{s.op.Route, e.Kind, e.Lapsed})
		if ref := s.ref(); ref != "" {
			about = append(about, keyRef.String(ref)) // a copy, as it is full
		}
		s.request.SetAttributes(about...) // at once: each call takes a lock
		s.reserved(e)
	case e.Bytes > 0:
		s.request.SetAttributes(keyBytes.Int(e.Bytes))
		s.event(eventCommit)
	}
}

// describe tells what has become of the step, to its span and to that of the request.
func (s step) describe(e semel.Event) {
	about := make([]attribute.KeyValue, 0, 4)
	if s.op.Route != "" {
		about = append(about, keyRoute.String(s.op.Route))
	}
	if ref := s.ref(); ref != "" {
		about = append(about, keyRef.String(ref))
	}
	if e.Err != nil {
		s.span.RecordError(e.Err)
		s.span.SetStatus(codes.Error, s.op.Step.String())
		if s.op.Step == semel.StepReserve && !s.sweeping {
			s.request.SetAttributes(keyOutcome.String(outcomeOf(e)), keyReplayed.Bool(false))
		}
	}
	switch {
	case (s.op.Step == semel.StepReserve || s.op.Step == semel.StepWait) && e.Err == nil && !e.Waits:
		about = append(about, keyOutcome.String(outcomeOf(e)), keyReplayed.Bool(e.Kind == semel.Replay))
		if !s.sweeping {
			s.request.SetAttributes(about...)
			s.reserved(e)
		}
	case e.Bytes > 0:
		about = append(about, keyBytes.Int(e.Bytes))
		s.event(eventCommit)
	}
	s.span.SetAttributes(about...)
}

// ref names the record, if that was asked for.
func (s step) ref() string {
	if !s.telemetry.refs {
		return ""
	}
	return s.op.Ref()
}

// reserved tells that an attempt begins.
func (s step) reserved(e semel.Event) {
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
