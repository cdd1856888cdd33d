package semelprom

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/semel-go/semel"
)

var (
	inflight = prometheus.NewDesc("semel_inflight_attempts", "Attempts that run now.", nil, nil)
	oldest   = prometheus.NewDesc("semel_oldest_inflight_seconds", "For how long the oldest running attempt has run.", nil, nil)
	waiters  = prometheus.NewDesc("semel_waiters", "Requests that wait now for an attempt in flight.", nil, nil)
	hearing  = prometheus.NewDesc("semel_hints_heard", "1 while the hints of other processes are heard, else 0.", nil, nil)
)

// The bounds of the buckets: of the store, from an embedded one to one in trouble; of
// handlers, up to the usual cap of an attempt; of waits, up to the longest; of kept responses.
var (
	stepSeconds    = []float64{1e-5, 1e-4, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}
	handlerSeconds = []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
	waitSeconds    = []float64{.001, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	recordBytes    = []float64{256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20}
)

// vectors are the metrics before they have labels.
type vectors struct {
	requests, refusals, failedOpen, shadowed *prometheus.CounterVec
	failures, takeovers, lost, woken         *prometheus.CounterVec
	took, handlers, waits                    *prometheus.HistogramVec
	bytes                                    prometheus.Histogram
	purged                                   prometheus.Counter
	caughtUp                                 prometheus.Gauge
	build                                    *prometheus.GaugeVec
}

func newVectors() vectors {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, bounds []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: bounds}, labels)
	}
	return vectors{
		requests:   counter("semel_requests_total", "Guarded requests by the outcome of their reservation.", "outcome", "route"),
		refusals:   counter("semel_refusals_total", "Requests that were refused, by the code of the problem.", "code", "route"),
		failedOpen: counter("semel_failed_open_total", "Requests that ran unguarded because the store failed.", "route"),
		shadowed:   counter("semel_shadowed_total", "Requests in shadow mode by what would have become of them.", "would", "route"),
		took:       histogram("semel_store_operation_duration_seconds", "Time of a step of the store, its retries included.", stepSeconds, "step"),
		failures:   counter("semel_store_operation_failures_total", "Steps of the store that failed.", "step"),
		handlers:   histogram("semel_handler_duration_seconds", "Time from the reservation of an attempt to its end, by how it ended.", handlerSeconds, "settle", "route"),
		waits:      histogram("semel_wait_duration_seconds", "Time for which requests waited for an attempt in flight, by the outcome.", waitSeconds, "outcome"),
		woken:      counter("semel_waits_total", "Requests that waited, by what let the store be asked whose answer ended the wait.", "woken_by"),
		takeovers:  counter("semel_lease_takeovers_total", "Reservations that took over a lapsed attempt, to run again or to ask.", "route"),
		lost:       counter("semel_leases_lost_total", "Attempts that lost their slot while they ran, by the step that noticed.", "by"),
		bytes: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "semel_record_bytes", Help: "Size of the responses that were kept, header and body, as they are stored.", Buckets: recordBytes,
		}),
		purged: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "semel_purged_records_total", Help: "Records removed after their retention.",
		}),
		caughtUp: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "semel_purge_caught_up_timestamp_seconds", Help: "When a purge last left nothing that is over; 0 before the first.",
		}),
		build: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "semel_build_info", Help: "The running build; the value is always 1.",
		}, []string{"version", "goversion"}),
	}
}

func (v *vectors) all() []prometheus.Collector {
	return []prometheus.Collector{
		v.requests, v.refusals, v.failedOpen, v.shadowed, v.took, v.failures, v.handlers, v.waits, v.woken, v.takeovers, v.lost,
		v.bytes, v.purged, v.caughtUp, v.build,
	}
}

// stepMetrics are those of a step. Most programs make only some steps; the others have no
// series.
type stepMetrics struct {
	took   func() prometheus.Observer
	failed func() prometheus.Counter
}

func (v *vectors) stepMetrics(step semel.Step) stepMetrics {
	m := stepMetrics{
		took:   sync.OnceValue(func() prometheus.Observer { return v.took.WithLabelValues(step.String()) }),
		failed: sync.OnceValue(func() prometheus.Counter { return v.failures.WithLabelValues(step.String()) }),
	}
	switch step {
	case semel.StepReserve, semel.StepComplete, semel.StepRelease, semel.StepAbandon, semel.StepRenew,
		semel.StepRecover, semel.StepPurge, semel.StepSweep: // every program may: they begin at zero
		m.took()
		m.failed()
	case semel.StepBeginEffects, semel.StepLock, semel.StepCommit, semel.StepSeal, semel.StepOpen,
		semel.StepWait, semel.StepPoll:
	}
	return m
}
