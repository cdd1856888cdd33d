package proxy

import (
	"net/http"
	"slices"
	"testing"

	"github.com/semel-go/semel/semelhttp"
)

// A preset alone is enough, for all that passes or for one route: the key is found where
// the API has it, reaches the upstream there, and answers look as they do in the API.
func TestPresetAlone(t *testing.T) {
	var seen []string
	up, hits := testUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("PayPal-Request-Id"))
		w.WriteHeader(http.StatusCreated)
	})
	whole := newSidecar(t, up, func(s *setup) { s.HTTP.Preset = semelhttp.PayPal })
	route := newSidecar(t, up, func(s *setup) {
		s.HTTP.Preset = semelhttp.Adyen
		s.Routes = []Route{{Pattern: "/orders", Change: func(h *semelhttp.Config) { h.Preset = semelhttp.PayPal }}}
	})
	for name, s := range map[string]*sidecar{"whole": whole, "route": route} {
		t.Run(name, func(t *testing.T) {
			before := hits.Load()
			seen = nil
			first := s.send(t, "POST", "/orders", "", "x", "PayPal-Request-Id", "k")
			again := s.send(t, "POST", "/orders", "", "x", "PayPal-Request-Id", "k")
			if first.status != 201 || again.status != 200 || hits.Load() != before+1 || !slices.Equal(seen, []string{"k"}) {
				t.Errorf("got %d, then %d, after %d hits with keys %q", first.status, again.status, hits.Load()-before, seen)
			}
			if a := s.send(t, "POST", "/orders", "k", "x"); a.status != 400 {
				t.Errorf("a key in another field: got %d", a.status)
			}
			if a := s.send(t, "PATCH", "/orders", "", "x"); a.status != 201 {
				t.Errorf("a method without keys: got %d", a.status)
			}
		})
	}
	if a := route.send(t, "POST", "/", "k", "x"); a.status != 201 || a.header.Get("Idempotency-Key") != "k" {
		t.Errorf("the whole, beside the route: got %d %v, want the key back", a.status, a.header)
	}
}
