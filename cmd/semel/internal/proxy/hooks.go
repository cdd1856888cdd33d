package proxy

import (
	"net/http"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/problem"
	"github.com/semel-go/semel/semelhttp"
)

// hooked returns h with hooks that log and count what the middleware decides. No line has
// a key, a scope or a path: the route says where, the reference which record.
func (u *upstream) hooked(h semelhttp.Config, failOpen, shadow bool) semelhttp.Config {
	h.OnRefuse = func(r *http.Request, p problem.Details) {
		ref, _ := p.Extra["ref"].(string)
		u.logger.InfoContext(r.Context(), "a request is refused", "code", p.Code, "status", p.Status, "route", h.Route, "ref", ref)
	}
	h.FailOpen, h.Shadow = nil, nil
	if failOpen {
		h.FailOpen = func(r *http.Request, err error) bool {
			u.metrics.failedOpen.Add(1)
			u.logger.ErrorContext(r.Context(), "a request runs unguarded because the store failed", "route", h.Route, "err", err)
			return true
		}
	}
	if shadow {
		h.Shadow = func(r *http.Request, would semelhttp.Shadowed) {
			how, code := shadowOf(would), ""
			if would.Problem != "" {
				code = would.Problem.Details().Code
			}
			u.metrics.shadowed[how].Add(1)
			u.logger.InfoContext(r.Context(), "a shadow would have done", "what", shadowNames[how],
				"code", code, "route", h.Route, "ref", would.Ref, "err", would.Err)
		}
	}
	return h
}

// What a shadow would have done, as labels.
const (
	shadowRun = iota
	shadowReplay
	shadowRefuse
	shadows
)

var shadowNames = [shadows]string{shadowRun: "run", shadowReplay: "replay", shadowRefuse: "refuse"}

func shadowOf(would semelhttp.Shadowed) int {
	switch {
	case would.Problem != "":
		return shadowRefuse
	case would.Kind == semel.Replay:
		return shadowReplay
	}
	return shadowRun
}
