package semelotel_test

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelotel"
)

// BenchmarkObserve is what the two steps of a usual request cost below the span of the request: when
// the trace is sampled and when it is not, with spans of the steps, and with metrics only.
func BenchmarkObserve(b *testing.B) {
	traced := func(s sdktrace.Sampler) *sdktrace.TracerProvider {
		return sdktrace.NewTracerProvider(sdktrace.WithSampler(s), sdktrace.WithSpanProcessor(nothing{}))
	}
	always, never := traced(sdktrace.AlwaysSample()), traced(sdktrace.NeverSample())
	metrics := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	for _, row := range []struct {
		name     string
		provider *sdktrace.TracerProvider
		cfg      semelotel.Config
	}{
		{"sampled", always, semelotel.Config{MeterProvider: noop.NewMeterProvider()}},
		{"sampled, with steps", always, semelotel.Config{MeterProvider: noop.NewMeterProvider(), Steps: true}},
		{"not sampled", never, semelotel.Config{MeterProvider: noop.NewMeterProvider()}},
		{"metrics", never, semelotel.Config{MeterProvider: metrics}},
		{"only the span of the request", always, semelotel.Config{TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: noop.NewMeterProvider()}},
	} {
		b.Run(row.name, func(b *testing.B) {
			if row.cfg.TracerProvider == nil {
				row.cfg.TracerProvider = row.provider
			}
			telemetry, err := semelotel.New(row.cfg)
			if err != nil {
				b.Fatal(err)
			}
			tracer := row.provider.Tracer("bench")
			b.ReportAllocs()
			for b.Loop() {
				ctx, request := tracer.Start(b.Context(), "request")
				if _, end := telemetry.Observe(ctx, semel.Op{Step: semel.StepReserve, Route: "POST /pay"}); end != nil {
					end(semel.Event{Kind: semel.Reserved, Took: 1000})
				}
				if _, end := telemetry.Observe(ctx, semel.Op{Step: semel.StepComplete, Route: "POST /pay"}); end != nil {
					end(semel.Event{Bytes: 1000, Took: 1000})
				}
				request.End()
			}
		})
	}
}

// nothing is a processor that does nothing.
type nothing struct{}

func (nothing) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (nothing) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (nothing) Shutdown(context.Context) error                  { return nil }
func (nothing) ForceFlush(context.Context) error                { return nil }
