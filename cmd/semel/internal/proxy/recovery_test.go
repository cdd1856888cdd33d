package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

// service is an upstream that dies in its operation, before the answer, as often
// as it is told to, and that can be asked at /ops/ what it did.
type service struct {
	url   string
	dies  atomic.Int64 // how many runs more die
	runs  atomic.Int64
	asked atomic.Int64

	mu       sync.Mutex
	headers  []http.Header // of the runs
	question *http.Request // the last
}

// newService answers questions by answer.
func newService(t *testing.T, answer http.HandlerFunc) *service {
	t.Helper()
	s := &service{}
	s.dies.Store(1)
	s.url, _ = testUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/ops/") {
			s.asked.Add(1)
			s.mu.Lock()
			s.question = r
			s.mu.Unlock()
			answer(w, r)
			return
		}
		n := s.runs.Add(1)
		s.mu.Lock()
		s.headers = append(s.headers, r.Header)
		s.mu.Unlock()
		if s.dies.Add(-1) >= 0 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = fmt.Fprintf(w, "run %d", n)
	})
	return s
}

// saw returns the headers of the runs.
func (s *service) saw() []http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.headers)
}

// keys are the derived keys of the runs.
func (s *service) keys() []string {
	var keys []string
	for _, h := range s.saw() {
		keys = append(keys, strings.Join(h[HeaderDerivedKey], " "))
	}
	return keys
}

func (s *service) lastQuestion() *http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.question
}

// wantCounts fails the test unless the service ran and was asked so often.
func (s *service) wantCounts(t *testing.T, runs, asked int64) {
	t.Helper()
	if s.runs.Load() != runs || s.asked.Load() != asked {
		t.Errorf("%d runs and %d questions, want %d and %d", s.runs.Load(), s.asked.Load(), runs, asked)
	}
}

// recovers makes a sidecar ask s.
func (s *service) recovers(c *setup) {
	c.HTTP.Lapsed, c.RecoverURL = semel.Recover, s.url+"/ops/{key}?of={key}"
}

func settles(how string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(HeaderSettle, how) }
}

// TestRecoverKeeps: the service did the work and died before it answered. What
// it says later is the outcome, and is replayed (I1, I3).
func TestRecoverKeeps(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			up := newService(t, func(w http.ResponseWriter, r *http.Request) {
				h := w.Header()
				h.Set(HeaderSettle, "keep")
				h.Set(HeaderStatus, "201")
				h.Set("Content-Type", "application/x-own")
				h.Set("Location", "/charges/17")
				h.Set("Omitted", "x")
				h.Add("Set-Cookie", "a=1")
				h.Add("Set-Cookie", "b=2")
				h.Set(HeaderDerivedKey, r.Header.Get(HeaderDerivedKey))
				h.Set("Semel-Note", "for nobody")
				_, _ = io.WriteString(w, "charged")
			})
			s := newSidecar(t, strings.Replace(up.url, "http:", scheme+":", 1), func(c *setup) {
				up.recovers(c)
				c.RecoverURL = strings.Replace(c.RecoverURL, "http:", scheme+":", 1)
				c.HTTP.Omit = []string{"omitted"}
			})
			want(t, s.send(t, "POST", "/charges", "k", "x"), 504, "outcome_unknown")
			for range 3 {
				a := s.send(t, "POST", "/charges", "k", "x")
				want(t, a, 201, "")
				if !a.replayed() || a.body != "charged" || a.Header.Get("Location") != "/charges/17" ||
					a.Header.Get("Content-Type") != "application/x-own" || fmt.Sprint(a.Header["Set-Cookie"]) != "[a=1 b=2]" {
					t.Errorf("got %q, %v", a.body, a.Header)
				}
				for name := range a.Header {
					if ours(name) || name == "Omitted" {
						t.Errorf("%s leaked", name)
					}
				}
			}
			up.wantCounts(t, 1, 1)
			want(t, s.send(t, "POST", "/charges", "k", "other"), 422, "idempotency_key_conflict")
			if !strings.Contains(s.logs.String(), "settle=keep") || scraped(t, s.metrics, `semel_recoveries_total{settle="keep"}`) != 1 {
				t.Errorf("it was neither logged nor counted:\n%s", s.logs)
			}
		})
	}
}

