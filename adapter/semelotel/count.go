package semelotel

import (
	"context"
	"sync"
	"sync/atomic"

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

// labels are the attributes of measurements, made once: the SDK compares sets.
type labels struct {
	made sync.Map
	room atomic.Int64
}

type labelsKey struct {
	first, second attribute.Key
	one, two      string
}

// most is for how many sets there is room; further ones are made each time.
const most = 1000

func (l *labels) of(first attribute.Key, one string, second attribute.Key, two string) metric.MeasurementOption {
	key := labelsKey{first, second, one, two}
	if known, ok := l.made.Load(key); ok {
		return known.(metric.MeasurementOption) //nolint:errcheck // nothing else is stored
	}
	pairs := []attribute.KeyValue{first.String(one)}
	if second != "" {
		pairs = append(pairs, second.String(two))
	}
	set := metric.WithAttributeSet(attribute.NewSet(pairs...))
	if l.room.Add(1) <= most {
		l.made.Store(key, set)
	}
	return set
}

// count counts a step that has ended. What a sweep does is no request and has no handler.
func (t *Telemetry) count(s step, e semel.Event) {
	ctx, name := s.ctx, s.op.Step.String()
	step := t.labels.of(labelStep, name, "", "")
	if s.op.Step != semel.StepWait { // which is mostly a pause; its polls are the store's
		t.took.Record(ctx, e.Took.Seconds(), step)
	}
	if e.Err != nil && !isLost(e) {
		t.failures.Add(ctx, 1, step)
	}
	switch s.op.Step {
	case semel.StepRenew:
		if e.Lost > 0 {
			t.lost.Add(ctx, int64(e.Lost), t.labels.of(labelBy, name, "", ""))
		}
		return
	case semel.StepPurge:
		t.purged.Add(ctx, int64(e.Count))
		return
	case semel.StepReserve, semel.StepComplete, semel.StepRelease, semel.StepAbandon, semel.StepRecover, semel.StepSweep,
		semel.StepBeginEffects, semel.StepLock, semel.StepCommit, semel.StepSeal, semel.StepOpen,
		semel.StepWait, semel.StepPoll:
	}
	if !s.sweeping {
		t.countAttempt(ctx, s.op, e)
	}
}

func (t *Telemetry) countAttempt(ctx context.Context, op semel.Op, e semel.Event) {
	route := t.routes.label(op.Route)
	ended := func(how semel.Disposition) {
		t.handlers.Record(ctx, e.Age.Seconds(), t.labels.of(labelSettle, how.String(), labelRoute, route))
	}
	switch op.Step {
	case semel.StepReserve, semel.StepWait:
		if op.Step == semel.StepWait {
			t.waits.Record(ctx, e.Took.Seconds(), t.labels.of(labelOutcome, outcomeOf(e), "", ""))
		}
		if e.Waits { // the outcome is still to come
			return
		}
		t.requests.Add(ctx, 1, t.labels.of(labelOutcome, outcomeOf(e), labelRoute, route))
		if e.Lapses > 0 {
			t.takeovers.Add(ctx, 1, t.labels.of(labelRoute, route, "", ""))
		}
	case semel.StepComplete, semel.StepCommit:
		switch {
		case isLost(e):
			t.lost.Add(ctx, 1, t.labels.of(labelBy, semel.StepComplete.String(), "", ""))
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
		semel.StepSeal, semel.StepOpen, semel.StepPoll:
	}
}
