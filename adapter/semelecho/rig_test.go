package semelecho_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/labstack/echo/v5"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelecho"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// rig is a server of echo with a guarded route.
type rig struct {
	t      *testing.T
	server *httptest.Server
	runs   atomic.Int64
}

// authenticate knows two tokens.
func authenticate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c *echo.Context) error {
		switch c.Request().Header.Get("Authorization") {
		case "Bearer alice":
			c.Set("account", "alice")
		case "Bearer bob":
			c.Set("account", "bob")
		default:
			return echo.NewHTTPError(http.StatusUnauthorized, "who are you?")
		}
		return next(c)
	}
}

func newMiddleware(t testing.TB, cfg semelhttp.Config) *semelhttp.Middleware {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close(context.Background()) })
	cfg.Logger = quiet
	mw, err := semelhttp.New(engine, semelecho.ByKey("account"), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return mw
}

// newRig serves POST /pay/:id behind before, authentication and Wrap.
func newRig(t *testing.T, h echo.HandlerFunc, before ...echo.MiddlewareFunc) *rig {
	t.Helper()
	return newRigOn(t, func(r *rig, e *echo.Echo) {
		e.Use(before...)
		e.Use(authenticate, semelecho.Wrap(newMiddleware(t, semelhttp.Config{})))
		e.POST("/pay/:id", r.counted(h))
	})
}

func newRigOn(t *testing.T, routes func(*rig, *echo.Echo)) *rig {
	t.Helper()
	r, e := &rig{t: t}, echo.New()
	routes(r, e)
	r.server = httptest.NewServer(e)
	t.Cleanup(r.server.Close)
	return r
}

func (r *rig) counted(h echo.HandlerFunc) echo.HandlerFunc {
	return func(c *echo.Context) error {
		r.runs.Add(1)
		return h(c)
	}
}

type answer struct {
	status int
	header http.Header
	body   string
	err    error // of the transport
}

func (r *rig) send(method, path, token, key, body string) answer {
	r.t.Helper()
	q, err := http.NewRequestWithContext(r.t.Context(), method, r.server.URL+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	if token != "" {
		q.Header.Set("Authorization", "Bearer "+token)
	}
	if key != "" {
		q.Header.Set("Idempotency-Key", key)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(q)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	for name, values := range resp.Trailer {
		resp.Header["Trailer:"+name] = values
	}
	return answer{resp.StatusCode, resp.Header, string(text), err}
}

// pay sends the one request that most tests send.
func (r *rig) pay(key string) answer {
	r.t.Helper()
	return r.send(http.MethodPost, "/pay/7", "alice", key, `{"amount":1}`)
}

func (r *rig) wantRuns(want int64) {
	r.t.Helper()
	if got := r.runs.Load(); got != want {
		r.t.Errorf("runs: got %d, want %d", got, want)
	}
}

// wantReplay wants the second answer to be the first one, field by field, and marked.
func (r *rig) wantReplay(first, second answer) {
	r.t.Helper()
	if first.err != nil || second.err != nil || second.header.Get("Idempotent-Replayed") != "true" || first.header.Get("Idempotent-Replayed") != "" {
		r.t.Fatalf("got %+v, then %+v, want an answer and its replay", first, second)
	}
	if first.status != second.status || first.body != second.body {
		r.t.Errorf("got %d %.80q, then %d %.80q", first.status, first.body, second.status, second.body)
	}
	own := map[string]bool{"Date": true, "Idempotent-Replayed": true, "Cache-Control": true}
	for name := range second.header {
		if _, ok := first.header[name]; !ok && !own[name] {
			r.t.Errorf("the replay alone has %s: %q", name, second.header[name])
		}
	}
	for name, values := range first.header {
		if !own[name] && strings.Join(values, "\n") != strings.Join(second.header[name], "\n") {
			r.t.Errorf("%s: got %q, then %q", name, values, second.header[name])
		}
	}
}

func (r *rig) wantProblem(got answer, status int, p semelhttp.Problem) {
	r.t.Helper()
	if code := p.Details().Code; got.status != status || !strings.Contains(got.body, code) {
		r.t.Errorf("got %d %q (%v), want %d %s", got.status, got.body, got.err, status, code)
	}
}
