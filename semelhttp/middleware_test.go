package semelhttp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/problem"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// rig is a guarded handler behind a real server on loopback.
type rig struct {
	t      *testing.T
	store  semel.Store
	engine *semel.Engine
	mw     *semelhttp.Middleware
	server *httptest.Server
	runs   atomic.Int32
	log    *logBuffer
	echoes bool // the preset gives the key back
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newRig(t *testing.T, h http.HandlerFunc, change func(*semelhttp.Config)) *rig {
	t.Helper()
	return newRigOn(t, memstore.New(memstore.Config{}), semel.Config{}, h, change)
}

func newRigOn(t *testing.T, store semel.Store, ec semel.Config, h http.HandlerFunc, change func(*semelhttp.Config)) *rig {
	t.Helper()
	r := &rig{t: t, store: store, log: &logBuffer{}}
	logger := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ec.Logger = logger
	cfg := semelhttp.Config{Logger: logger}
	if change != nil {
		change(&cfg)
	}
	r.echoes = cfg.Preset == semelhttp.Stripe
	var err error
	if r.engine, err = semel.New(store, ec); err != nil {
		t.Fatal(err)
	}
	if r.mw, err = semelhttp.New(r.engine, semelhttp.ByHeader("X-Tenant"), cfg); err != nil {
		t.Fatal(err)
	}
	r.server = httptest.NewUnstartedServer(r.mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.runs.Add(1)
		h(w, q)
	})))
	r.server.Config.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelDebug)
	r.server.Start()
	t.Cleanup(func() {
		r.server.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := r.engine.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
		if s := r.log.String(); strings.Contains(s, secretKey) {
			t.Errorf("the key is in the log:\n%s", s)
		}
	})
	return r
}

const secretKey = "sk-1795423089611072448-Yucm"

func (r *rig) request(method, path, key, body string) *http.Request {
	q, err := http.NewRequestWithContext(r.t.Context(), method, r.server.URL+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	q.GetBody = nil // keep the client's transport from sending twice
	q.Header.Set("X-Tenant", "alice")
	q.Header.Set("Content-Type", "application/json")
	if key != "" {
		q.Header.Set("Idempotency-Key", key)
	}
	return q
}

// answer is a response read whole.
type answer struct {
	status  int
	header  http.Header
	trailer http.Header
	body    string
	err     error
}

func (r *rig) do(q *http.Request) answer {
	r.t.Helper()
	res, err := r.server.Client().Do(q)
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	a := answer{res.StatusCode, res.Header, res.Trailer, string(b), err}
	told := fmt.Sprint(a)
	if r.echoes {
		told = strings.Replace(told, "Idempotency-Key:["+secretKey+"]", "", 1)
	}
	if strings.Contains(told, secretKey) {
		r.t.Errorf("the key is in an answer: %+v", a)
	}
	return a
}

func (r *rig) post(key, body string) answer {
	r.t.Helper()
	return r.do(r.request(http.MethodPost, "/payments", key, body))
}

func (r *rig) wantRuns(want int32) {
	r.t.Helper()
	if got := r.runs.Load(); got != want {
		r.t.Errorf("the handler ran %d times, want %d", got, want)
	}
}

// wantProblem checks a refusal in the IETF form.
func (r *rig) wantProblem(a answer, status int, p semelhttp.Problem) problem.Details {
	r.t.Helper()
	d, err := problem.Parse(a.header.Get("Content-Type"), []byte(a.body))
	want := p.Details()
	if err != nil || a.status != status || d.Status != status || d.Code != want.Code || d.Type != want.Type {
		r.t.Errorf("got %d %q (%v, %v), want %d %s", a.status, a.body, err, a.err, status, want.Code)
	}
	if got := a.header.Get("Cache-Control"); got != "no-store" {
		r.t.Errorf("Cache-Control of a refusal: got %q, want no-store", got)
	}
	return d
}

func pay(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Location", "/payments/1")
	w.Header().Set("ETag", `"v1"`)
	w.Header().Set("Cache-Control", "max-age=60")
	w.Header().Add("Set-Cookie", "a=1")
	w.Header().Add("Set-Cookie", "b=2")
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, `{"at":%q,"got":%q}`, time.Now().Format(time.RFC3339Nano), body)
}

// I3: a replay equals the first answer, and says that it is one.
func TestReplayIsTheFirstAnswer(t *testing.T) {
	r := newRig(t, pay, nil)
	first, second := r.post(secretKey, `{"amount":1}`), r.post(secretKey, `{"amount":1}`)
	r.wantRuns(1)
	if first.status != 201 || second.status != 201 || first.body != second.body || first.body == "" {
		t.Errorf("got %d %q, then %d %q", first.status, first.body, second.status, second.body)
	}
	if first.header.Get("Idempotent-Replayed") != "" || second.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("marker: got %q, then %q", first.header.Get("Idempotent-Replayed"), second.header.Get("Idempotent-Replayed"))
	}
	for _, name := range []string{"Content-Type", "Location", "Etag", "Set-Cookie", "Content-Length"} {
		if !slices.Equal(first.header[name], second.header[name]) || first.header[name] == nil {
			t.Errorf("%s: got %q, then %q", name, first.header[name], second.header[name])
		}
	}
	if got := second.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control of a replay: got %q, want no-store", got)
	}
}

