package frameworktest

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// Quiet logs nothing.
var Quiet = slog.New(slog.DiscardHandler)

// Rig is one App behind a real server.
type Rig struct {
	T      T
	Engine *semel.Engine
	Store  *memstore.Store
	Guard  *semelhttp.Middleware
	Runs   atomic.Int64 // of the handler
	Seen   chan int     // statuses, as a middleware outside saw them

	server *httptest.Server
}

// NewRig starts a service with one guard. change, if not nil, has the last word on it.
func NewRig(t T, f Framework, cfg semelhttp.Config, handler func(Context) error, change func(*Rig, *App)) *Rig {
	t.Helper()
	r := &Rig{T: t, Store: memstore.New(memstore.Config{}), Seen: make(chan int, 256)}
	engine, err := semel.New(r.Store, semel.Config{Logger: Quiet})
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { _ = engine.Close(context.WithoutCancel(t.Context())) })
	cfg.Logger = Quiet
	if r.Guard, err = semelhttp.New(engine, f.ByUser, cfg); err != nil {
		t.Fatalf("%v", err)
	}
	r.Engine = engine
	app := App{Guards: []*semelhttp.Middleware{r.Guard}, Seen: func(status int) { r.Seen <- status }}
	app.Handler = func(c Context) error {
		r.Runs.Add(1)
		return handler(c)
	}
	if change != nil {
		change(r, &app)
	}
	r.Serve(f.New(app))
	return r
}

// Serve starts a server for h, in the place of the one before.
func (r *Rig) Serve(h http.Handler) {
	r.server = httptest.NewUnstartedServer(h)
	r.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	r.server.Start()
	r.T.Cleanup(r.server.Close)
}

// Answer is what a client got.
type Answer struct {
	Status  int
	Header  http.Header
	Trailer http.Header
	Body    string
	Err     error // of reading it
}

// Replayed reports whether it is marked as a replay.
func (a Answer) Replayed() bool { return a.Header.Get(semelhttp.HeaderReplayed) == "true" }

// Request makes a request of alice with a key.
func (r *Rig) Request(ctx context.Context, method, key, body string) *http.Request {
	r.T.Helper()
	req, err := http.NewRequestWithContext(ctx, method, r.server.URL+"/payments/7?currency=EUR", strings.NewReader(body))
	if err != nil {
		r.T.Fatalf("%v", err)
	}
	req.Header.Set("Authorization", "alice")
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	return req
}

// Post sends what Request makes.
func (r *Rig) Post(key, body string) Answer {
	r.T.Helper()
	return r.Send(r.Request(r.T.Context(), http.MethodPost, key, body))
}

// Send sends a request, and follows no redirect.
func (r *Rig) Send(req *http.Request) Answer {
	r.T.Helper()
	resp, err := r.server.Client().Transport.RoundTrip(req)
	if err != nil {
		return Answer{Err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return Answer{resp.StatusCode, resp.Header, resp.Trailer, string(body), err}
}

// WantRuns checks how often the handler has run.
func (r *Rig) WantRuns(want int64) {
	r.T.Helper()
	if got := r.Runs.Load(); got != want {
		r.T.Errorf("the handler ran %d times, want %d", got, want)
	}
}

// WantProblem checks a refusal of Semel.
func (r *Rig) WantProblem(a Answer, status int, p semelhttp.Problem) {
	r.T.Helper()
	if a.Status != status || !strings.Contains(a.Body, p.Details().Code) {
		r.T.Errorf("got %d %s, want %d and %s", a.Status, a.Body, status, p)
	}
}

// WantReplay checks that again is first in all that a client can see, but for the marks of
// a replay, and that the logger outside has seen both.
func (r *Rig) WantReplay(first, again Answer) {
	r.T.Helper()
	if first.Err != nil || again.Err != nil {
		r.T.Fatalf("got %v and %v", first.Err, again.Err)
	}
	if first.Replayed() || !again.Replayed() {
		r.T.Errorf("marked as a replay: got %v and %v, want false and true", first.Replayed(), again.Replayed())
	}
	if first.Status != again.Status || first.Body != again.Body {
		r.T.Errorf("got %d %q first and %d %q again", first.Status, first.Body, again.Status, again.Body)
	}
	if a, b := lasting(first.Header), lasting(again.Header); !maps.EqualFunc(a, b, slices.Equal) {
		r.T.Errorf("header: got %v first and %v again", a, b)
	}
	for _, a := range []Answer{first, again} {
		if seen := <-r.Seen; seen != a.Status {
			r.T.Errorf("the logger outside has seen %d, want %d", seen, a.Status)
		}
	}
}

// lasting is a header without what belongs to one answer.
func lasting(h http.Header) http.Header {
	h = h.Clone()
	for _, name := range []string{"Date", "Cache-Control", semelhttp.HeaderReplayed} {
		h.Del(name)
	}
	return h
}
