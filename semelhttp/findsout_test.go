package semelhttp_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// A client is told to come back where somebody finds out what an attempt did, and only
// there; and the attempt itself holds its key in both cases (I7).
func TestUnknownOutcomeIsRetryable(t *testing.T) {
	knows := func(context.Context, semel.Record) (semel.Recovery, error) { return semel.Recovery{}, nil }
	for name, c := range map[string]struct {
		engine semel.Config
		route  func(*semelhttp.Config)
		want   bool
	}{
		"hold":                    {semel.Config{}, nil, false},
		"recover":                 {semel.Config{Lapsed: semel.Recover, Recover: knows}, nil, true},
		"recover on the route":    {semel.Config{}, func(h *semelhttp.Config) { h.Lapsed, h.Recover = semel.Recover, knows }, true},
		"rerun":                   {semel.Config{Lapsed: semel.Rerun}, nil, true},
		"hold on the route alone": {semel.Config{Lapsed: semel.Rerun}, func(h *semelhttp.Config) { h.Lapsed = semel.Hold }, false},
	} {
		t.Run(name, func(t *testing.T) {
			var r *rig
			r = newRigOn(t, memstore.New(memstore.Config{}), c.engine, func(w http.ResponseWriter, q *http.Request) {
				r.mw.Refuse(w, q, semelhttp.ProblemOutcomeUnknown, http.StatusGatewayTimeout) // as a sidecar does
			}, c.route)
			a := r.post(secretKey, "x")
			p := r.wantProblem(a, http.StatusGatewayTimeout, semelhttp.ProblemOutcomeUnknown)
			if after := a.header.Get("Retry-After"); p.Retryable != c.want || (after != "") != c.want {
				t.Errorf("got retryable %v, Retry-After %q, want %v", p.Retryable, after, c.want)
			}
			lister, _ := semel.As[semel.Lister](r.store)
			for rec, err := range lister.List(t.Context(), semel.Filter{}) {
				if err != nil || rec.State != semel.StateReserved {
					t.Errorf("got a %v record, %v, want it held", rec.State, err)
				}
			}
		})
	}
}