// TestRecoverAsksWithItsOwn: the question names the operation by the derived key
// that its run had, and the attempt that asks. Nothing of the client's goes along.
func TestRecoverAsksWithItsOwn(t *testing.T) {
	up := newService(t, settles("hold"))
	s := newSidecar(t, up.url, up.recovers)
	fields := []string{"Authorization", "Bearer x", "Cookie", "c=1", "X-Own", "x", HeaderDerivedKey, strings.Repeat("0", 64)}
	want(t, s.send(t, "POST", "/charges?secret", "k", "x", fields...), 504, "outcome_unknown")
	want(t, s.send(t, "POST", "/charges?secret", "k", "x", fields...), 409, "outcome_unknown")
	q, keys := up.lastQuestion(), up.keys()
	if q.Method != http.MethodGet || q.URL.Path != "/ops/"+keys[0] || q.URL.RawQuery != "of="+keys[0] || len(keys[0]) != 64 {
		t.Errorf("got %s %s for the key %q", q.Method, q.URL, keys[0])
	}
	for name, lines := range q.Header {
		want := map[string]string{
			HeaderDerivedKey: keys[0], HeaderAttempt: "2", HeaderFence: q.Header.Get(HeaderFence),
			"Cache-Control": "no-cache", "User-Agent": "semel",
		}[name]
		if got := strings.Join(lines, " "); got != want || want == "" {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if first := up.saw()[0].Get(HeaderFence); len(q.Header) != 5 || q.Header.Get(HeaderFence) <= first {
		t.Errorf("got %v, want five fields and a fence above %s", q.Header, first)
	}
}

// TestRecoverReleases: it did not happen, so the retry runs, once.
func TestRecoverReleases(t *testing.T) {
	up := newService(t, settles("release"))
	s := newSidecar(t, up.url, up.recovers)
	want(t, s.send(t, "POST", "/", "k", "x"), 504, "outcome_unknown")
	for i := range 3 {
		a := s.send(t, "POST", "/", "k", "x")
		want(t, a, 201, "")
		if a.body != "run 2" || a.replayed() != (i > 0) {
			t.Errorf("try %d: %q, replayed %v", i, a.body, a.replayed())
		}
	}
	up.wantCounts(t, 2, 1)
	if keys := up.keys(); keys[0] != keys[1] || keys[0] == "" {
		t.Errorf("got the keys %q, want the same", keys)
	}
}

// TestRecoverAsksAgain: each lapse is asked about, and what follows a release
// that died too is asked about anew.
func TestRecoverAsksAgain(t *testing.T) {
	up := newService(t, settles("release"))
	up.dies.Store(2)
	s := newSidecar(t, up.url, up.recovers)
	want(t, s.send(t, "POST", "/", "k", "x"), 504, "outcome_unknown")
	want(t, s.send(t, "POST", "/", "k", "x"), 504, "outcome_unknown")
	want(t, s.send(t, "POST", "/", "k", "x"), 201, "")
	up.wantCounts(t, 3, 2)
}

// TestHoldDoesNotAsk: without the policy nothing has changed.
func TestHoldDoesNotAsk(t *testing.T) {
	up := newService(t, settles("release"))
	s := newSidecar(t, up.url, func(c *setup) { c.RecoverURL = up.url + "/ops/" })
	want(t, s.send(t, "POST", "/", "k", "x"), 504, "outcome_unknown")
	want(t, s.send(t, "POST", "/", "k", "x"), 409, "outcome_unknown")
	up.wantCounts(t, 1, 0)
}

// TestRecoverOneAsks: of several retries one asks, and the others are told that
// it is in flight (I1).
func TestRecoverOneAsks(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	up := newService(t, func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-answer
		settles("release")(w, r)
	})
	s := newSidecar(t, up.url, up.recovers)
	want(t, s.send(t, "POST", "/", "k", "x"), 504, "outcome_unknown")
	first := make(chan answerOrError, 1)
	go func() { // ends with the request
		a, err := s.try(t, "POST", "/", "k", "x")
		first <- answerOrError{a, err}
	}()
	<-asked
	for range 5 {
		want(t, s.send(t, "POST", "/", "k", "x"), 409, "in_flight")
	}
	close(answer)
	a := <-first
	if a.err != nil {
		t.Fatal(a.err)
	}
	want(t, a.answer, 201, "")
	up.wantCounts(t, 2, 1)
}

type answerOrError struct {
	answer
	err error
}

// TestRecoverKeyOutlivesTheProcess: a sidecar that is started again asks with the
// key that the run had under the one before, with a secret and without.
func TestRecoverKeyOutlivesTheProcess(t *testing.T) {
	keys := map[string]bool{}
	for _, secret := range []semel.Secret{nil, semel.Secret("0123456789abcdef")} {
		up := newService(t, settles("release"))
		store := newStore()
		change := func(c *setup) {
			up.recovers(c)
			c.store, c.engine.Secret = store, secret
		}
		s := newSidecar(t, up.url, change)
		want(t, s.send(t, "POST", "/", "k", "x"), 504, "outcome_unknown")
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		s = newSidecar(t, up.url, change)
		want(t, s.send(t, "POST", "/", "k", "x"), 201, "")
		run, question := up.keys()[0], up.lastQuestion().Header.Get(HeaderDerivedKey)
		if run != question || up.keys()[1] != run {
			t.Errorf("asked with %s, ran with %s", question, up.keys())
		}
		keys[run] = true
	}
	if len(keys) != 2 {
		t.Error("the secret does not count")
	}
}

// TestRecoverRoutes: a route may have its own policy, address and limit.
func TestRecoverRoutes(t *testing.T) {
	up := newService(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(HeaderSettle, "keep")
		_, _ = io.WriteString(w, strings.TrimPrefix(r.URL.Path, "/ops/"))
	})
	up.dies.Store(100)
	s := newSidecar(t, up.url, func(c *setup) {
		c.HTTP.Lapsed, c.RecoverURL = semel.Recover, up.url+"/ops/common"
		c.Routes = []Route{
			{Pattern: "/hold", Change: func(h *semelhttp.Config) { h.Lapsed, h.Recover = semel.Hold, nil }},
			{Pattern: "/same", Change: func(h *semelhttp.Config) { h.Retention = time.Hour }},
			{Pattern: "/own", RecoverURL: up.url + "/ops/own"},
			{Pattern: "/small", Change: func(h *semelhttp.Config) { h.MaxResponse = 3 }},
		}
	})
	for path, want := range map[string]string{"/": "common", "/hold": "409", "/same": "common", "/own": "own", "/small": "409"} {
		s.send(t, "POST", path, "k"+path, "x")
		a := s.send(t, "POST", path, "k"+path, "x")
		if got := a.body; a.StatusCode != 200 && fmt.Sprint(a.StatusCode) != want || a.StatusCode == 200 && got != want {
			t.Errorf("%s: got %d %q, want %s", path, a.StatusCode, got, want)
		}
	}
}

