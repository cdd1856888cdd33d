package semelhttp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
	"github.com/semel-go/semel/store/storetest"
)

// gated is a handler that says when it runs and answers when it may.
func gated() (h http.HandlerFunc, runs chan struct{}, open func()) {
	runs, gate := make(chan struct{}, 10), make(chan struct{})
	return func(w http.ResponseWriter, _ *http.Request) {
		runs <- struct{}{}
		<-gate
		_, _ = io.WriteString(w, "paid")
	}, runs, sync.OnceFunc(func() { close(gate) })
}

// waiters waits until so many calls wait.
func (r *rig) waiters(n int) {
	r.t.Helper()
	for end := time.Now().Add(10 * time.Second); r.engine.Waiting() != n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("got %d that wait, want %d", r.engine.Waiting(), n)
		}
	}
}

// I3, L3: a duplicate waits for the answer of the first and gets it, marked as a replay;
// another payload is refused at once.
func TestDuplicateWaitsForTheAnswer(t *testing.T) {
	h, runs, open := gated()
	defer open()
	r := newRig(t, h, func(c *semelhttp.Config) { c.Wait = semel.MaxWait })
	answers := make(chan answer, 3)
	for range 3 {
		go func() { answers <- r.post("k", "{}") }()
	}
	<-runs
	r.waiters(2)
	if a := r.post("k", "[]"); a.status != 422 {
		t.Errorf("got %d for another payload, want 422 at once", a.status)
	}
	open()
	replayed := 0
	for range 3 {
		a := <-answers
		if a.status != 200 || a.body != "paid" {
			t.Errorf("got %d %q, want the answer of the first", a.status, a.body)
		}
		if a.header.Get("Idempotent-Replayed") == "true" {
			replayed++
		}
	}
	if replayed != 2 {
		t.Errorf("got %d replays, want 2", replayed)
	}
	r.wantRuns(1)
}

// L3: it is refused with in-flight when its time is over, and told when to come again.
func TestWaitIsOver(t *testing.T) {
	h, runs, open := gated()
	defer open()
	r := newRig(t, h, func(c *semelhttp.Config) { c.Wait = 50 * time.Millisecond })
	done := make(chan answer)
	go func() { done <- r.post("k", "{}") }()
	<-runs
	if a := r.post("k", "{}"); a.status != 409 || a.header.Get("Retry-After") == "" {
		t.Errorf("got %d, Retry-After %q, want 409 and a time", a.status, a.header.Get("Retry-After"))
	}
	open()
	<-done
	r.wantRuns(1)
}

// A client that leaves does not wait any more.
func TestWaitEndsWithItsClient(t *testing.T) {
	h, runs, open := gated()
	defer open()
	r := newRig(t, h, func(c *semelhttp.Config) { c.Wait = semel.MaxWait })
	done := make(chan answer)
	go func() { done <- r.post("k", "{}") }()
	<-runs
	ctx, leave := context.WithCancel(t.Context())
	go func() { r.waiters(1); leave() }()
	res, err := http.DefaultClient.Do(r.request(http.MethodPost, "/payments", "k", "{}").WithContext(ctx))
	if err == nil {
		_ = res.Body.Close()
		t.Fatalf("got %d, want that the client has left", res.StatusCode)
	}
	r.waiters(0)
	open()
	<-done
	r.wantRuns(1)
}

// I1: a store that fails while a duplicate waits opens no route: the first may still run.
func TestWaitDoesNotFailOpen(t *testing.T) {
	h, runs, open := gated()
	defer open()
	var down atomic.Bool
	store := &storetest.Faulty{Store: memstore.New(memstore.Config{}), Before: func(s semel.Step) error {
		if down.Load() && s == semel.StepReserve {
			return errors.New("down")
		}
		return nil
	}}
	r := newRigOn(t, store, semel.Config{}, h, func(c *semelhttp.Config) {
		c.Wait = semel.MaxWait
		c.FailOpen = func(*http.Request, error) bool { return true }
	})
	done := make(chan answer)
	go func() { done <- r.post("k", "{}") }()
	<-runs
	go func() { r.waiters(1); down.Store(true) }()
	if a := r.post("k", "{}"); a.status != 409 {
		t.Errorf("got %d, want 409: what is known is that it runs", a.status)
	}
	open()
	<-done
	r.wantRuns(1)
}

// In shadow mode nobody is made to wait.
func TestShadowDoesNotWait(t *testing.T) {
	h, runs, open := gated()
	defer open()
	r := newRig(t, h, func(c *semelhttp.Config) {
		c.Wait = semel.MaxWait
		c.Shadow = func(*http.Request, semelhttp.Shadowed) {}
	})
	for range 2 {
		go r.post("k", "{}")
		select {
		case <-runs: // although the first has not answered
		case <-time.After(semel.MaxWait / 2):
			t.Fatal("a request in shadow mode waits")
		}
	}
	open()
}

func TestConfigOfWaiting(t *testing.T) {
	e, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []semelhttp.Config{{Wait: -1}, {Wait: semel.MaxWait + 1}, {Lease: -1}} {
		if _, err := semelhttp.New(e, semelhttp.Global(), c); err == nil {
			t.Errorf("wait %v, lease %v: got no error", c.Wait, c.Lease)
		}
	}
}

// A request that passes two middlewares is guarded once, and does not wait for itself.
func TestNestedDoesNotWaitForItself(t *testing.T) {
	mw := nestedMiddleware(t, semelhttp.Config{Wait: semel.MaxWait})
	h := mw.Wrap(hideWriter(mw.Wrap(http.HandlerFunc(pay))))
	start := time.Now()
	if got := postTo(t, h, "k"); got.Code != http.StatusCreated || time.Since(start) > semel.MaxWait/2 {
		t.Errorf("got %d after %v, want an answer at once", got.Code, time.Since(start))
	}
}
