package cli

import (
	"context"
	"log/slog"
	"os"
	"time"

	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelotel"
	"github.com/semel-go/semel/cmd/semel/internal/config"
	"github.com/semel-go/semel/cmd/semel/internal/otlp"
)

// lastExport is how long the end of the process waits for a collector.
const lastExport = 2 * time.Second

// traces are what makes spans; all of it is nil when there is no collector.
type traces struct {
	tracer  trace.Tracer
	observe semel.Observer
}

// openTraces prepares the export of traces, if there is a collector. end sends what is left
// and must be called when nothing makes spans any more.
func openTraces(ctx context.Context, cfg config.Config, log *slog.Logger) (t traces, end func(), err error) {
	provider, err := otlp.Open(ctx, otlp.Config{Endpoint: cfg.OTLPEndpoint, Version: readBuild().String(), Env: os.Getenv, Logger: log})
	if err != nil {
		return t, nil, wrong("", "%w", err)
	}
	if provider == nil {
		return t, func() {}, nil
	}
	spans, err := semelotel.New(semelotel.Config{
		TracerProvider: provider, MeterProvider: noop.NewMeterProvider(), // /metrics has the metrics
		Refs: true, Steps: cfg.OTLPSteps,
	})
	if err != nil {
		return t, nil, wrong("", "%w", err)
	}
	return traces{tracer: otlp.Tracer(provider), observe: spans.Observe}, func() {
		bounded, stop := context.WithTimeout(context.WithoutCancel(ctx), lastExport)
		defer stop()
		if err := provider.Shutdown(bounded); err != nil {
			log.WarnContext(bounded, "the last traces are not exported", "err", err)
		}
	}, nil
}
