package semelotel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelotel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// rig is an engine whose spans and metrics stay in memory.
type rig struct {
	*semel.Engine
	store   *failing
	spans   *tracetest.InMemoryExporter
	metrics *sdkmetric.ManualReader
	tracer  trace.Tracer
}

// failing is a store that fails while it is told to.
type failing struct {
	semel.Store
	down bool
}

// Unwrap shows what else the store can.
func (f *failing) Unwrap() semel.Store { return f.Store }

var errDown = errors.New("down")

func (f *failing) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	if f.down {
		return semel.Record{}, errDown
	}
	return f.Store.Reserve(ctx, r)
}

func newRig(t *testing.T, cfg semel.Config, of semelotel.Config) *rig {
	t.Helper()
	r := &rig{store: &failing{Store: memstore.New(memstore.Config{})}, spans: tracetest.NewInMemoryExporter(), metrics: sdkmetric.NewManualReader()}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(r.spans))
	of.TracerProvider, of.MeterProvider = provider, sdkmetric.NewMeterProvider(sdkmetric.WithReader(r.metrics))
	telemetry, err := semelotel.New(of)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Observe, cfg.Logger = telemetry.Observe, slog.New(slog.DiscardHandler)
	if r.Engine, err = semel.New(r.store, cfg); err != nil {
		t.Fatal(err)
	}
	if err := telemetry.Watch(r.Engine); err != nil {
		t.Fatal(err)
	}
	r.tracer = provider.Tracer("test")
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *rig) begin(t *testing.T, ctx context.Context, call semel.Call) *semel.Claim {
	t.Helper()
	out, err := r.Begin(ctx, call)
	if err != nil {
		t.Fatal(err)
	}
	return out.Claim
}

// span returns the last one of a name, and forgets all.
func (r *rig) span(t *testing.T, name string) tracetest.SpanStub {
	t.Helper()
	all := r.spans.GetSpans()
	r.spans.Reset()
	for _, span := range slices.Backward(all) {
		if span.Name == name {
			return span
		}
	}
	t.Fatalf("there is no span %s", name)
	return tracetest.SpanStub{}
}

func attributes(s tracetest.SpanStub) map[string]string {
	all := map[string]string{}
	for _, a := range s.Attributes {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

func events(s tracetest.SpanStub) string {
	var names []string
	for _, e := range s.Events {
		names = append(names, e.Name)
	}
	return strings.Join(names, " ")
}

var pay = semel.Call{Key: semel.Key{Scope: "scope-secret", ID: "key-secret"}, Route: "POST /payments"}

// With Steps each step is a span that says what became of it, and so does the span of the
// request.
func TestSpans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, semel.Config{Lapsed: semel.Rerun}, semelotel.Config{Refs: true, Steps: true})
		request := func(f func(ctx context.Context)) tracetest.SpanStub {
			ctx, span := r.tracer.Start(t.Context(), "request")
			f(ctx)
			span.End()
			all := r.spans.GetSpans()
			return all[len(all)-1]
		}
		outcome := func(name, want, wantEvents string, f func(ctx context.Context)) {
			t.Helper()
			around := request(f)
			got := r.span(t, name)
			if got.Parent.SpanID() != around.SpanContext.SpanID() {
				t.Errorf("%s is not a child of the request", name)
			}
			about := attributes(got)
			if about["semel.route"] != pay.Route || about["semel.ref"] != r.Ref(pay.Key) || about["semel.outcome"] != want {
				t.Errorf("%s: got %v, want outcome %q, the route and the reference", name, about, want)
			}
			if want != "" && attributes(around)["semel.outcome"] != want {
				t.Errorf("the request has %v, want outcome %q", attributes(around), want)
			}
			if events(around) != wantEvents {
				t.Errorf("%s: got events %q, want %q", name, events(around), wantEvents)
			}
			if text := fmt.Sprintf("%+v %+v", got, around); strings.Contains(text, "secret") {
				t.Errorf("%s tells the key", name)
			}
		}
		var claim *semel.Claim
		outcome("semel.reserve", "executed", "semel.claim", func(ctx context.Context) { claim = r.begin(t, ctx, pay) })
		outcome("semel.reserve", "in_flight", "", func(ctx context.Context) { r.begin(t, ctx, pay) })
		outcome("semel.abandon", "", "", func(ctx context.Context) { claim.Abandon(ctx) })
		time.Sleep(5 * time.Second)
		outcome("semel.reserve", "executed", "semel.takeover semel.claim", func(ctx context.Context) { claim = r.begin(t, ctx, pay) })
		outcome("semel.complete", "", "semel.commit", func(ctx context.Context) {
			if err := claim.Complete(ctx, semel.Response{Status: 200, Body: []byte("paid")}); err != nil {
				t.Error(err)
			}
		})
		outcome("semel.reserve", "replayed", "", func(ctx context.Context) { r.begin(t, ctx, pay) })
		request(func(ctx context.Context) { r.begin(t, ctx, pay) })
		if about := attributes(r.span(t, "semel.reserve")); about["semel.replayed"] != "true" {
			t.Errorf("got %v, want semel.replayed", about)
		}
		other := pay
		other.Fingerprint = semel.Fingerprint{1}
		outcome("semel.reserve", "conflict", "", func(ctx context.Context) { r.begin(t, ctx, other) })
	})
}

