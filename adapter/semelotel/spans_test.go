package semelotel_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelotel"
)

// The span of the request says all of a usual request, and what is unusual has a span below it.
func TestOneSpanForARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, semel.Config{Lapsed: semel.Rerun}, semelotel.Config{Refs: true})
		request := func(want, wantEvents, wantSpans string, f func(ctx context.Context)) {
			t.Helper()
			r.spans.Reset()
			ctx, span := r.tracer.Start(t.Context(), "request")
			f(ctx)
			span.End()
			all := r.spans.GetSpans()
			var names []string
			for _, s := range all {
				names = append(names, s.Name)
			}
			if got := strings.Join(names, " "); got != wantSpans {
				t.Errorf("got spans %q, want %q", got, wantSpans)
			}
			got := all[len(all)-1]
			about := attributes(got)
			if about["semel.outcome"] != want || about["semel.route"] != pay.Route || about["semel.ref"] != r.Ref(pay.Key) ||
				about["semel.replayed"] != fmt.Sprint(want == "replayed") {
				t.Errorf("got %v, want outcome %q, the route and the reference", about, want)
			}
			if events(got) != wantEvents {
				t.Errorf("%s: got events %q, want %q", want, events(got), wantEvents)
			}
			if text := fmt.Sprintf("%+v", all); strings.Contains(text, "secret") {
				t.Errorf("%s tells the key", want)
			}
		}
		var claim *semel.Claim
		request("executed", "semel.claim", "request", func(ctx context.Context) { claim = r.begin(t, ctx, pay) })
		request("in_flight", "", "semel.abandon request", func(ctx context.Context) {
			r.begin(t, ctx, pay)
			claim.Abandon(ctx)
		})
		time.Sleep(5 * time.Second)
		request("executed", "semel.takeover semel.claim semel.commit", "request", func(ctx context.Context) {
			if err := r.begin(t, ctx, pay).Complete(ctx, semel.Response{Status: 200, Body: []byte("paid")}); err != nil {
				t.Error(err)
			}
		})
		if got := attributes(r.span(t, "request"))["semel.bytes"]; got != "4" {
			t.Errorf("got %q bytes, want 4", got)
		}
		request("replayed", "", "request", func(ctx context.Context) { r.begin(t, ctx, pay) })
		other := pay
		other.Fingerprint = semel.Fingerprint{1}
		request("conflict", "", "request", func(ctx context.Context) { r.begin(t, ctx, other) })
	})
}

// A step that failed has a span with its time and its error, below that of the request.
func TestFailedStepHasASpan(t *testing.T) {
	r := newRig(t, semel.Config{ReserveTimeout: 50 * time.Millisecond}, semelotel.Config{})
	r.store.down = true
	ctx, request := r.tracer.Start(t.Context(), "request")
	began := time.Now()
	_, err := r.Begin(ctx, pay)
	took := time.Since(began)
	request.End()
	if err == nil {
		t.Fatal("got no error")
	}
	spans := r.spans.GetSpans()
	if about := attributes(spans[len(spans)-1]); about["semel.outcome"] != "store_failed" {
		t.Errorf("the request has %v, want its outcome", about)
	}
	got := r.span(t, "semel.reserve")
	if got.Status.Code != codes.Error || events(got) != "exception" || attributes(got)["semel.route"] != pay.Route {
		t.Errorf("got status %v, events %q, %v, want an error that is recorded", got.Status, events(got), attributes(got))
	}
	if got.Parent.SpanID() != request.SpanContext().SpanID() {
		t.Error("it is not a child of the request")
	}
	if lasted := got.EndTime.Sub(got.StartTime); lasted <= 0 || lasted > took || got.StartTime.Before(began) {
		t.Errorf("it lasted %s from %s on, want the time of the step: at most %s from %s on", lasted, got.StartTime, took, began)
	}
}

// asked is a sampler that counts how often it is asked.
type asked struct {
	sdktrace.Sampler
	times int
}

func (a *asked) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	a.times++
	return a.Sampler.ShouldSample(p)
}