// noRoom is a store that takes small responses only.
type noRoom struct{ semel.Store }

func (s noRoom) Unwrap() semel.Store { return s.Store }

func (s noRoom) Complete(ctx context.Context, c semel.Completion) error {
	if len(c.Response.Body) > 3 {
		return semel.ErrTooLarge
	}
	return s.Store.Complete(ctx, c)
}

// TestRecoverWithoutRoom: an answer that the store cannot hold is recorded
// without its bytes, and never asked about again.
func TestRecoverWithoutRoom(t *testing.T) {
	up := newService(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(HeaderSettle, "keep")
		_, _ = io.WriteString(w, "large")
	})
	s := newSidecar(t, up.url, func(c *setup) {
		up.recovers(c)
		c.store = noRoom{c.store}
	})
	want(t, s.send(t, "POST", "/", "k", "x"), 504, "outcome_unknown")
	for range 2 {
		want(t, s.send(t, "POST", "/", "k", "x"), 410, "response_not_kept")
	}
	up.wantCounts(t, 1, 1)
}

// TestRecoverEndsWithTheSidecar: a question under way does not keep the sidecar
// from ending, and settles nothing.
func TestRecoverEndsWithTheSidecar(t *testing.T) {
	asked := make(chan struct{})
	up := newService(t, func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	})
	store := newStore()
	s := newSidecar(t, up.url, func(c *setup) {
		up.recovers(c)
		c.store, c.Drain, c.RecoverTimeout = store, -1, time.Minute
	})
	want(t, s.send(t, "POST", "/", "k", "x"), 504, "outcome_unknown")
	go func() { _, _ = s.try(t, "POST", "/", "k", "x") }() // is refused or cut off
	<-asked
	if err := s.stop(); err == nil || !strings.Contains(err.Error(), "1 requests still ran") {
		t.Errorf("got %v", err)
	}
	up.wantCounts(t, 1, 1)
	s = newSidecar(t, up.url, func(c *setup) { c.store = store })
	want(t, s.send(t, "POST", "/", "k", "x"), 409, "")
}
