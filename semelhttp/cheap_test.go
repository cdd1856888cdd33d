package semelhttp_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/problem"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// unreadBody counts how often it is read.
type unreadBody struct{ reads int }

func (b *unreadBody) Read([]byte) (int, error) { b.reads++; return 0, errors.New("it was read") }
func (*unreadBody) Close() error               { return nil }

// TestCheapRefusalsComeFirst: no byte of a body is read for what the header can tell: that
// there is no key, by the media type, and that there is no scope. What passes unguarded
// passes with its body as it came.
func TestCheapRefusalsComeFirst(t *testing.T) {
	for name, c := range map[string]struct {
		optional    bool
		kind, scope string
		key         string
		want        string // the code of the refusal; "" for a request that passes
	}{
		"no key by the media type":           {false, "text/plain", "alice", "", "key_missing"},
		"no key by the media type, no scope": {false, "text/plain", "", "", "key_missing"},
		"optional, no JSON":                  {true, "text/plain", "alice", "", ""},
		"optional, no JSON, no scope":        {true, "text/plain", "", "", ""},
		"no scope":                           {false, "application/json", "", "", "scope_missing"},
		"optional, no scope":                 {true, "application/json", "", "", "scope_missing"},
		"a key without a scope":              {true, "text/plain", "", "k", "scope_missing"},
	} {
		for _, shadow := range []bool{false, true} {
			t.Run(map[bool]string{false: name, true: name + ", in a shadow"}[shadow], func(t *testing.T) {
				engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
				must(err)
				got, ran := "", false
				body := &unreadBody{}
				cfg := semelhttp.Config{
					KeyMember: "/id", Optional: c.optional, MaxBody: 10,
					OnRefuse: func(_ *http.Request, p problem.Details) { got = p.Code },
				}
				if shadow {
					cfg.Shadow = func(_ *http.Request, would semelhttp.Shadowed) { got = would.Problem.Details().Code }
				}
				mw, err := semelhttp.New(engine, semelhttp.ByHeader("X-Tenant"), cfg)
				must(err)
				q := httptest.NewRequest(http.MethodPost, "/", body)
				q.ContentLength = 1 << 30
				q.Header.Set("Content-Type", c.kind)
				for field, value := range map[string]string{"X-Tenant": c.scope, "Idempotency-Key": c.key} {
					if value != "" {
						q.Header.Set(field, value)
					}
				}
				mw.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					ran = r.Body == body && r.ContentLength == 1<<30
				})).ServeHTTP(httptest.NewRecorder(), q)
				if got != c.want || ran != (c.want == "" || shadow) || body.reads > 0 {
					t.Errorf("got %q after %d reads, passed on whole: %v, want %q", got, body.reads, ran, c.want)
				}
			})
		}
	}
}
