package semelhttp_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// I1: whoever sends a key relies on it, whatever the API of the preset does with the method;
// and a request without one passes where that API gives it none, also in a shadow.
func TestNeedlessKeyIsHeeded(t *testing.T) {
	for _, preset := range semelhttp.Presets() {
		full := semelhttp.Config{Preset: preset}.WithPreset()
		for _, method := range semelhttp.DefaultMethods() {
			needs := slices.Contains(full.Methods, method)
			for _, key := range []string{"", "k"} {
				want, status := 2, http.StatusOK
				switch {
				case key != "":
					want = 1
				case needs:
					want, status = 0, http.StatusBadRequest
				}
				runs, got := countRuns(t, semelhttp.Config{Preset: preset}, method, full.Headers[0], key)
				if runs != want || got != status {
					t.Errorf("%v, %s with the key %q: got %d runs and %d, want %d and %d", preset, method, key, runs, got, want, status)
				}
			}
		}
	}
	told := 0
	shadow := semelhttp.Config{Preset: semelhttp.Adyen, Shadow: func(*http.Request, semelhttp.Shadowed) { told++ }}
	if runs, _ := countRuns(t, shadow, "DELETE", "Idempotency-Key", ""); runs != 2 || told != 0 {
		t.Errorf("a shadow: %d runs, told %d times", runs, told)
	}
	own := semelhttp.Config{Preset: semelhttp.Adyen, Methods: []string{"PUT"}}
	if runs, _ := countRuns(t, own, "DELETE", "Idempotency-Key", "k"); runs != 2 {
		t.Errorf("methods of one's own are the only ones: got %d runs", runs)
	}
}

// A route that adds a method keeps the others.
func TestWithAnotherMethod(t *testing.T) {
	mw := nestedMiddleware(t, semelhttp.Config{})
	mw, err := mw.With(func(c *semelhttp.Config) { c.Methods = append(c.Methods, "PROPFIND") })
	must(err)
	runs := 0
	h := mw.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { runs++ }))
	for _, method := range []string{"POST", "POST", "PROPFIND", "PROPFIND"} {
		q := httptest.NewRequestWithContext(t.Context(), method, "/", http.NoBody)
		q.Header.Set("Idempotency-Key", method)
		h.ServeHTTP(httptest.NewRecorder(), q)
	}
	if runs != 2 {
		t.Errorf("got %d runs of two requests that came twice", runs)
	}
}

// countRuns sends a request twice.
func countRuns(t *testing.T, cfg semelhttp.Config, method, field, key string) (runs, status int) {
	t.Helper()
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	must(err)
	mw, err := semelhttp.New(engine, semelhttp.Global(), cfg)
	must(err)
	h := mw.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { runs++ }))
	sent := time.Now().UTC().Format(http.TimeFormat)
	for range 2 {
		q := httptest.NewRequestWithContext(t.Context(), method, "/", http.NoBody)
		if key != "" {
			q.Header.Set(field, key)
			q.Header.Set("Repeatability-First-Sent", sent)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, q)
		status = w.Code
	}
	must(engine.Close(t.Context()))
	return runs, status
}
