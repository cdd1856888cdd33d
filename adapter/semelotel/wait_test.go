package semelotel_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelotel"
)

// A request that waits has one outcome, that of its wait, in metrics and on its span.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, semel.Config{}, semelotel.Config{})
		first := r.begin(t, t.Context(), pay)
		waits := pay
		waits.Wait = semel.MaxWait
		ctx, request := r.tracer.Start(t.Context(), "request")
		done := make(chan struct{})
		go func() { defer close(done); r.begin(t, ctx, waits) }()
		time.Sleep(2 * time.Second)
		if got := r.numbers(t); got["semel.waiters{}"] != 1 {
			t.Errorf("got %v waiters, want 1", got["semel.waiters{}"])
		}
		if err := first.Complete(t.Context(), semel.Response{Status: 200}); err != nil {
			t.Error(err)
		}
		<-done
		request.End()
		got := r.numbers(t)
		for name, want := range map[string]float64{
			"semel.requests{outcome=executed,route=POST /payments}":  1,
			"semel.requests{outcome=in_flight,route=POST /payments}": 0,
			"semel.requests{outcome=replayed,route=POST /payments}":  1,
			"semel.wait.duration{outcome=replayed}":                  1,
			"semel.waiters{}":                                        0,
			"semel.store.operation.duration{step=wait}":              0,
		} {
			if got[name] != want {
				t.Errorf("%s: got %v, want %v", name, got[name], want)
			}
		}
		if got["semel.store.operation.duration{step=poll}"] == 0 {
			t.Error("the polls are not counted as steps of the store")
		}
		spans := r.spans.GetSpans()
		if !slices.ContainsFunc(spans, func(s tracetest.SpanStub) bool { return s.Name == "semel.wait" }) {
			t.Error("the wait has no span")
		}
		var outcomes []string
		for _, a := range spans[len(spans)-1].Attributes {
			if strings.HasSuffix(string(a.Key), ".outcome") {
				outcomes = append(outcomes, a.Value.AsString())
			}
		}
		if len(outcomes) != 1 || outcomes[0] != "replayed" {
			t.Errorf("got the outcomes %q on the request's span, want replayed", outcomes)
		}
	})
}
