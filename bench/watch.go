package main

import (
	"context"
	"net/http"

	metricnoop "go.opentelemetry.io/otel/metric/noop"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelotel"
	"github.com/semel-go/semel/adapter/semelprom"
)

const payRoute = http.MethodPost + " " + payPath

// The rows that others are compared with.
const (
	notObserved  = "not observed"
	withMetrics  = "metrics (semelprom)"
	notSampled   = "traced, sampler never"
	tenthSampled = "traced, parent-based, a tenth"
	allSampled   = "traced, always"
	rawSpan      = "raw limit: the bare span, always"
)

// watch is one way to observe requests.
type watch struct {
	name string
	open func() (watchTools, error)
}

// watchTools are what it needs of a server.
type watchTools struct {
	observe semel.Observer
	around  func(http.Handler) http.Handler // the guarded handler
	within  func(http.Handler) http.Handler // the handler that is guarded
	end     func(context.Context) error
}

func watches() []watch {
	always := sdktrace.AlwaysSample()
	return []watch{
		{notObserved, func() (watchTools, error) { return untraced(nil), nil }},
		{withMetrics, func() (watchTools, error) { return untraced(semelprom.New(semelprom.Config{}).Observe), nil }},
		{"traced, no-op tracer", func() (watchTools, error) {
			return traced(noop.NewTracerProvider(), noEnd, semelotel.Config{})
		}},
		{notSampled, sampled(sdktrace.NeverSample(), semelotel.Config{})},
		{tenthSampled, sampled(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(.1)), semelotel.Config{})},
		{"raw limit: the span of the request alone, always", func() (watchTools, error) { return bare(always, same), nil }},
		{rawSpan, func() (watchTools, error) { return bare(always, byHand), nil }},
		{allSampled, sampled(always, semelotel.Config{})},
		{"traced, always, Refs", sampled(always, semelotel.Config{Refs: true})},
		{"traced, always, Steps", sampled(always, semelotel.Config{Steps: true})},
	}
}

func noEnd(context.Context) error { return nil }

func same(h http.Handler) http.Handler { return h }

func untraced(observe semel.Observer) watchTools {
	return watchTools{observe: observe, around: same, within: same, end: noEnd}
}

// batching is a provider as programs have it, but for its exporter.
func batching(s sdktrace.Sampler) *sdktrace.TracerProvider {
	return sdktrace.NewTracerProvider(sdktrace.WithSampler(s), sdktrace.WithBatcher(nowhere{}))
}

// traced is a request with a span around it, and Semel that tells it things.
func traced(p trace.TracerProvider, end func(context.Context) error, cfg semelotel.Config) (watchTools, error) {
	cfg.TracerProvider, cfg.MeterProvider = p, metricnoop.NewMeterProvider()
	telemetry, err := semelotel.New(cfg)
	if err != nil {
		return watchTools{}, err
	}
	tracer := p.Tracer("bench")
	return watchTools{
		observe: telemetry.Observe, within: same, end: end,
		around: func(h http.Handler) http.Handler { return requestSpan(tracer, h) },
	}, nil
}

func sampled(s sdktrace.Sampler, cfg semelotel.Config) func() (watchTools, error) {
	return func() (watchTools, error) {
		p := batching(s)
		return traced(p, p.Shutdown, cfg)
	}
}

// bare is a request with a span around it, and what is told to that by hand.
func bare(s sdktrace.Sampler, tell func(http.Handler) http.Handler) watchTools {
	p := batching(s)
	tracer := p.Tracer("bench")
	return watchTools{
		within: same, end: p.Shutdown,
		around: func(h http.Handler) http.Handler { return requestSpan(tracer, tell(h)) },
	}
}
