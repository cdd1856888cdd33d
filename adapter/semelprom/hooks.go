package semelprom

import (
	"net/http"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/problem"
	"github.com/semel-go/semel/semelhttp"
)

// HTTP returns cfg with hooks that count what only the middleware knows: refusals, and what
// runs in shadow mode or because the store has failed, if cfg has that. Hooks that cfg has
// are called too.
//
// A hook does not see what [semelhttp.Middleware.With] changes later. Its route is the
// pattern of the [http.ServeMux] around the middleware, and where there is none, cfg.Route.
func (c *Collector) HTTP(cfg semelhttp.Config) semelhttp.Config {
	route := func(r *http.Request) string {
		if r.Pattern != "" {
			return r.Pattern
		}
		return cfg.Route
	}
	refuse, open, shadow := cfg.OnRefuse, cfg.FailOpen, cfg.Shadow
	cfg.OnRefuse = func(r *http.Request, p problem.Details) {
		c.Refused(route(r), p.Code)
		if refuse != nil {
			refuse(r, p)
		}
	}
	if open != nil {
		cfg.FailOpen = func(r *http.Request, err error) bool {
			opens := open(r, err)
			if opens {
				c.FailedOpen(route(r))
			}
			return opens
		}
	}
	if shadow != nil {
		cfg.Shadow = func(r *http.Request, would semelhttp.Shadowed) {
			c.Shadowed(route(r), would)
			shadow(r, would)
		}
	}
	return cfg
}

// Refused counts a request that was refused with a problem of this code.
func (c *Collector) Refused(route, code string) {
	c.refusals.WithLabelValues(code, c.route(route).name).Inc()
}

// FailedOpen counts a request that ran unguarded because the store had failed.
func (c *Collector) FailedOpen(route string) {
	c.failedOpen.WithLabelValues(c.route(route).name).Inc()
}

// Shadowed counts what would have become of a request in shadow mode.
func (c *Collector) Shadowed(route string, would semelhttp.Shadowed) {
	c.shadowed.WithLabelValues(Would(would), c.route(route).name).Inc()
}

// What a shadow would have done, as labels.
const (
	wouldRun    = "run"
	wouldReplay = "replay"
	wouldRefuse = "refuse"
)

// Would is one word for what a shadow would have done: "run", "replay" or "refuse".
func Would(would semelhttp.Shadowed) string {
	switch {
	case would.Problem != "":
		return wouldRefuse
	case would.Kind == semel.Replay:
		return wouldReplay
	}
	return wouldRun
}