// Nothing is done for a trace that the sampler did not want; for one from elsewhere, without
// a span here, the sampler is asked.
func TestTracesThatAreNotSampled(t *testing.T) {
	sampler := &asked{Sampler: sdktrace.NeverSample()}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler))
	telemetry, err := semelotel.New(semelotel.Config{TracerProvider: provider, MeterProvider: metricnoop.NewMeterProvider(), Refs: true, Steps: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, _ := provider.Tracer("test").Start(t.Context(), "request")
	op := semel.Op{Step: semel.StepReserve, Route: pay.Route}
	if allocs := testing.AllocsPerRun(100, func() {
		if _, end := telemetry.Observe(ctx, op); end != nil {
			end(semel.Event{Kind: semel.Reserved})
		}
	}); allocs != 0 {
		t.Errorf("got %v allocations, want 0", allocs)
	}
	if sampler.times != 1 {
		t.Errorf("the sampler was asked %d times, want 1, for the request", sampler.times)
	}
	far := trace.SpanContextFromContext(ctx).WithRemote(true)
	telemetry.Observe(trace.ContextWithRemoteSpanContext(t.Context(), far), op)
	telemetry.Observe(t.Context(), op)
	if sampler.times != 3 {
		t.Errorf("the sampler was asked %d times, want 3", sampler.times)
	}
}

// What is not traced is counted.
func TestMetricsOfTracesThatAreNotSampled(t *testing.T) {
	r := newRig(t, semel.Config{}, semelotel.Config{})
	ctx, _ := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())).Tracer("test").Start(t.Context(), "request")
	r.begin(t, ctx, pay)
	if got := r.numbers(t)["semel.requests{outcome=executed,route=POST /payments}"]; got != 1 {
		t.Errorf("got %v requests, want 1", got)
	}
	if spans := r.spans.GetSpans(); len(spans) != 0 {
		t.Errorf("got %d spans, want none", len(spans))
	}
}

// Whoever wants no spans has none, and nothing in those of others.
func TestNoTracing(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	ctx, span := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test").Start(t.Context(), "request")
	telemetry, err := semelotel.New(semelotel.Config{TracerProvider: noop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider()})
	if err != nil {
		t.Fatal(err)
	}
	if got, end := telemetry.Observe(ctx, semel.Op{Step: semel.StepReserve}); got != ctx || end != nil {
		t.Error("a step is observed")
	}
	span.End()
	if got := spans.Ended()[0].Attributes(); len(got) != 0 {
		t.Errorf("got %v, want nothing", got)
	}
}

// keeper is a span that keeps what it is given.
type keeper struct {
	noop.Span
	about [][]attribute.KeyValue
}

func (*keeper) IsRecording() bool                         { return true }
func (k *keeper) SetAttributes(all ...attribute.KeyValue) { k.about = append(k.about, all) }

// Spans share the attributes that are the same, and no request writes its own among them.
func TestSharedAttributesStay(t *testing.T) {
	telemetry, err := semelotel.New(semelotel.Config{
		TracerProvider: sdktrace.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider(), Refs: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, semel.Config{}, semelotel.Config{})
	engine, err := semel.New(r.Store(), semel.Config{Observe: telemetry.Observe})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = engine.Close(context.Background()) }()
	span := new(keeper)
	ctx := trace.ContextWithSpan(t.Context(), span)
	var want []string
	for _, id := range []string{"1", "2", "3"} {
		call := semel.Call{Key: semel.Key{Scope: "s", ID: id}, Route: pay.Route}
		want = append(want, engine.Ref(call.Key))
		if _, err := engine.Begin(ctx, call); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, about := range span.about {
		got = append(got, about[len(about)-1].Value.AsString())
	}
	if !slices.Equal(got, want) {
		t.Errorf("got references %v, want %v", got, want)
	}
}

// Attributes are kept for a bounded number of routes; beyond it they are made again each time.
func TestAttributesAreBounded(t *testing.T) {
	telemetry, err := semelotel.New(semelotel.Config{
		TracerProvider: sdktrace.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider(),
	})
	if err != nil {
		t.Fatal(err)
	}
	span := new(keeper)
	ctx := trace.ContextWithSpan(t.Context(), span)
	tell := func(route string) []attribute.KeyValue {
		span.about = nil
		_, end := telemetry.Observe(ctx, semel.Op{Step: semel.StepReserve, Route: route})
		end(semel.Event{Kind: semel.Replay})
		return span.about[0]
	}
	const many = 1200
	for i := range many {
		tell(fmt.Sprint(i))
	}
	again := func(route string) bool {
		first, second := tell(route), tell(route)
		return &first[0] == &second[0]
	}
	if !again("0") {
		t.Error("the attributes of the first route are made each time")
	}
	last := fmt.Sprint(many - 1)
	if again(last) {
		t.Errorf("the attributes of %d routes are kept", many)
	}
	if got := tell(last); got[len(got)-1] != attribute.String("semel.route", last) {
		t.Errorf("got %v, want the route", got)
	}
}
