package proxy

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelprom"
)

// Metrics counts what happens, for /metrics: what the engine and the middleware do, by
// [semelprom.Collector], what the sidecar does besides, and the process. No label ever holds
// a key, a scope or anything else from a request. It is safe for concurrent use; make it with
// [NewMetrics].
type Metrics struct {
	*semelprom.Collector
	registry *prometheus.Registry

	unreachable, unknown prometheus.Counter
	recovered            *prometheus.CounterVec // by what the recovery URL said
	ready                prometheus.Gauge
	serving              atomic.Int64
	trouble              trouble // for /readyz
}

// maxRoutes is how many routes of the file have series of their own.
const maxRoutes = 100

// NewMetrics returns Metrics with every count at zero. version is shown by semel_build_info.
func NewMetrics(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		unreachable: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "semel_upstream_unreachable_total", Help: "Requests of which nothing was sent upstream.",
		}),
		unknown: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "semel_upstream_unknown_total", Help: "Requests that were sent upstream and got no whole answer.",
		}),
		recovered: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "semel_recoveries_total", Help: "Questions to a recovery URL by what it said; hold is all that settles nothing.",
		}, []string{"settle"}),
		ready: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "semel_ready", Help: "1 when /readyz says 200 at the time of the scrape, else 0.",
		}),
	}
	m.Collector = semelprom.New(semelprom.Config{Version: version, MaxRoutes: maxRoutes, Ended: m.trouble.see})
	for _, how := range []semel.Disposition{semel.Keep, semel.Free, semel.Unknown} {
		m.recovered.WithLabelValues(how.String())
	}
	m.registry.MustRegister(
		m.Collector, m.unreachable, m.unknown, m.recovered, m.ready,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "semel_inflight_requests", Help: "Requests that are served now, guarded or not.",
		}, func() float64 { return float64(m.serving.Load()) }),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// handler serves the metrics in the formats of Prometheus. isReady is asked at each scrape.
func (m *Metrics) handler(isReady func(context.Context) bool) http.Handler {
	scrape := promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.ready.Set(map[bool]float64{true: 1}[isReady(r.Context())])
		scrape.ServeHTTP(w, r)
	})
}
