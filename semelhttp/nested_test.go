package semelhttp_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// I1: a request that two middlewares of one engine guard is one attempt.
func TestTwoMiddlewaresOneEngine(t *testing.T) {
	for name, between := range map[string]func(http.Handler) http.Handler{
		"directly":       func(h http.Handler) http.Handler { return h },
		"another path":   func(h http.Handler) http.Handler { return http.StripPrefix("/v1", h) },
		"another writer": hideWriter,
	} {
		t.Run(name, func(t *testing.T) {
			runs := 0
			mw := nestedMiddleware(t, semelhttp.Config{})
			handler := mw.Wrap(between(mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				runs++
				pay(w, r)
			}))))
			first, again := postTo(t, handler, "k"), postTo(t, handler, "k")
			if first.Code != 201 || first.Body.String() != again.Body.String() || again.Header().Get("Idempotent-Replayed") != "true" {
				t.Errorf("got %d %s, then %d %s", first.Code, first.Body, again.Code, again.Body)
			}
			if runs != 1 {
				t.Errorf("the handler ran %d times, want 1", runs)
			}
		})
	}
}

// A key that another attempt holds is in flight for a middleware inside too.
func TestInnerKeyInFlight(t *testing.T) {
	inner := nestedMiddleware(t, semelhttp.Config{Headers: []string{"X-Second-Key"}})
	outer := nestedMiddleware(t, semelhttp.Config{})
	runs := 0
	var again http.Handler
	guarded := inner.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if runs++; runs > 1 {
			return
		}
		if got := postTo(t, again, "second"); got.Code != 409 {
			t.Errorf("while it runs: got %d, want 409", got.Code)
		}
	}))
	again = outer.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("X-Second-Key", "same")
		guarded.ServeHTTP(w, r)
	}))
	postTo(t, again, "first")
	if runs != 1 {
		t.Errorf("the handler ran %d times, want 1", runs)
	}
}

// Two engines keep two records: the inner one still answers when the outer one
// has forgotten.
func TestTwoMiddlewaresTwoEngines(t *testing.T) {
	runs := 0
	inner := nestedMiddleware(t, semelhttp.Config{}).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		runs++
		pay(w, r)
	}))
	first := postTo(t, nestedMiddleware(t, semelhttp.Config{}).Wrap(inner), "k")
	again := postTo(t, nestedMiddleware(t, semelhttp.Config{}).Wrap(inner), "k")
	if runs != 1 || first.Body.String() != again.Body.String() {
		t.Errorf("after %d runs: got %s, then %s", runs, first.Body, again.Body)
	}
}

// No refusal of Semel is ever kept: neither an inner middleware's nor one that a
// handler writes with Refuse, whatever the preset keeps.
func TestRefusalsAreNotKept(t *testing.T) {
	outer := nestedMiddleware(t, semelhttp.Config{Preset: semelhttp.FreezeAll})
	strict := nestedMiddleware(t, semelhttp.Config{Headers: []string{"X-Second-Key"}})
	for _, between := range []func(http.Handler) http.Handler{
		func(h http.Handler) http.Handler { return h },
		func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(unwrapping{w}, r) })
		},
	} {
		handler := outer.Wrap(between(strict.Wrap(http.HandlerFunc(pay))))
		for range 2 {
			if got := postTo(t, handler, "missing"); got.Code != 400 || got.Header().Get("Idempotent-Replayed") != "" {
				t.Errorf("got %d %v, want a fresh refusal", got.Code, got.Header())
			}
		}
	}
	for _, p := range semelhttp.Problems() {
		handler := outer.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { outer.Refuse(w, r, p, 0) }))
		first, again := postTo(t, handler, string(p)), postTo(t, handler, string(p))
		if again.Header().Get("Idempotent-Replayed") != "" {
			t.Errorf("%s was kept", p)
		}
		want := p.Details().Status
		if d := p.Details(); !d.Retryable && d.ReuseKey { // something may have happened
			want = 409
		}
		if first.Code != p.Details().Status || again.Code != want {
			t.Errorf("%s: got %d, then %d, want %d", p, first.Code, again.Code, want)
		}
	}
	keeps := outer.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		semel.FromContext(r.Context()).Settle(semel.Keep)
		outer.Refuse(w, r, semelhttp.ProblemUpstreamUnreachable, 0)
	}))
	postTo(t, keeps, "wish")
	if got := postTo(t, keeps, "wish"); got.Header().Get("Idempotent-Replayed") != "true" {
		t.Errorf("got %d, want what the handler wished", got.Code)
	}
}

func hideWriter(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(struct{ http.ResponseWriter }{w}, r) })
}

func nestedMiddleware(t *testing.T, cfg semelhttp.Config) *semelhttp.Middleware {
	t.Helper()
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close(t.Context()) })
	mw, err := semelhttp.New(engine, semelhttp.Global(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return mw
}

func postTo(t *testing.T, h http.Handler, key string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/payments", nil)
	r.Body, r.ContentLength = io.NopCloser(http.NoBody), -1
	r.Header.Set("Idempotency-Key", key)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