// Without Refs no span names the record.
func TestRefsAreOptIn(t *testing.T) {
	r := newRig(t, semel.Config{}, semelotel.Config{})
	r.begin(t, t.Context(), pay)
	got := r.span(t, "semel.reserve")
	if about := attributes(got); about["semel.ref"] != "" {
		t.Errorf("got %v, want no reference", about)
	}
	if events(got) != "semel.claim" { // there is no span of a request
		t.Errorf("got events %q, want the claim", events(got))
	}
}

// A step that failed has its error, and the outcome of nobody.
func TestErrorsAreRecorded(t *testing.T) {
	r := newRig(t, semel.Config{ReserveTimeout: 50 * time.Millisecond}, semelotel.Config{})
	r.store.down = true
	if _, err := r.Begin(t.Context(), pay); err == nil {
		t.Fatal("got no error")
	}
	got := r.span(t, "semel.reserve")
	if got.Status.Code != codes.Error || events(got) != "exception" || attributes(got)["semel.outcome"] != "" {
		t.Errorf("got status %v, events %q, %v, want an error that is recorded", got.Status, events(got), attributes(got))
	}
}

// The handler runs in the trace of the request: what it starts is a child of the request's
// span, also when the client has hung up.
func TestContextReachesTheHandler(t *testing.T) {
	r := newRig(t, semel.Config{}, semelotel.Config{})
	mw, err := semelhttp.New(r.Engine, semelhttp.Global(), semelhttp.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var inner trace.SpanContext
	var parent trace.SpanContext
	h := mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		parent = trace.SpanContextFromContext(req.Context())
		_, span := r.tracer.Start(req.Context(), "charge")
		inner = span.SpanContext()
		span.End()
		_, _ = io.WriteString(w, "ok")
	}))
	ctx, span := r.tracer.Start(t.Context(), "request")
	req := httptest.NewRequestWithContext(ctx, "POST", "/", strings.NewReader("x"))
	req.Header.Set("Idempotency-Key", "k")
	h.ServeHTTP(httptest.NewRecorder(), req)
	span.End()
	if parent.SpanID() != span.SpanContext().SpanID() || inner.TraceID() != span.SpanContext().TraceID() {
		t.Errorf("got parent %v and trace %v, want those of the request", parent.SpanID(), inner.TraceID())
	}
	if got := events(r.span(t, "request")); got != "semel.claim semel.commit" {
		t.Errorf("got events %q, want the claim and the completion in the span of the request", got)
	}
}

// numbers collects the metrics as name{attributes} and their value; of histograms the count.
func (r *rig) numbers(t *testing.T) map[string]float64 {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := r.metrics.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	put := func(name string, set attribute.Set, value float64) {
		all[name+"{"+set.Encoded(attribute.DefaultEncoder())+"}"] = value
	}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch points := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range points.DataPoints {
					put(m.Name, p.Attributes, float64(p.Value))
				}
			case metricdata.Gauge[int64]:
				for _, p := range points.DataPoints {
					put(m.Name, p.Attributes, float64(p.Value))
				}
			case metricdata.Gauge[float64]:
				for _, p := range points.DataPoints {
					put(m.Name, p.Attributes, p.Value)
				}
			case metricdata.Histogram[int64]:
				for _, p := range points.DataPoints {
					put(m.Name, p.Attributes, float64(p.Count))
				}
			case metricdata.Histogram[float64]:
				for _, p := range points.DataPoints {
					put(m.Name, p.Attributes, float64(p.Count))
				}
			}
		}
	}
	return all
}

// The metrics have the meaning, and by way of Prometheus the names, of semelprom.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, semel.Config{Lapsed: semel.Rerun, ReserveTimeout: 50 * time.Millisecond}, semelotel.Config{})
		first := r.begin(t, t.Context(), pay)
		r.begin(t, t.Context(), pay)
		time.Sleep(3 * time.Second)
		if got := r.numbers(t); got["semel.inflight.attempts{}"] != 1 || got["semel.oldest.inflight{}"] != 3 {
			t.Errorf("got %v, want one attempt that has run for 3 s", got)
		}
		first.Abandon(t.Context())
		time.Sleep(5 * time.Second)
		second := r.begin(t, t.Context(), pay)
		if err := second.Complete(t.Context(), semel.Response{Status: 200}); err != nil {
			t.Fatal(err)
		}
		r.begin(t, t.Context(), semel.Call{Key: pay.Key})
		lost := r.begin(t, t.Context(), semel.Call{Key: semel.Key{Scope: "s", ID: "2"}})
		_ = r.Store().Release(t.Context(), lost.Key(), lost.Token())
		_ = lost.Complete(t.Context(), semel.Response{Status: 200})
		free := r.begin(t, t.Context(), semel.Call{Key: semel.Key{Scope: "s", ID: "3"}})
		_ = free.Release(t.Context())
		r.store.down = true
		_, _ = r.Begin(t.Context(), pay)
		got := r.numbers(t)
		for name, want := range map[string]float64{
			"semel.requests{outcome=executed,route=POST /payments}":     2,
			"semel.requests{outcome=in_flight,route=POST /payments}":    1,
			"semel.requests{outcome=replayed,route=none}":               1,
			"semel.requests{outcome=store_failed,route=POST /payments}": 1,
			"semel.lease.takeovers{route=POST /payments}":               1,
			"semel.leases.lost{by=complete}":                            1,
			"semel.handler.duration{route=POST /payments,settle=hold}":  1,
			"semel.handler.duration{route=POST /payments,settle=keep}":  1,
			"semel.handler.duration{route=none,settle=release}":         1,
			"semel.store.operation.duration{step=reserve}":              7,
			"semel.store.operation.failures{step=reserve}":              1,
			"semel.record{}":            1,
			"semel.inflight.attempts{}": 0,
		} {
			if got[name] != want {
				t.Errorf("%s: got %v, want %v", name, got[name], want)
			}
		}
		if t.Failed() {
			t.Logf("all: %v", got)
		}
	})
}

