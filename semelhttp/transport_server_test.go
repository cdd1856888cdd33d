package semelhttp_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// guarded is a payment handler behind the middleware that counts what it does.
type guarded struct {
	http.Handler
	engine *semel.Engine
	runs   atomic.Int32
	tries  atomic.Int32
}

func newGuarded(t *testing.T, work func()) *guarded {
	t.Helper()
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		t.Fatal(err)
	}
	mw, err := semelhttp.New(engine, semelhttp.Global(), semelhttp.Config{})
	if err != nil {
		t.Fatal(err)
	}
	g := &guarded{engine: engine}
	inner := mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.runs.Add(1)
		work()
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Location", "/payments/1")
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(append([]byte("paid "), body...))
	}))
	g.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.tries.Add(1)
		inner.ServeHTTP(w, r)
	})
	return g
}

func (g *guarded) close(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := g.engine.Close(ctx); err != nil {
		t.Error(err)
	}
}

func newClient(t *testing.T, std *http.Transport, cfg semelhttp.TransportConfig) *http.Client {
	t.Helper()
	tr, err := semelhttp.NewTransport(std, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// at once: no test waits for real.
var atOnce = semelhttp.TransportConfig{BaseDelay: 1, MaxDelay: 1}

// outcome is a response read whole, and what it took to get it.
type outcome struct {
	status   int
	location string
	body     string
	attempts semelhttp.Attempts
	told     bool
}

func send(t *testing.T, client *http.Client, method, url, body string) outcome {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return sendAs(t, client, r)
}

func sendAs(t *testing.T, client *http.Client, r *http.Request) outcome {
	t.Helper()
	resp, err := client.Do(r)
	if err != nil {
		t.Error(err)
		return outcome{}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	got := outcome{status: resp.StatusCode, location: resp.Header.Get("Location"), body: string(text)}
	got.attempts, got.told = semelhttp.AttemptsFrom(resp)
	return got
}

// loseAnswers lets the handler finish and closes the socket instead of
// answering, for the first n requests with a body.
func loseAnswers(t *testing.T, n int32, next http.Handler) http.Handler {
	t.Helper()
	var left atomic.Int32
	left.Store(n)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || left.Add(-1) < 0 {
			next.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(httptest.NewRecorder(), r)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.Close()
	})
}

// TestALostAnswerIsAskedForAgain counts executions behind a server that closes
// the socket after the work and before the answer: the client tries until it is
// told, the work is done once, and what it gets is what was answered (I3, I7).
func TestALostAnswerIsAskedForAgain(t *testing.T) {
	g := newGuarded(t, func() {})
	defer g.close(t)
	server := httptest.NewServer(loseAnswers(t, 3, g))
	defer server.Close()
	client := newClient(t, &http.Transport{DisableKeepAlives: true}, atOnce)

	got := send(t, client, http.MethodPost, server.URL, "12.50")
	if got.status != http.StatusCreated || got.body != "paid 12.50" || got.location != "/payments/1" {
		t.Errorf("got %+v", got)
	}
	if runs, tries := g.runs.Load(), g.tries.Load(); runs != 1 || tries != 4 {
		t.Errorf("got %d executions in %d tries, want 1 in 4", runs, tries)
	}
	if !got.told || got.attempts.Count != 4 || !got.attempts.Replayed {
		t.Errorf("got %v, want 4 attempts, replayed", got.attempts)
	}
}

// TestNetHTTPResendsByItself: on a connection that was used before, http.Transport
// sends the keyed request again without telling. The key makes that harmless.
func TestNetHTTPResendsByItself(t *testing.T) {
	g := newGuarded(t, func() {})
	defer g.close(t)
	server := httptest.NewServer(loseAnswers(t, 1, g))
	defer server.Close()
	client := newClient(t, &http.Transport{}, semelhttp.TransportConfig{MaxAttempts: 1})

	send(t, client, http.MethodGet, server.URL, "") // leaves a connection behind
	before := g.runs.Load()
	got := send(t, client, http.MethodPost, server.URL, "12.50")
	if got.status != http.StatusCreated || got.body != "paid 12.50" || g.runs.Load() != before+1 {
		t.Errorf("got %+v after %d executions, want one", got, g.runs.Load()-before)
	}
	if !got.told || got.attempts.Count != 1 || !got.attempts.Replayed {
		t.Errorf("got %v, want 1 attempt, replayed", got.attempts)
	}
}

// TestDiscardedAnswersKeepTheConnection: a retry does not open a new one.
func TestDiscardedAnswersKeepTheConnection(t *testing.T) {
	var tries, conns atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if tries.Add(1) < 4 {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, strings.Repeat("busy ", 2000))
		}
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	server.Start()
	defer server.Close()

	got := send(t, newClient(t, &http.Transport{}, atOnce), http.MethodPost, server.URL, "x")
	if got.status != http.StatusOK || tries.Load() != 4 || conns.Load() != 1 {
		t.Errorf("got %d after %d tries on %d connections, want 200 after 4 on 1", got.status, tries.Load(), conns.Load())
	}
}

// TestABodyIsStreamed: nothing is read ahead, so the server can answer to the
// first half before the client has the second.
func TestABodyIsStreamed(t *testing.T) {
	const half = "half"
	first := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text := make([]byte, len(half))
		_, _ = io.ReadFull(r.Body, text)
		first <- string(text)
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	defer server.Close()
	out, in := io.Pipe()
	done := make(chan struct{})
	defer func() { <-done }()
	go func() {
		defer close(done)
		_, _ = io.WriteString(in, half)
		select {
		case got := <-first:
			if got != half {
				t.Errorf("the server got %q", got)
			}
		case <-t.Context().Done():
		}
		_ = in.Close()
	}()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, out)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := newClient(t, &http.Transport{}, atOnce).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
}