// I5: the same key with anything else is refused, also while the first runs.
func TestConflict(t *testing.T) {
	r := newRig(t, pay, nil)
	r.post(secretKey, `{"amount":1}`)
	for name, q := range map[string]*http.Request{
		"body":   r.request(http.MethodPost, "/payments", secretKey, `{"amount":2}`),
		"path":   r.request(http.MethodPost, "/refunds", secretKey, `{"amount":1}`),
		"query":  r.request(http.MethodPost, "/payments?x=1", secretKey, `{"amount":1}`),
		"method": r.request(http.MethodPut, "/payments", secretKey, `{"amount":1}`),
	} {
		t.Run(name, func(*testing.T) { r.wantProblem(r.do(q), 422, semelhttp.ProblemKeyConflict) })
	}
	r.wantRuns(1)
}

func TestInFlight(t *testing.T) {
	running, finish := make(chan struct{}), make(chan struct{})
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		close(running)
		<-finish
		pay(w, q)
	}, nil)
	first := make(chan answer)
	go func() { first <- r.post(secretKey, "same") }()
	<-running
	a := r.post(secretKey, "same")
	d := r.wantProblem(a, 409, semelhttp.ProblemInFlight)
	if a.header.Get("Retry-After") != "1" || !d.Retryable || !d.ReuseKey {
		t.Errorf("got Retry-After %q, %+v", a.header.Get("Retry-After"), d)
	}
	r.wantProblem(r.post(secretKey, "other"), 422, semelhttp.ProblemKeyConflict) // before in-flight
	close(finish)
	if got := <-first; got.status != 201 {
		t.Errorf("first: got %+v", got)
	}
	r.wantRuns(1)
}

// I13: one scope never sees the other's answers.
func TestScopesAreApart(t *testing.T) {
	r := newRig(t, pay, nil)
	alice, bob := r.request("POST", "/payments", secretKey, "x"), r.request("POST", "/payments", secretKey, "x")
	bob.Header.Set("X-Tenant", "bob")
	a, b := r.do(alice), r.do(bob)
	if a.body == b.body || b.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("bob got alice's answer: %+v", b)
	}
	r.wantRuns(2)
	nobody := r.request("POST", "/payments", secretKey, "x")
	nobody.Header.Del("X-Tenant")
	r.wantProblem(r.do(nobody), 400, semelhttp.ProblemScopeMissing)
	r.wantRuns(2)
}

func TestBothFormsOfAKeyNameOneSlot(t *testing.T) {
	r := newRig(t, pay, nil)
	a, b := r.post(secretKey, "x"), r.post(`"`+secretKey+`"`, "x")
	if a.body != b.body {
		t.Errorf("got %q, then %q", a.body, b.body)
	}
	r.wantRuns(1)
}

func TestRefusedKeys(t *testing.T) {
	r := newRig(t, pay, nil)
	r.wantProblem(r.post("", "x"), 400, semelhttp.ProblemKeyMissing)
	for _, key := range []string{`"open`, `a b`, strings.Repeat("k", 256), "sch\u00f6n", `""`} {
		r.wantProblem(r.post(key, "x"), 400, semelhttp.ProblemKeyInvalid)
	}
	twice := r.request("POST", "/payments", "one", "x")
	twice.Header.Add("Idempotency-Key", "one")
	r.wantProblem(r.do(twice), 400, semelhttp.ProblemKeyInvalid)
	r.wantRuns(0)
}

func TestBodyLimits(t *testing.T) {
	r := newRig(t, pay, func(c *semelhttp.Config) { c.MaxBody = 10 })
	r.wantProblem(r.post(secretKey, "12345678901"), 413, semelhttp.ProblemBodyTooLarge)
	chunked := r.request("POST", "/payments", secretKey, "")
	chunked.Body, chunked.ContentLength = io.NopCloser(strings.NewReader("12345678901")), -1
	r.wantProblem(r.do(chunked), 413, semelhttp.ProblemBodyTooLarge)
	r.wantRuns(0)
	fits := r.request("POST", "/payments", secretKey, "")
	fits.Body, fits.ContentLength = io.NopCloser(strings.NewReader("1234567890")), -1
	if a := r.do(fits); a.status != 201 || !strings.Contains(a.body, "1234567890") {
		t.Errorf("chunked body: got %+v", a)
	}
	if a := r.post(secretKey, "1234567890"); a.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the same body with a length: got %+v", a)
	}
}

