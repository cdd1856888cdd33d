// Package otlp exports the spans of the sidecar to a collector, as OTLP over HTTP in its JSON
// form. The exporters of OpenTelemetry bring gRPC and its code generator's runtime along,
// 6 MiB in the binary and 14 modules in every audit, for one POST (docs/adr/0027).
package otlp

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Config says where spans go and how they are signed.
type Config struct {
	// Endpoint is the base address of the collector, http://HOST:4318. Default: what the
	// OTEL_* variables say.
	Endpoint string
	// Version of the program.
	Version string
	// Env looks a variable up, as [os.Getenv] does. The SDK looks up some by itself:
	// OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES.
	Env func(string) string
	// Logger gets what could not be exported.
	Logger *slog.Logger
}

// Open returns a provider of tracers, or nil when there is nowhere to export to. Spans wait
// in a queue of bounded length: what does not fit is dropped, and no request ever waits. Its
// Shutdown sends what is left.
func Open(ctx context.Context, cfg Config) (*sdktrace.TracerProvider, error) {
	to, err := findTarget(cfg.Endpoint, cfg.Env)
	if err != nil || to == nil {
		return nil, err
	}
	about, err := resource.New(
		ctx,
		resource.WithAttributes(attribute.String("service.name", "semel"), attribute.String("service.version", cfg.Version)),
		resource.WithTelemetrySDK(),
		resource.WithFromEnv(), // last, so that it counts
	)
	if err != nil {
		return nil, fmt.Errorf("otlp: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { cfg.Logger.WarnContext(ctx, "traces are not exported", "err", err) }))
	out := &exporter{target: *to, client: &http.Client{
		Timeout:       to.timeout,
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 1},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	return sdktrace.NewTracerProvider(
		sdktrace.WithSpanProcessor(newQueue(ctx, out, cfg.Env)),
		sdktrace.WithResource(about),
	), nil
}

// Discard returns a provider whose spans are made and queued, and go nowhere: for
// measurements.
func Discard(ctx context.Context, options ...sdktrace.TracerProviderOption) *sdktrace.TracerProvider {
	queue := newQueue(ctx, nowhere{}, func(string) string { return "" })
	return sdktrace.NewTracerProvider(append(options, sdktrace.WithSpanProcessor(queue))...)
}

type nowhere struct{}

func (nowhere) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (nowhere) Shutdown(context.Context) error                             { return nil }

// Tracer returns the tracer of the sidecar, or nil without a provider.
func Tracer(p *sdktrace.TracerProvider) trace.Tracer {
	if p == nil {
		return nil
	}
	return p.Tracer("github.com/semel-go/semel/cmd/semel")
}
