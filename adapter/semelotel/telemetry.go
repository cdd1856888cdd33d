package semelotel

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/semel-go/semel"
)

// scope names the instrumentation.
const scope = "github.com/semel-go/semel/adapter/semelotel"

// DefaultMaxRoutes is the default of [Config].MaxRoutes, that of semelprom.
const DefaultMaxRoutes = 50

// Config is what a [Telemetry] may be told. The zero value uses the global providers.
type Config struct {
	// TracerProvider makes the spans. Default [otel.GetTracerProvider]. With one of
	// [noop.NewTracerProvider] the span of the request is left alone too.
	TracerProvider trace.TracerProvider
	// MeterProvider makes the metrics. Default [otel.GetMeterProvider].
	MeterProvider metric.MeterProvider
	// MaxRoutes is how many routes have series of their own; a route more has none and
	// counts as "other". Default 50.
	MaxRoutes int
	// Refs gives spans semel.ref, the keyed hash that names a record in logs and answers.
	// It costs two hashes for each span. Default: none.
	Refs bool
	// Steps gives each step of an attempt a span of its own below that of the request, with the
	// time that the step took. It costs two or three more spans for each request. A program that
	// guards several operations in one request wants it: each has the span of its reserve.
	// Default: the span of the request says what became of it.
	Steps bool
}

// Telemetry has the instruments of one engine. Make it with [New]; it is safe for
// concurrent use.
type Telemetry struct {
	tracer trace.Tracer
	meter  metric.Meter
	refs   bool
	steps  bool
	silent bool // it makes no spans
	labels labels
	routes routes
	about  abouts

	requests, failures, takeovers, lost, purged metric.Int64Counter
	took, handlers, waits                       metric.Float64Histogram
	size                                        metric.Int64Histogram
}

// New makes the instruments.
func New(cfg Config) (*Telemetry, error) {
	if cfg.TracerProvider == nil {
		cfg.TracerProvider = otel.GetTracerProvider()
	}
	if cfg.MeterProvider == nil {
		cfg.MeterProvider = otel.GetMeterProvider()
	}
	if cfg.MaxRoutes <= 0 {
		cfg.MaxRoutes = DefaultMaxRoutes
	}
	t := &Telemetry{
		tracer: cfg.TracerProvider.Tracer(scope), meter: cfg.MeterProvider.Meter(scope),
		refs: cfg.Refs, steps: cfg.Steps,
	}
	t.routes.max = cfg.MaxRoutes
	_, t.silent = cfg.TracerProvider.(noop.TracerProvider)
	return t, errors.Join(t.counters(), t.histograms())
}

func (t *Telemetry) counters() error {
	var errs []error
	for _, one := range []struct {
		into       *metric.Int64Counter
		name, help string
		unit       string
	}{
		{&t.requests, "semel.requests", "Guarded requests by the outcome of their reservation.", "{request}"},
		{&t.failures, "semel.store.operation.failures", "Steps of the store that failed.", "{step}"},
		{&t.takeovers, "semel.lease.takeovers", "Reservations that took over a lapsed attempt, to run again or to ask.", "{attempt}"},
		{&t.lost, "semel.leases.lost", "Attempts that lost their slot while they ran, by the step that noticed.", "{attempt}"},
		{&t.purged, "semel.purged.records", "Records removed after their retention.", "{record}"},
	} {
		var err error
		*one.into, err = t.meter.Int64Counter(one.name, metric.WithDescription(one.help), metric.WithUnit(one.unit))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (t *Telemetry) histograms() error {
	var tookErr, handlersErr, waitsErr, sizeErr error
	t.took, tookErr = t.meter.Float64Histogram("semel.store.operation.duration", metric.WithUnit("s"),
		metric.WithDescription("Time of a step of the store, its retries included."),
		metric.WithExplicitBucketBoundaries(1e-5, 1e-4, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10))
	t.handlers, handlersErr = t.meter.Float64Histogram("semel.handler.duration", metric.WithUnit("s"),
		metric.WithDescription("Time from the reservation of an attempt to its end, by how it ended."),
		metric.WithExplicitBucketBoundaries(.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300))
	t.waits, waitsErr = t.meter.Float64Histogram("semel.wait.duration", metric.WithUnit("s"),
		metric.WithDescription("Time for which requests waited for an attempt in flight, by the outcome."),
		metric.WithExplicitBucketBoundaries(.001, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10))
	t.size, sizeErr = t.meter.Int64Histogram("semel.record", metric.WithUnit("By"),
		metric.WithDescription("Size of the responses that were kept, header and body, as they are stored."),
		metric.WithExplicitBucketBoundaries(256, 1<<10, 4<<10, 16<<10, 64<<10, 256<<10, 1<<20, 4<<20))
	return errors.Join(tookErr, handlersErr, waitsErr, sizeErr)
}

// Watch makes engine the one of which the running attempts are counted. Call it once.
func (t *Telemetry) Watch(engine *semel.Engine) error {
	running, err := t.meter.Int64ObservableGauge("semel.inflight.attempts", metric.WithUnit("{attempt}"),
		metric.WithDescription("Attempts that run now."))
	if err != nil {
		return err
	}
	oldest, err := t.meter.Float64ObservableGauge("semel.oldest.inflight", metric.WithUnit("s"),
		metric.WithDescription("For how long the oldest running attempt has run."))
	if err != nil {
		return err
	}
	waiters, err := t.meter.Int64ObservableGauge("semel.waiters", metric.WithUnit("{request}"),
		metric.WithDescription("Requests that wait now for an attempt in flight."))
	if err != nil {
		return err
	}
	_, err = t.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		n, age := engine.Running()
		o.ObserveInt64(running, int64(n))
		o.ObserveFloat64(oldest, age.Seconds())
		o.ObserveInt64(waiters, int64(engine.Waiting()))
		return nil
	}, running, oldest, waiters)
	return err
}
