package semelotel_test

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelotel"
)

// BenchmarkObserve is what one step costs: its span when the trace is sampled and when it is
// not, and its metrics.
func BenchmarkObserve(b *testing.B) {
	traced := func(s sdktrace.Sampler) *sdktrace.TracerProvider {
		return sdktrace.NewTracerProvider(sdktrace.WithSampler(s), sdktrace.WithSpanProcessor(nothing{}))
	}
	for name, cfg := range map[string]semelotel.Config{
		"sampled":     {TracerProvider: traced(sdktrace.AlwaysSample()), MeterProvider: noop.NewMeterProvider()},
		"not sampled": {TracerProvider: traced(sdktrace.NeverSample()), MeterProvider: noop.NewMeterProvider()},
		"metrics": {
			TracerProvider: traced(sdktrace.NeverSample()),
			MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader())),
		},
	} {
		b.Run(name, func(b *testing.B) {
			telemetry, err := semelotel.New(cfg)
			if err != nil {
				b.Fatal(err)
			}
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				_, end := telemetry.Observe(ctx, semel.Op{Step: semel.StepReserve, Route: "POST /pay"})
				end(semel.Event{Kind: semel.Reserved, Took: 1000})
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
