package semelprom

import (
	"maps"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

// The names of what has no series of its own.
const (
	noRoute    = "none"
	otherRoute = "other"
)

// The outcomes of a reservation, as labels.
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

// route has the metrics of one route, and the ends of its steps, made once so that a step
// allocates nothing.
type route struct {
	name      string
	requests  [outcomes]prometheus.Counter
	handlers  [semel.Free + 1]prometheus.Observer // by how the attempt ended
	takeovers prometheus.Counter
	ends      [numSteps]func(semel.Event)
}

// route returns the metrics of a route, which are made at its first request.
func (c *Collector) route(name string) *route {
	if r := (*c.routes.Load())[name]; r != nil {
		return r
	}
	return c.addRoute(name)
}

// addRoute copies the table, so that nobody waits who only reads it. A route that has no
// series of its own is not in the table, which would grow with it.
func (c *Collector) addRoute(name string) *route {
	c.adding.Lock()
	defer c.adding.Unlock()
	table := *c.routes.Load()
	label := labelOf(name)
	if r := table[label]; r != nil {
		return r
	}
	if label != noRoute && len(table)-len([...]string{"", noRoute}) >= c.max {
		label = otherRoute
		if r := table[label]; r != nil {
			return r
		}
	}
	r := c.newRoute(label)
	next := maps.Clone(table)
	next[label] = r
	if label == noRoute {
		next[""] = r
	}
	c.routes.Store(&next)
	return r
}

// labelOf makes a route a label: whatever a program calls its routes, the text format bears
// it.
func labelOf(name string) string {
	if name == "" {
		return noRoute
	}
	return strings.ToValidUTF8(name, "\uFFFD")
}

// newRoute makes all series of a route, so that each begins at zero: the first of its kind
// is a change too, and an alert sees it.
func (c *Collector) newRoute(label string) *route {
	r := &route{name: label, takeovers: c.takeovers.WithLabelValues(label)}
	for outcome, name := range outcomeNames {
		r.requests[outcome] = c.requests.WithLabelValues(name, label)
	}
	c.failedOpen.WithLabelValues(label)
	for _, p := range semelhttp.Problems() {
		c.refusals.WithLabelValues(p.Details().Code, label)
	}
	for _, would := range []string{wouldRun, wouldReplay, wouldRefuse} {
		c.shadowed.WithLabelValues(would, label)
	}
	for how := range r.handlers {
		settle := semel.Disposition(how).String()
		r.handlers[how] = c.handlers.WithLabelValues(settle, label)
	}
	for step := range numSteps {
		r.ends[step] = func(e semel.Event) { c.end(r, step, e) }
	}
	return r
}
