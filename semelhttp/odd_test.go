package semelhttp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
	"github.com/semel-go/semel/store/storetest"
)

// I7: an offer of h2c, as Java's client makes with every request, does not leave
// HTTP: the request is guarded.
func TestOfferOfHTTP2IsGuarded(t *testing.T) {
	r := newRig(t, pay, nil)
	var answers [2]answer
	for i := range answers {
		q := r.request("POST", "/payments", secretKey, "x")
		q.Header.Set("Connection", "Upgrade, HTTP2-Settings")
		q.Header.Set("Upgrade", "h2c")
		answers[i] = r.do(q)
	}
	if answers[0].body == "" || answers[0].body != answers[1].body {
		t.Errorf("got %+v, then %+v", answers[0], answers[1])
	}
	r.wantRuns(1)
}

// I3: the type that an outer middleware set describes the kept bytes too.
func TestOuterContentTypeIsKept(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }, nil)
	inner := r.server.Config.Handler
	r.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.bank+json")
		inner.ServeHTTP(w, q)
	})
	for i := range 2 {
		if got := r.post(secretKey, "x").header.Get("Content-Type"); got != "application/vnd.bank+json" {
			t.Errorf("answer %d: got type %q", i, got)
		}
	}
}

// I3: a handler that changes the values of an outer middleware where they lie
// has changed them.
func TestOuterValuesChangedInPlace(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { w.Header()["Vary"][0] += ", Accept" }, nil)
	inner := r.server.Config.Handler
	r.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Vary", "Origin")
		inner.ServeHTTP(w, q)
	})
	for i := range 2 {
		if got := r.post(secretKey, "x").header.Get("Vary"); got != "Origin, Accept" {
			t.Errorf("answer %d: got %q", i, got)
		}
	}
}

// I3: what a goroutine of the handler writes is kept and sent, or neither. The
// writer below and the store are slow, so that the goroutine queues at the
// recorder's lock for long enough to be handed it when the answer has been sent.
func TestStragglerInTheQueue(t *testing.T) {
	store := &storetest.Faulty{Store: memstore.New(memstore.Config{})}
	store.Before = func(step semel.Step) error {
		if step == semel.StepComplete {
			time.Sleep(3 * time.Millisecond)
		}
		return nil
	}
	r := newRigOn(t, store, semel.Config{}, pay, nil)
	for i := range 20 {
		done := make(chan error, 1)
		w := &slowHints{ResponseRecorder: httptest.NewRecorder(), begun: make(chan struct{})}
		guarded := r.mw.Wrap(http.HandlerFunc(func(rec http.ResponseWriter, _ *http.Request) {
			go func() {
				<-w.begun
				_, err := io.WriteString(rec, "late")
				done <- err
			}()
			rec.WriteHeader(http.StatusEarlyHints)
		}))
		send := func(w http.ResponseWriter) {
			q := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
			q.Header.Set("X-Tenant", "alice")
			q.Header.Set("Idempotency-Key", fmt.Sprint(i))
			guarded.ServeHTTP(w, q)
		}
		send(w)
		err := <-done
		replay := httptest.NewRecorder()
		send(replay)
		if w.Body.String() != replay.Body.String() || (err == nil) != (w.Body.Len() > 0) {
			t.Fatalf("the write got %v: sent %q, kept %q", err, w.Body, replay.Body)
		}
	}
}

// slowHints takes its time to send a 103.
type slowHints struct {
	*httptest.ResponseRecorder
	begun chan struct{}
}

func (w *slowHints) WriteHeader(status int) {
	if status != http.StatusEarlyHints {
		w.ResponseRecorder.WriteHeader(status)
		return
	}
	close(w.begun)
	time.Sleep(3 * time.Millisecond)
}

// The kept answer of another attempt is a replay, and authorised like one.
func TestOnReplayAfterALostAttempt(t *testing.T) {
	var r *rig
	r = newRig(t, func(w http.ResponseWriter, q *http.Request) {
		c := semel.FromContext(q.Context())
		if err := r.store.Release(q.Context(), c.Key(), c.Token()); err != nil {
			panic(err)
		}
		other, err := r.engine.Begin(q.Context(), semel.Call{Key: c.Key(), Fingerprint: c.Fingerprint()})
		if err != nil {
			panic(err)
		}
		kept, _ := semelhttp.Kept{Status: 201, Body: []byte("theirs")}.Encode()
		_ = other.Claim.Complete(q.Context(), kept)
	}, func(c *semelhttp.Config) {
		c.OnReplay = func(*http.Request, semel.Record) error { return errors.New("revoked") }
	})
	r.wantProblem(r.post(secretKey, "x"), 403, semelhttp.ProblemReplayRefused)
}

