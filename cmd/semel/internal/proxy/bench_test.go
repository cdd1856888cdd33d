package proxy

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric/noop"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelotel"
	"github.com/semel-go/semel/cmd/semel/internal/otlp"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
	"github.com/semel-go/semel/store/sqlitestore"
)

// watched is a sidecar that is observed in some way.
type watched struct {
	url    string
	client *http.Client
	took   []float64 // for each block of requests
}

func newWatched(b *testing.B, store semel.Store, upstream string, observe func(*Config) semel.Observer) *watched {
	b.Helper()
	to, err := url.Parse(upstream)
	if err != nil {
		b.Fatal(err)
	}
	cfg := Config{Upstream: to, Logger: slog.New(slog.DiscardHandler), Metrics: NewMetrics("")}
	engine, err := semel.New(store, semel.Config{Observe: observe(&cfg), Logger: cfg.Logger})
	if err != nil {
		b.Fatal(err)
	}
	s, err := New(engine, semelhttp.Global(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	front := httptest.NewServer(s.Handler())
	w := &watched{url: front.URL, client: &http.Client{Transport: &http.Transport{}}}
	b.Cleanup(func() {
		w.client.CloseIdleConnections()
		front.Close()
		_ = engine.Close(context.Background())
		s.current().close()
	})
	return w
}

func (w *watched) block(b *testing.B, first, n int) {
	b.Helper()
	began := time.Now()
	for i := range n {
		req, err := http.NewRequest(http.MethodPost, w.url+"/pay", strings.NewReader("{}"))
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Idempotency-Key", "k"+strconv.Itoa(first+i))
		res, err := w.client.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
	w.took = append(w.took, time.Since(began).Seconds())
}

// over is the median of how long w took, block by block, over how long base did.
func (w *watched) over(base *watched) float64 {
	ratios := make([]float64, len(w.took))
	for i := range ratios {
		ratios[i] = w.took[i] / base.took[i]
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2]
}

// BenchmarkObservability is what metrics and traces cost of a guarded request through the
// sidecar on loopback, as median ratios of blocks that alternate: on a store in memory, where
// a request costs least, and on SQLite, the default. Give it -benchtime=200x.
func BenchmarkObservability(b *testing.B) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	defer up.Close()
	b.Run("memory", func(b *testing.B) {
		compare(b, up.URL, 50, func() semel.Store { return memstore.New(memstore.Config{}) })
	})
	b.Run("sqlite", func(b *testing.B) {
		compare(b, up.URL, 10, func() semel.Store {
			store, err := sqlitestore.Open(filepath.Join(b.TempDir(), "semel.db"), sqlitestore.Config{})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = store.Close() })
			return store
		})
	})
}

// compare alternates between blocks of requests.
func compare(b *testing.B, upstream string, block int, open func() semel.Store) {
	b.Helper()
	none := newWatched(b, open(), upstream, func(*Config) semel.Observer { return nil })
	again := newWatched(b, open(), upstream, func(*Config) semel.Observer { return nil })
	metrics := newWatched(b, open(), upstream, func(c *Config) semel.Observer { return c.Metrics.Observe })
	traced := func(sampler sdktrace.Sampler) func(c *Config) semel.Observer {
		return func(c *Config) semel.Observer {
			provider := otlp.Discard(b.Context(), sdktrace.WithSampler(sampler))
			b.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
			telemetry, err := semelotel.New(semelotel.Config{TracerProvider: provider, MeterProvider: noop.NewMeterProvider(), Refs: true})
			if err != nil {
				b.Fatal(err)
			}
			c.Tracer = provider.Tracer("bench")
			return semel.Observers(c.Metrics.Observe, telemetry.Observe)
		}
	}
	tenth := newWatched(b, open(), upstream, traced(sdktrace.TraceIDRatioBased(.1)))
	traces := newWatched(b, open(), upstream, traced(sdktrace.AlwaysSample()))
	all := []*watched{none, again, metrics, tenth, traces}
	next := 0
	for b.Loop() {
		for i := range all { // each goes first as often
			all[(next/block+i)%len(all)].block(b, next, block)
		}
		next += block
	}
	b.ReportMetric(again.over(none), "noise/none")
	b.ReportMetric(metrics.over(none), "metrics/none")
	b.ReportMetric(tenth.over(none), "+tenth-traced/none")
	b.ReportMetric(traces.over(none), "+all-traced/none")
}
