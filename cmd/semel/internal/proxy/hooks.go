package proxy

import (
	"net/http"

	"github.com/semel-go/semel/adapter/semelprom"
	"github.com/semel-go/semel/problem"
	"github.com/semel-go/semel/semelhttp"
)

// hooked returns h with hooks that log and count what the middleware decides. No line has
// a key, a scope or a path: the route says where, the reference which record.
func (u *upstream) hooked(h semelhttp.Config, failOpen, shadow bool) semelhttp.Config {
	h.OnRefuse = func(r *http.Request, p problem.Details) {
		ref, _ := p.Extra["ref"].(string)
		u.metrics.Refused(h.Route, p.Code)
		u.logger.InfoContext(r.Context(), "a request is refused", "code", p.Code, "status", p.Status, "route", h.Route, "ref", ref, "method", r.Method)
	}
	h.FailOpen, h.Shadow = nil, nil
	if failOpen {
		h.FailOpen = func(r *http.Request, err error) bool {
			u.metrics.FailedOpen(h.Route)
			u.logger.ErrorContext(r.Context(), "a request runs unguarded because the store failed", "route", h.Route, "err", err)
			return true
		}
	}
	if shadow {
		h.Shadow = func(r *http.Request, would semelhttp.Shadowed) {
			code := ""
			if would.Problem != "" {
				code = would.Problem.Details().Code
			}
			u.metrics.Shadowed(h.Route, would)
			u.logger.InfoContext(r.Context(), "a shadow would have done", "what", semelprom.Would(would),
				"code", code, "route", h.Route, "ref", would.Ref, "err", would.Err)
		}
	}
	return h
}