// I7: a panic says nothing about what happened, so it holds the key.
func TestPanicHolds(t *testing.T) {
	for name, value := range map[string]any{"panic": "boom", "abort": http.ErrAbortHandler} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(200)
				io.WriteString(w, "half")
				panic(value)
			}, nil)
			if a := r.post(secretKey, "x"); a.err == nil {
				t.Errorf("got an answer %+v, want a cut connection", a)
			}
			d := r.wantProblem(r.post(secretKey, "x"), 409, semelhttp.ProblemOutcomeUnknown)
			if d.Retryable || d.Extra["ref"] == "" || d.Extra["ref"] == nil {
				t.Errorf("got %+v", d)
			}
			r.wantRuns(1)
		})
	}
}

func TestSettleTable(t *testing.T) {
	want := map[int]semel.Disposition{
		200: semel.Keep, 201: semel.Keep, 303: semel.Keep, 400: semel.Keep, 402: semel.Keep, 404: semel.Keep,
		409: semel.Keep, 422: semel.Keep, 500: semel.Keep, 501: semel.Keep,
		401: semel.Free, 407: semel.Free, 408: semel.Free, 425: semel.Free, 429: semel.Free, 503: semel.Free,
		502: semel.Unknown, 504: semel.Unknown,
	}
	for status, disposition := range want {
		r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }, nil)
		if a := r.post(secretKey, "x"); a.status != status {
			t.Errorf("%d: got %d first", status, a.status)
		}
		a := r.post(secretKey, "x")
		switch disposition {
		case semel.Keep:
			if a.status != status || a.header.Get("Idempotent-Replayed") != "true" {
				t.Errorf("%d: got %+v, want a replay", status, a)
			}
			r.wantRuns(1)
		case semel.Free:
			r.wantRuns(2)
		case semel.Unknown:
			r.wantProblem(a, 409, semelhttp.ProblemOutcomeUnknown)
			r.wantRuns(1)
		}
	}
}

func TestPresetsSettle(t *testing.T) {
	for _, c := range []struct {
		preset semelhttp.Preset
		status int
		want   semel.Disposition
	}{
		{semelhttp.SuccessOnly, 201, semel.Keep},
		{semelhttp.SuccessOnly, 302, semel.Free},
		{semelhttp.SuccessOnly, 422, semel.Free},
		{semelhttp.SuccessOnly, 500, semel.Free},
		{semelhttp.SuccessOnly, 504, semel.Unknown},
		{semelhttp.FreezeAll, 429, semel.Keep},
		{semelhttp.FreezeAll, 503, semel.Keep},
		{semelhttp.FreezeAll, 502, semel.Keep},
		{semelhttp.Stripe, 402, semel.Keep},
		{semelhttp.Stripe, 429, semel.Free},
	} {
		t.Run(fmt.Sprint(c.preset, c.status), func(t *testing.T) {
			r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(c.status) },
				func(cfg *semelhttp.Config) { cfg.Preset = c.preset })
			r.post(secretKey, "x")
			a := r.post(secretKey, "x")
			got := semel.Keep
			switch {
			case r.runs.Load() == 2:
				got = semel.Free
			case a.header.Get("Idempotent-Replayed") == "":
				got = semel.Unknown
			}
			if got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestStripePreset(t *testing.T) {
	release := make(chan struct{})
	running := make(chan struct{}, 1)
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		running <- struct{}{}
		<-release
		pay(w, q)
	}, func(c *semelhttp.Config) { c.Preset = semelhttp.Stripe })
	first := make(chan answer)
	go func() { first <- r.post(secretKey, "x") }()
	<-running
	check := func(a answer, status int, typ, code, again string) {
		t.Helper()
		var body struct {
			Error struct{ Type, Code, Message string }
		}
		if err := json.Unmarshal([]byte(a.body), &body); err != nil {
			t.Fatal(err)
		}
		if a.status != status || body.Error.Type != typ || body.Error.Code != code || body.Error.Message == "" ||
			a.header.Get("Stripe-Should-Retry") != again || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("got %d %s (retry %s), want %d %s %s %s", a.status, a.body, a.header.Get("Stripe-Should-Retry"), status, typ, code, again)
		}
	}
	check(r.post(secretKey, "x"), 409, "invalid_request_error", "idempotency_key_in_use", "true")
	check(r.post(secretKey, "y"), 400, "idempotency_error", "idempotency_key_conflict", "false")
	check(r.post("", "y"), 400, "invalid_request_error", "key_missing", "false")
	close(release)
	<-first
	r.wantRuns(1)
}

