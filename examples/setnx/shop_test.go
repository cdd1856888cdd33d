package main

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/semelhttp"
)

func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }

func testShop(t *testing.T) *shop {
	t.Helper()
	s, err := newShop(t.Context(), servertest.NewRedis(t).DSN())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *shop) test(t *testing.T, guard string) http.Handler {
	t.Helper()
	h, err := s.behind(guard)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// post is one request of a client, and the parts of its answer that matter.
func post(t *testing.T, h http.Handler, caller, key, body string) string {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/payments", strings.NewReader(body))
	r.Header.Set("Authorization", caller)
	r.Header.Set("Idempotency-Key", key)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	text, _, _ := strings.Cut(w.Body.String(), "\n")
	if w.Code >= 400 {
		text = ""
	}
	return strings.TrimSpace(fmt.Sprintln(w.Code, w.Header().Get("Location"), text))
}

// Each guard is asked the same. What the one made at home answers is what docs/why-not.md says of
// it; I1, I5, I6 and the scope are what it lacks.
func TestWhatTheGuardsAnswer(t *testing.T) {
	for guard, want := range map[string]map[string]string{
		"setnx": {
			"retry":          "201  payment 1", // the Location is gone
			"other request":  "201  payment 1", // 999 was asked for, and 25 paid
			"other caller":   "201  payment 1", // somebody else's payment
			"after the lock": "201",            // and two payments
		},
		"semel": {
			"retry":          "201 /payments/1 payment 1",
			"other request":  "422",
			"other caller":   "201 /payments/2 payment 2",
			"after the lock": "409",
		},
	} {
		t.Run(guard, func(t *testing.T) {
			s := testShop(t)
			s.old.lock = 50 * time.Millisecond
			h := s.test(t, guard)
			first := post(t, h, "alice", "k-1", `{"amount":25}`)
			got := map[string]string{
				"retry":         post(t, h, "alice", "k-1", `{"amount":25}`),
				"other request": post(t, h, "alice", "k-1", `{"amount":999}`),
				"other caller":  post(t, h, "bob", "k-1", `{"amount":25}`),
			}
			if !strings.HasPrefix(first, "201") {
				t.Fatalf("got %s first", first)
			}
			got["after the lock"] = s.slowPayment(t, h)[:3]
			if !maps.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// slowPayment starts a payment that takes longer than the lock of the guard made at home, and
// returns what a retry hears meanwhile.
func (s *shop) slowPayment(t *testing.T, h http.Handler) (retry string) {
	t.Helper()
	begun, end, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var payments atomic.Int64
	s.pay = func() {
		if payments.Add(1) == 1 { // the second is the retry's
			close(begun)
			<-end
		}
	}
	go func() {
		defer close(done)
		post(t, h, "alice", "k-slow", "{}")
	}()
	<-begun
	time.Sleep(2 * s.old.lock)
	retry = post(t, h, "alice", "k-slow", "{}")
	close(end)
	<-done
	return retry
}

// TestRollout: the way from the old guard to Semel, with processes of two kinds at a time. At no
// point does a key pay twice (I1), whichever process a retry meets.
func TestRollout(t *testing.T) {
	s := testShop(t)
	old, both, semel := s.test(t, "setnx"), s.test(t, "both"), s.test(t, "semel")
	if got := post(t, old, "alice", "k-1", "{}"); got != "201 /payments/1 payment 1" {
		t.Fatalf("got %q", got)
	}
	const paid = "payment 1"
	for i, h := range []http.Handler{both, old, both, semel} {
		if got := post(t, h, "alice", "k-1", "{}"); got != "201  "+paid {
			t.Errorf("retry %d: got %q", i+1, got)
		}
	}
	fresh := post(t, both, "alice", "k-2", "{}")
	if got := post(t, old, "alice", "k-2", "{}"); !strings.HasSuffix(got, "payment 2") {
		t.Errorf("a retry at an old process: got %q after %q", got, fresh)
	}
	if n := s.payments.Load(); n != 2 {
		t.Errorf("%d payments for two keys", n)
	}
}

// TestRefusalOfTheOldGuardIsNoOutcome: what an old process is at work on is refused by a new one
// for as long as that takes, and then answered.
func TestRefusalOfTheOldGuardIsNoOutcome(t *testing.T) {
	s := testShop(t)
	old, both := s.test(t, "setnx"), s.test(t, "both")
	begun, end, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	s.pay = func() { close(begun); <-end }
	go func() {
		defer close(done)
		post(t, old, "alice", "k-1", "{}")
	}()
	<-begun
	for range 2 {
		if got := post(t, both, "alice", "k-1", "{}"); got != "409" {
			t.Errorf("while it runs: got %q", got)
		}
	}
	close(end)
	<-done
	if got := post(t, both, "alice", "k-1", "{}"); got != "201  payment 1" || s.payments.Load() != 1 {
		t.Errorf("afterwards: got %q, %d payments", got, s.payments.Load())
	}
}

// TestShadow: the old guard's refusals pass where Semel guards nothing, as in a shadow.
func TestShadow(t *testing.T) {
	s := testShop(t)
	mw, err := semelhttp.New(s.engine, semelhttp.ByHeader("Authorization"), semelhttp.Config{Shadow: func(*http.Request, semelhttp.Shadowed) {}})
	if err != nil {
		t.Fatal(err)
	}
	h := mw.Wrap(freeing(s.old.wrap(http.HandlerFunc(s.payment))))
	begun, end, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	s.pay = func() { close(begun); <-end }
	go func() {
		defer close(done)
		post(t, h, "alice", "k-1", "{}")
	}()
	<-begun
	if got := post(t, h, "alice", "k-1", "{}"); got != "409" {
		t.Errorf("got %q, want the old guard's 409", got)
	}
	close(end)
	<-done
}