// TestExpectContinueIsKept: a server that refuses by the header alone gets no body.
func TestExpectContinueIsKept(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Idempotency-Key") == "" {
			t.Error("no key")
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	defer server.Close()
	var read atomic.Bool
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, io.NopCloser(watch{strings.NewReader("body"), &read}))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Expect", "100-continue")
	r.ContentLength = 4
	resp, err := newClient(t, &http.Transport{ExpectContinueTimeout: time.Minute}, atOnce).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden || read.Load() {
		t.Errorf("got %d, body read: %v", resp.StatusCode, read.Load())
	}
}

type watch struct {
	io.Reader
	read *atomic.Bool
}

func (w watch) Read(p []byte) (int, error) {
	w.read.Store(true)
	return w.Reader.Read(p)
}

// direct calls a handler without a network, so that it works in virtual time.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	w := httptest.NewRecorder()
	d.ServeHTTP(w, in)
	if r.Body != nil {
		_ = r.Body.Close()
	}
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

// TestADuplicateWaitsForTheFirst: two processes send one operation; the second
// is told that the first is in flight, waits as long as it is asked to, and gets
// the first one's answer. One execution (I1, I3).
func TestADuplicateWaitsForTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuarded(t, func() { time.Sleep(2500 * time.Millisecond) })
		defer g.close(t)
		tr, err := semelhttp.NewTransport(direct{g}, semelhttp.TransportConfig{})
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: tr}
		pay := func() outcome {
			ctx := semelhttp.WithKey(t.Context(), "order-1")
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://pay.example/payments", strings.NewReader("12.50"))
			if err != nil {
				t.Error(err)
				return outcome{}
			}
			return sendAs(t, client, r)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			if got := pay(); got.body != "paid 12.50" || got.attempts.Replayed || got.attempts.Count != 1 {
				t.Errorf("first: got %+v", got)
			}
		}()
		synctest.Wait()
		start := time.Now()
		got := pay()
		took := time.Since(start)
		<-done
		if got.body != "paid 12.50" || got.status != http.StatusCreated || !got.attempts.Replayed || got.attempts.Count != 4 {
			t.Errorf("second: got %+v, want a replay at the fourth try", got)
		}
		if g.runs.Load() != 1 || took < 3*time.Second || took > 3300*time.Millisecond {
			t.Errorf("got %d executions, the second waited %v, want 1 and 3 s", g.runs.Load(), took)
		}
	})
}

// TestRefusalsAreNotRetried: a conflict and a bad key are mistakes.
func TestRefusalsAreNotRetried(t *testing.T) {
	g := newGuarded(t, func() {})
	defer g.close(t)
	tr, err := semelhttp.NewTransport(direct{g}, atOnce)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		key, body string
		status    int
	}{{"order-1", "1", 201}, {"order-1", "2", 422}, {"or der", "1", 400}, {"order-1", "1", 201}} {
		before := g.tries.Load()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://pay.example/", strings.NewReader(step.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Idempotency-Key", step.key)
		resp, err := tr.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != step.status || g.tries.Load() != before+1 {
			t.Errorf("%+v: got %d after %d tries", step, resp.StatusCode, g.tries.Load()-before)
		}
	}
	if g.runs.Load() != 1 {
		t.Errorf("got %d executions, want 1", g.runs.Load())
	}
}
