package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/semel-go/semel"
)

// Metrics counts what happens, for /metrics in the text format of Prometheus.
// No label ever holds a key, a scope or anything else from a request. It is
// safe for concurrent use; make it with [NewMetrics].
type Metrics struct {
	requests [outcomes]atomic.Int64
	steps    [semel.StepOpen + 1]histogram
	failed   [semel.StepOpen + 1]atomic.Int64
	ends     [semel.StepOpen + 1]func(semel.Event)
	swept    func(semel.Event) // the end of a reserve that a sweep made
	sweeps   atomic.Bool       // there was a sweep

	lost, purged         atomic.Int64
	unreachable, unknown atomic.Int64
	recovered            [semel.Free + 1]atomic.Int64 // by what the recovery URL said
	failedOpen           atomic.Int64
	shadowed             [shadows]atomic.Int64
	running, serving     atomic.Int64
	trouble              trouble // for /readyz
}

// The outcomes of a guarded request, as labels.
const (
	executed = iota
	replayed
	inFlight
	outcomeUnknown
	conflict
	storeFailed
	outcomes
)

var outcomeNames = [outcomes]string{
	executed: "executed", replayed: "replayed", inFlight: "in_flight",
	outcomeUnknown: "outcome_unknown", conflict: "conflict", storeFailed: "store_failed",
}

// NewMetrics returns Metrics with every count at zero.
func NewMetrics() *Metrics {
	m := &Metrics{}
	for step := range m.ends { // made once, so that a step allocates nothing
		m.ends[step] = func(e semel.Event) { m.end(semel.Step(step), e) } //nolint:gosec // at most StepOpen
	}
	m.swept = func(e semel.Event) { m.step(semel.StepReserve, e) }
	return m
}

type sweepingKey struct{}

// Observe is the [semel.Observer] for semel.Config.Observe.
func (m *Metrics) Observe(ctx context.Context, op semel.Op) (context.Context, func(semel.Event)) {
	switch {
	case int(op.Step) >= len(m.ends):
		return ctx, nil
	case op.Step == semel.StepSweep:
		m.sweeps.Store(true)
		ctx = context.WithValue(ctx, sweepingKey{}, true)
	case op.Step == semel.StepReserve && m.sweeps.Load() && ctx.Value(sweepingKey{}) != nil:
		return ctx, m.swept
	}
	return ctx, m.ends[op.Step]
}

// step counts what every step has.
func (m *Metrics) step(step semel.Step, e semel.Event) {
	m.steps[step].observe(e.Took)
	m.trouble.see(step, e)
	if e.Err != nil && !errors.Is(e.Err, semel.ErrLost) {
		m.failed[step].Add(1)
	}
}

func (m *Metrics) end(step semel.Step, e semel.Event) {
	m.step(step, e)
	switch step {
	case semel.StepReserve:
		m.requests[outcomeOf(e)].Add(1)
	case semel.StepPurge:
		m.purged.Add(int64(e.Count))
	case semel.StepRenew:
		m.lost.Add(int64(e.Lost))
	case semel.StepComplete:
		if errors.Is(e.Err, semel.ErrLost) {
			m.lost.Add(1)
		}
	case semel.StepRelease, semel.StepAbandon, semel.StepRecover, semel.StepSweep,
		semel.StepBeginEffects, semel.StepLock, semel.StepCommit, semel.StepSeal, semel.StepOpen:
	}
}

func outcomeOf(e semel.Event) int {
	switch e.Kind {
	case semel.Reserved:
		return executed
	case semel.Replay:
		return replayed
	case semel.Conflict:
		return conflict
	case semel.InFlight:
		if e.Lapsed {
			return outcomeUnknown
		}
		return inFlight
	}
	return storeFailed
}

// steps are those that a sidecar makes.
var steps = [...]semel.Step{
	semel.StepReserve, semel.StepComplete, semel.StepRelease, semel.StepAbandon, semel.StepRenew,
	semel.StepRecover, semel.StepPurge, semel.StepSweep,
}