// Renewals, purges and sweeps belong to no request: they make no span of one and count
// for none.
func TestWorkBeyondRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, semel.Config{}, semelotel.Config{})
		r.begin(t, t.Context(), pay).Abandon(t.Context())
		running := r.begin(t, t.Context(), semel.Call{Key: semel.Key{Scope: "s", ID: "2"}})
		ctx, stop := context.WithTimeout(t.Context(), 90*time.Second)
		defer stop()
		go func() { _ = r.RunPurge(ctx, semel.Purging{}) }()
		_ = r.RunSweep(ctx, semel.Sweeping{Every: time.Minute, Recover: func(context.Context, semel.Record) (semel.Recovery, error) {
			return semel.Recovery{}, nil
		}})
		synctest.Wait()
		_ = running.Release(t.Context())
		sweeps := map[trace.SpanID]bool{}
		reserves := 0
		for _, s := range slices.Backward(r.spans.GetSpans()) { // what is around ends last
			switch s.Name {
			case "semel.renew", "semel.purge":
				t.Errorf("%s has a span", s.Name)
			case "semel.sweep":
				sweeps[s.SpanContext.SpanID()] = true
				if about := attributes(s); about["semel.outcome"] != "" || events(s) != "" {
					t.Errorf("a sweep says %v and %q, want nothing of one attempt", about, events(s))
				}
			case "semel.reserve":
				if sweeps[s.Parent.SpanID()] {
					reserves++
				}
			}
		}
		if len(sweeps) == 0 || reserves == 0 {
			t.Errorf("got %d sweeps with %d reserves below them, want some", len(sweeps), reserves)
		}
		got := r.numbers(t)
		if n := got["semel.requests{outcome=executed,route=POST /payments}"] + got["semel.requests{outcome=executed,route=none}"]; n != 2 {
			t.Errorf("got %v requests, want 2", n)
		}
		if got["semel.store.operation.duration{step=renew}"] == 0 || got["semel.store.operation.duration{step=purge}"] == 0 ||
			got["semel.store.operation.duration{step=sweep}"] == 0 {
			t.Errorf("got %v, want renewals, purges and sweeps in it", got)
		}
	})
}

// A program that makes up names for its routes gets no more series than it has room for.
func TestRoutesAreBounded(t *testing.T) {
	for name, c := range map[string]struct{ max, want int }{"set": {2, 2}, "by default": {0, semelotel.DefaultMaxRoutes}} {
		t.Run(name, func(t *testing.T) {
			reader := sdkmetric.NewManualReader()
			telemetry, err := semelotel.New(semelotel.Config{
				MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)), MaxRoutes: c.max,
			})
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for i := range 1000 {
				wg.Go(func() {
					for _, route := range []string{fmt.Sprintf("POST /%d\xff", i), ""} {
						_, end := telemetry.Observe(t.Context(), semel.Op{Step: semel.StepReserve, Route: route})
						end(semel.Event{Kind: semel.Reserved})
					}
				})
			}
			wg.Wait()
			counts := requestsByRoute(t, reader)
			if n := len(counts); n != c.want+2 || counts["none"] != 1000 || counts["other"] != int64(1000-c.want) {
				t.Errorf("got %d routes, %d of other and %d of none, want %d, %d and 1000", n, counts["other"], counts["none"], c.want+2, 1000-c.want)
			}
			for route := range counts {
				if !utf8.ValidString(route) {
					t.Errorf("the route %q is no text", route)
				}
			}
		})
	}
}

func requestsByRoute(t *testing.T, reader sdkmetric.Reader) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int64{}
	for _, m := range all.ScopeMetrics[0].Metrics {
		sum, ok := m.Data.(metricdata.Sum[int64])
		if m.Name != "semel.requests" || !ok {
			continue
		}
		for _, p := range sum.DataPoints {
			route, _ := p.Attributes.Value("route")
			counts[route.AsString()] += p.Value
		}
	}
	return counts
}
