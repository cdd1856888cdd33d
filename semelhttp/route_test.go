package semelhttp_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// A record names the pattern that its request has matched, or what the route is called,
// and nothing of the request itself.
func TestRecordNamesItsRoute(t *testing.T) {
	const pattern = "POST /payments/{id}"
	for name, c := range map[string]struct {
		route, want string
	}{"pattern": {"", pattern}, "name": {"payments", "payments"}} {
		t.Run(name, func(t *testing.T) {
			store := memstore.New(memstore.Config{})
			engine, err := semel.New(store, semel.Config{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = engine.Close(t.Context()) }()
			mw, err := semelhttp.New(engine, semelhttp.Global(), semelhttp.Config{Route: c.route})
			if err != nil {
				t.Fatal(err)
			}
			mux := http.NewServeMux()
			mux.Handle(pattern, mw.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/payments/17", nil)
			r.Header.Set("Idempotency-Key", "k")
			mux.ServeHTTP(httptest.NewRecorder(), r)
			for rec, err := range store.List(t.Context(), semel.Filter{}) {
				if err != nil || rec.Route != c.want {
					t.Errorf("got route %q, %v, want %q", rec.Route, err, c.want)
				}
			}
		})
	}
}