func TestOptionalAndOtherMethodsPass(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		if semel.FromContext(q.Context()) != nil {
			w.WriteHeader(500)
		}
	}, func(c *semelhttp.Config) { c.Optional = true })
	for _, q := range []*http.Request{
		r.request("POST", "/", "", "x"), r.request("POST", "/", "", "x"),
		r.request("GET", "/", secretKey, ""), r.request("GET", "/", secretKey, ""),
	} {
		if a := r.do(q); a.status != 200 {
			t.Errorf("%s: got %d, want an unguarded 200", q.Method, a.status)
		}
	}
	r.wantRuns(4)
	r.wantProblem(r.post(`"open`, "x"), 400, semelhttp.ProblemKeyInvalid) // present and bad is never ignored
}

func TestOnReplayMayRefuse(t *testing.T) {
	r := newRig(t, pay, func(c *semelhttp.Config) {
		c.OnReplay = func(q *http.Request, rec semel.Record) error {
			if q.Header.Get("X-Role") == "revoked" && rec.State == semel.StateCompleted {
				return errors.New("revoked")
			}
			return nil
		}
	})
	first := r.post(secretKey, "x")
	q := r.request("POST", "/payments", secretKey, "x")
	q.Header.Set("X-Role", "revoked")
	r.wantProblem(r.do(q), 403, semelhttp.ProblemReplayRefused)
	if a := r.post(secretKey, "x"); a.body != first.body {
		t.Errorf("got %+v, want the replay", a)
	}
	r.wantRuns(1)
}

func TestWith(t *testing.T) {
	r := newRig(t, pay, func(c *semelhttp.Config) {
		c.Methods, c.Headers = semelhttp.DefaultMethods(), []string{semelhttp.DefaultHeader}
	})
	route, err := r.mw.With(func(c *semelhttp.Config) { c.Preset, c.Headers = semelhttp.Stripe, []string{"x-request-id"} })
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	q := httptest.NewRequest("POST", "/", nil)
	q.Header.Set("Idempotency-Key", "k")
	route.Wrap(http.NotFoundHandler()).ServeHTTP(w, q)
	if !strings.Contains(w.Body.String(), `"error"`) {
		t.Errorf("got %s, want Stripe's envelope for a missing X-Request-Id", w.Body)
	}
	if _, err := r.mw.With(func(c *semelhttp.Config) { // what it changes is the route's own
		c.Methods[0], c.Headers[0] = "GET", "X"
	}); err != nil {
		t.Fatal(err)
	}
	if a := r.post("", "x"); a.status != 400 {
		t.Errorf("after a change of another route: got %d, want POST guarded as before", a.status)
	}
	if _, err := r.mw.With(func(c *semelhttp.Config) { c.MaxBody = -1 }); err == nil {
		t.Error("a negative MaxBody was accepted")
	}
}

func TestNewRefuses(t *testing.T) {
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		t.Fatal(err)
	}
	scope := semelhttp.Global()
	hook := func(context.Context, semel.Record) (semel.Recovery, error) { return semel.Recovery{}, nil }
	for name, f := range map[string]func() (*semelhttp.Middleware, error){
		"no engine": func() (*semelhttp.Middleware, error) { return semelhttp.New(nil, scope, semelhttp.Config{}) },
		"no scope":  func() (*semelhttp.Middleware, error) { return semelhttp.New(engine, nil, semelhttp.Config{}) },
		"preset": func() (*semelhttp.Middleware, error) {
			return semelhttp.New(engine, scope, semelhttp.Config{Preset: 255})
		},
		"header": func() (*semelhttp.Middleware, error) {
			return semelhttp.New(engine, scope, semelhttp.Config{Headers: []string{"a b"}})
		},
		"longest key": func() (*semelhttp.Middleware, error) {
			return semelhttp.New(engine, scope, semelhttp.Config{MaxKey: 256})
		},
		"method": func() (*semelhttp.Middleware, error) {
			return semelhttp.New(engine, scope, semelhttp.Config{Methods: []string{""}})
		},
		"policy": func() (*semelhttp.Middleware, error) {
			return semelhttp.New(engine, scope, semelhttp.Config{Lapsed: 9})
		},
		"retention": func() (*semelhttp.Middleware, error) {
			return semelhttp.New(engine, scope, semelhttp.Config{Retention: -1})
		},
		"cap": func() (*semelhttp.Middleware, error) {
			return semelhttp.New(engine, scope, semelhttp.Config{MaxRun: -1})
		},
		"method in lower case": func() (*semelhttp.Middleware, error) {
			return semelhttp.New(engine, scope, semelhttp.Config{Methods: []string{"post"}})
		},
		"recover": func() (*semelhttp.Middleware, error) {
			return semelhttp.New(engine, scope, semelhttp.Config{Recover: hook})
		},
	} {
		if mw, err := f(); err == nil || mw != nil {
			t.Errorf("%s: got %v, %v, want an error", name, mw, err)
		}
	}
}
