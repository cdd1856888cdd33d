package proxy

import (
	"net/http"
	"testing"

	"github.com/semel-go/semel/semelhttp"
)

// A preset alone is enough, for all that passes or for one route: the key is found where
// the API has it, reaches the upstream there, and answers look as they do in the API.
func TestPresetAlone(t *testing.T) {
	seen := make(chan string, 8) // the keys that reach the upstream
	up, hits := testUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Get("PayPal-Request-Id")
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
			first := s.send(t, "POST", "/orders", "", "x", "PayPal-Request-Id", "k")
			again := s.send(t, "POST", "/orders", "", "x", "PayPal-Request-Id", "k")
			if first.StatusCode != 201 || again.StatusCode != 200 || hits.Load() != before+1 {
				t.Errorf("got %d, then %d, after %d hits", first.StatusCode, again.StatusCode, hits.Load()-before)
			}
			if key := <-seen; key != "k" {
				t.Errorf("the upstream got the key %q", key)
			}
			if a := s.send(t, "POST", "/orders", "k", "x"); a.StatusCode != 400 {
				t.Errorf("a key in another field: got %d", a.StatusCode)
			}
			if a := s.send(t, "PATCH", "/orders", "", "x"); a.StatusCode != 201 {
				t.Errorf("a method without keys: got %d", a.StatusCode)
			}
			<-seen
		})
	}
	if a := route.send(t, "POST", "/", "other", "x"); a.StatusCode != 201 || a.Header.Get("Idempotency-Key") != "other" {
		t.Errorf("the whole, beside the route: got %d %v, want the key back", a.StatusCode, a.Header)
	}
}