// The client learns which limit it met.
func TestOuterBodyLimit(t *testing.T) {
	r := newRig(t, pay, func(c *semelhttp.Config) { c.MaxBody = 100 })
	inner := r.server.Config.Handler
	r.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		q.Body = http.MaxBytesReader(w, q.Body, 10)
		inner.ServeHTTP(w, q)
	})
	for body, want := range map[string]string{strings.Repeat("x", 50): "10", strings.Repeat("x", 101): "100"} {
		d := r.wantProblem(r.post(secretKey, body), 413, semelhttp.ProblemBodyTooLarge)
		if got := fmt.Sprint(d.Extra["max_bytes"]); got != want {
			t.Errorf("max_bytes: got %s, want %s", got, want)
		}
	}
	r.wantRuns(0)
}

// A limit is the largest size that passes.
func TestLimitsAreInclusive(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		for range q.ContentLength {
			_, _ = io.WriteString(w, "x")
		}
	}, func(c *semelhttp.Config) { c.MaxBody, c.MaxResponse = 11, 10 })
	r.post("fits", "0123456789")
	if a := r.post("fits", "0123456789"); a.status != 200 || a.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("10 of 10 bytes: got %+v, want a replay", a)
	}
	r.post("over", "0123456789a")
	r.wantProblem(r.post("over", "0123456789a"), 410, semelhttp.ProblemResponseNotKept)
	r.wantProblem(r.post("body", "0123456789ab"), 413, semelhttp.ProblemBodyTooLarge)
	r.wantRuns(2)
}

// A body is there once, whatever the client declared.
func TestBodyAsTheHandlerSeesIt(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		first, err := io.ReadAll(q.Body)
		second, again := io.ReadAll(q.Body)
		closed := q.Body.Close()
		_, after := q.Body.Read(make([]byte, 1))
		fmt.Fprintf(w, "%d %s %v|%s %v|%v %v %v", q.ContentLength, first, err, second, again, closed, after != nil, q.Body == http.NoBody)
	}, nil)
	chunked := func(body string) *http.Request {
		q := r.request("POST", "/payments", "k"+body, "")
		q.Body, q.ContentLength = io.NopCloser(strings.NewReader(body)), -1
		return q
	}
	if got, want := r.do(chunked("abc")).body, "3 abc <nil>| <nil>|<nil> true false"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	empty, none := r.do(chunked("")), r.post("k", "")
	if want := "0  <nil>| <nil>|<nil> true true"; empty.body != want || none.body != want || none.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("got %q and %+v, want %q for both, as one request", empty.body, none, want)
	}
}

// RFC 9110 section 10.1.1: no 100 for a body that is too large by its length.
func TestExpectContinueWithALargeBody(t *testing.T) {
	r := newRig(t, pay, func(c *semelhttp.Config) { c.MaxBody = 4 })
	conn, err := net.Dial("tcp", r.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nX-Tenant: a\r\nExpect: 100-continue\r\nContent-Length: 5000000\r\nIdempotency-Key: k\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 413 || !res.Close {
		t.Errorf("got %+v, want 413 and the end of the connection", res)
	}
}

// A time limit outside ends the waiting and not the attempt.
func TestTimeoutHandlerOutside(t *testing.T) {
	finish := make(chan struct{})
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		<-finish
		pay(w, q)
	}, nil)
	inner := r.server.Config.Handler
	r.server.Config.Handler = http.TimeoutHandler(inner, time.Millisecond, "too slow")
	for r.runs.Load() == 0 { // the time may be over before the handler has begun
		if a := r.post(secretKey, "x"); a.status != 503 {
			t.Errorf("got %+v", a)
		}
	}
	r.server.Config.Handler = inner
	r.wantProblem(r.post(secretKey, "x"), 409, semelhttp.ProblemInFlight)
	close(finish)
	for {
		a := r.post(secretKey, "x")
		if a.status == 409 {
			continue
		}
		if a.status != 201 || a.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("got %+v, want the replay", a)
		}
		break
	}
	r.wantRuns(1)
}

// I7: a hook that panics holds the key, as it says nothing about what happened.
func TestHookThatPanics(t *testing.T) {
	boom := func(int, http.Header) semel.Disposition { panic("boom") }
	for name, handler := range map[string]http.HandlerFunc{
		"whole":  pay,
		"stream": func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() },
	} {
		r := newRig(t, handler, func(c *semelhttp.Config) { c.Settle = boom })
		if a := r.post(secretKey, "x"); a.err == nil {
			t.Errorf("%s: got %+v, want a cut connection", name, a)
		}
		r.wantProblem(r.post(secretKey, "x"), 409, semelhttp.ProblemOutcomeUnknown)
		r.wantRuns(1)
	}
}

// A caller that left before the reserve is no fault of the store.
func TestCallerThatLeftIsNotLogged(t *testing.T) {
	r := newRig(t, pay, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("shutting down"))
	q := httptest.NewRequest("POST", "/", strings.NewReader("x")).WithContext(ctx)
	q.Header.Set("X-Tenant", "alice")
	q.Header.Set("Idempotency-Key", secretKey)
	w := httptest.NewRecorder()
	r.mw.Wrap(http.HandlerFunc(pay)).ServeHTTP(w, q)
	if w.Code != 503 || strings.Contains(r.log.String(), "ERROR") {
		t.Errorf("got %d, log:\n%s", w.Code, r.log)
	}
}
