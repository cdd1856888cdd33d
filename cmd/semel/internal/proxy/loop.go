package proxy

import (
	"net/http"
	"slices"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/problem"
)

// loops reports whether a request has passed this sidecar before.
func (s *Server) loops(r *http.Request) bool {
	return slices.ContainsFunc(r.Header[HeaderVia], func(line string) bool { return hasToken(line, s.via[0]) })
}

// refuseLoop tells the sidecar that has sent the request to free its key.
func (s *Server) refuseLoop(w http.ResponseWriter, r *http.Request) {
	s.cfg.Logger.ErrorContext(r.Context(), "a request came back: the sidecar is its own upstream")
	w.Header().Set(HeaderSettle, semel.Free.String())
	problem.Details{
		Status: http.StatusLoopDetected, Title: "The sidecar is its own upstream",
		Detail: "The request came back to a sidecar that had passed it on. Nothing was done.",
	}.Write(w)
}