// bounds are the upper ends of the buckets, from an embedded store to a store in
// trouble.
var bounds = [...]time.Duration{
	10 * time.Microsecond, 100 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond,
	500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 10 * time.Second,
}

type histogram struct {
	buckets [len(bounds) + 1]atomic.Int64
	nanos   atomic.Int64
}

func (h *histogram) observe(d time.Duration) {
	i := 0
	for i < len(bounds) && d > bounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.nanos.Add(int64(d))
}

// write writes all metrics. An error of w is the caller's to see or ignore.
func (m *Metrics) write(w io.Writer, version string) error {
	var b strings.Builder
	head(&b, "semel_requests_total", "counter", "Guarded requests by the outcome of their reservation.")
	for i, name := range outcomeNames {
		fmt.Fprintf(&b, "semel_requests_total{outcome=%q} %d\n", name, m.requests[i].Load())
	}
	head(&b, "semel_recoveries_total", "counter", "Questions to a recovery URL by what it said; hold is all that settles nothing.")
	for how := range m.recovered {
		fmt.Fprintf(&b, "semel_recoveries_total{settle=%q} %d\n", semel.Disposition(how), m.recovered[how].Load())
	}
	head(&b, "semel_shadowed_total", "counter", "Requests in shadow mode by what would have become of them.")
	for how, name := range shadowNames {
		fmt.Fprintf(&b, "semel_shadowed_total{would=%q} %d\n", name, m.shadowed[how].Load())
	}
	m.writeSteps(&b)
	for _, one := range []struct {
		name, kind, help string
		value            *atomic.Int64
	}{
		{"semel_inflight_attempts", "gauge", "Attempts that run now.", &m.running},
		{"semel_inflight_requests", "gauge", "Requests that are served now, guarded or not.", &m.serving},
		{"semel_upstream_unreachable_total", "counter", "Requests of which nothing was sent upstream.", &m.unreachable},
		{"semel_upstream_unknown_total", "counter", "Requests that were sent upstream and got no whole answer.", &m.unknown},
		{"semel_failed_open_total", "counter", "Requests that ran unguarded because the store failed.", &m.failedOpen},
		{"semel_leases_lost_total", "counter", "Attempts that lost their slot while they ran.", &m.lost},
		{"semel_purged_records_total", "counter", "Records removed after their retention.", &m.purged},
	} {
		head(&b, one.name, one.kind, one.help)
		fmt.Fprintf(&b, "%s %d\n", one.name, one.value.Load())
	}
	head(&b, "semel_build_info", "gauge", "The running build; the value is always 1.")
	fmt.Fprintf(&b, "semel_build_info{version=\"%s\",goversion=\"%s\"} 1\n", labelValue(version), labelValue(runtime.Version()))
	_, err := io.WriteString(w, b.String())
	return err
}

func (m *Metrics) writeSteps(b *strings.Builder) {
	const took, failed = "semel_store_operation_duration_seconds", "semel_store_operation_failures_total"
	head(b, took, "histogram", "Time of a step of the store, its retries included.")
	for _, step := range steps {
		h := &m.steps[step]
		count := int64(0)
		for i := range h.buckets {
			count += h.buckets[i].Load()
			if i < len(bounds) {
				fmt.Fprintf(b, "%s_bucket{step=%q,le=\"%g\"} %d\n", took, step, bounds[i].Seconds(), count)
			}
		}
		fmt.Fprintf(b, "%s_bucket{step=%q,le=\"+Inf\"} %d\n", took, step, count)
		fmt.Fprintf(b, "%s_sum{step=%q} %g\n", took, step, time.Duration(h.nanos.Load()).Seconds())
		fmt.Fprintf(b, "%s_count{step=%q} %d\n", took, step, count)
	}
	head(b, failed, "counter", "Steps of the store that failed.")
	for _, step := range steps {
		fmt.Fprintf(b, "%s{step=%q} %d\n", failed, step, m.failed[step].Load())
	}
}

func head(b *strings.Builder, name, kind, help string) {
	fmt.Fprintf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// labelValue escapes as the text format wants.
func labelValue(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s)
}
