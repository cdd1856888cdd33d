package semelprom

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/semel-go/semel"
)

var _ prometheus.Collector = (*Collector)(nil)

// DefaultMaxRoutes is the default of [Config].MaxRoutes.
const DefaultMaxRoutes = 50

// Config is what a [Collector] may be told. The zero value is fine.
type Config struct {
	// Version is shown by semel_build_info. Default "unknown".
	Version string
	// MaxRoutes is how many routes have series of their own; a route more has none and
	// counts as "other". Each costs 80 series. Default 50.
	MaxRoutes int
	// Ended, when not nil, is called with each event, after it has been counted. It costs
	// nothing more, while a second observer costs an allocation. It must be safe for
	// concurrent use and must not block. Default: none.
	Ended func(step semel.Step, e semel.Event)
}

// Collector has the metrics of one engine. Make it with [New]; it is safe for concurrent
// use.
type Collector struct {
	vectors
	steps  [numSteps]stepMetrics
	routes atomic.Pointer[map[string]*route]
	adding sync.Mutex
	max    int
	ended  func(semel.Step, semel.Event)

	engine atomic.Pointer[semel.Engine]
	sweeps atomic.Bool // there was a sweep
	quiet  [numSteps]func(semel.Event)
}

// numSteps is one more than the last step that is counted.
const numSteps = semel.StepPoll + 1

// New returns a Collector with every count at zero.
func New(cfg Config) *Collector {
	if cfg.Version == "" {
		cfg.Version = "unknown"
	}
	if cfg.MaxRoutes <= 0 {
		cfg.MaxRoutes = DefaultMaxRoutes
	}
	c := &Collector{vectors: newVectors(), max: cfg.MaxRoutes, ended: cfg.Ended}
	c.build.WithLabelValues(cfg.Version, runtime.Version()).Set(1)
	for step := range numSteps {
		c.steps[step] = c.stepMetrics(step)
		c.quiet[step] = func(e semel.Event) { c.step(step, e) }
	}
	for wake := range semel.WakeHint + 1 {
		c.woken.WithLabelValues(wake.String())
	}
	for _, by := range []semel.Step{semel.StepRenew, semel.StepComplete} {
		c.lost.WithLabelValues(by.String())
	}
	c.routes.Store(&map[string]*route{})
	c.Expect("")
	return c
}

// Watch makes engine the one of which the running attempts, and the calls that wait, are
// counted.
func (c *Collector) Watch(engine *semel.Engine) { c.engine.Store(engine) }

// Expect makes the series of routes before their first request, so that they begin at zero
// and a first failure is a change.
func (c *Collector) Expect(routes ...string) {
	for _, name := range routes {
		c.route(name)
	}
}

// Describe implements [prometheus.Collector].
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, each := range c.all() {
		each.Describe(ch)
	}
	ch <- inflight
	ch <- oldest
	ch <- waiters
	ch <- hearing
}

// Collect implements [prometheus.Collector].
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	for _, each := range c.all() {
		each.Collect(ch)
	}
	n, age, waiting, hears := 0, 0.0, 0, 0.0
	if engine := c.engine.Load(); engine != nil {
		running, since := engine.Running()
		n, age, waiting = running, since.Seconds(), engine.Waiting()
		if engine.Hearing() {
			hears = 1
		}
	}
	ch <- prometheus.MustNewConstMetric(inflight, prometheus.GaugeValue, float64(n))
	ch <- prometheus.MustNewConstMetric(oldest, prometheus.GaugeValue, age)
	ch <- prometheus.MustNewConstMetric(waiters, prometheus.GaugeValue, float64(waiting))
	ch <- prometheus.MustNewConstMetric(hearing, prometheus.GaugeValue, hears)
}
