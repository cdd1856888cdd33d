//go:build unix

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// routed is what a request got.
type routed struct {
	status int
	body   string
	header http.Header
}

// postTo sends a request to the sidecar and tells what it got; a status of 0 is a
// connection that broke.
func postTo(t *testing.T, s *sidecar, path, key string) routed {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.addr+path, strings.NewReader("ten"))
	if err != nil {
		t.Error(err)
		return routed{}
	}
	req.Header.Set("Authorization", "alice")
	req.Header.Set("Idempotency-Key", key+path[1:]) // of a scope, not of a path
	res, err := (&http.Client{Timeout: time.Minute}).Do(req)
	if err != nil {
		return routed{}
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return routed{res.StatusCode, string(text), res.Header}
}

// gatedUpstream is a service that says when it runs and answers when it may; a request
// whose key begins with dies it never answers.
func gatedUpstream(t *testing.T) (url string, runs <-chan struct{}, open func()) {
	t.Helper()
	began, gate := make(chan struct{}, 10), make(chan struct{})
	open = sync.OnceFunc(func() { close(gate) })
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		began <- struct{}{}
		wait := gate
		if strings.HasPrefix(r.Header.Get("Idempotency-Key"), "dies") {
			wait = nil
		}
		select {
		case <-wait:
		case <-r.Context().Done(): // the sidecar was killed
		}
		_, _ = io.WriteString(w, "paid")
	}))
	t.Cleanup(func() {
		open()
		upstream.Close()
	})
	return upstream.URL, began, open
}

// TestRoutesWaitAndLeaseAlone: a route has a wait and a lease of its own; the others keep
// those of the whole (L1, L3).
func TestRoutesWaitAndLeaseAlone(t *testing.T) {
	upstream, runs, open := gatedUpstream(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "semel.yaml")
	text := "margin: 0s\nroutes:\n  - match: POST /patient\n    wait: 10s\n    lease: 2s\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startSidecar(t, upstream, "--config", file, "--store", "sqlite:"+filepath.Join(dir, "semel.db"))
	answers := make(chan routed, 4)
	for _, path := range []string{"/patient", "/plain"} {
		go func() { answers <- postTo(t, s, path, "kept") }()
		<-runs
	}
	if got := postTo(t, s, "/plain", "kept"); got.status != http.StatusConflict {
		t.Errorf("a route without a wait: got %d, want 409 at once", got.status)
	}
	waited := make(chan routed)
	go func() { waited <- postTo(t, s, "/patient", "kept") }()
	select {
	case got := <-waited:
		t.Fatalf("a route with a wait: got %d before the first was routed", got.status)
	case <-time.After(300 * time.Millisecond):
	}
	open()
	for range 2 {
		if got := <-answers; got.status != http.StatusOK || got.body != "paid" {
			t.Errorf("got %d %q", got.status, got.body)
		}
	}
	if got := <-waited; got.status != http.StatusOK || got.body != "paid" || got.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("who waited: got %d %q, want the first one's answer as a replay", got.status, got.body)
	}

	for _, path := range []string{"/patient", "/plain"} {
		go postTo(t, s, path, "dies")
		<-runs
	}
	s.signal(t, syscall.SIGKILL)
	s.wait(t, false)
	s.start(t)
	if got := postTo(t, s, "/patient", "dies"); got.status != http.StatusConflict || !strings.Contains(got.body, "outcome-unknown") {
		t.Errorf("a lease of 2 s: got %d %q, want outcome-unknown within the wait", got.status, got.body)
	}
	if got := postTo(t, s, "/plain", "dies"); got.status != http.StatusConflict || !strings.Contains(got.body, "in-flight") {
		t.Errorf("a lease of 30 s: got %d %q, want in-flight", got.status, got.body)
	}
}

// TestWholeRoutesWait: the wait of the whole holds for what no route names and for routes
// without their own, from the start and from a reload on; so does the lease (L1, L3).
func TestWholeRoutesWait(t *testing.T) {
	upstream, runs, open := gatedUpstream(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "semel.yaml")
	configure := func(wait string) {
		text := "margin: 0s\nlease: 2s\nwait: " + wait + "\nroutes:\n  - match: POST /hasty\n    wait: off\n  - match: POST /routed\n    optional: true\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	configure("off")
	s := startSidecar(t, upstream, "--config", file, "--store", "sqlite:"+filepath.Join(dir, "semel.db"))
	paths := []string{"/plain", "/routed", "/hasty"}
	answers, waited := make(chan routed, 3), make(chan routed, 2)
	for _, path := range paths {
		go func() { answers <- postTo(t, s, path, "kept") }()
		<-runs
		if got := postTo(t, s, path, "kept"); got.status != http.StatusConflict {
			t.Errorf("%s without a wait: got %d, want 409 at once", path, got.status)
		}
	}
	configure("10s")
	s.signal(t, syscall.SIGHUP)
	for !strings.Contains(s.log.String(), "the settings are reloaded") {
		time.Sleep(5 * time.Millisecond)
	}
	for _, path := range paths[:2] {
		go func() { waited <- postTo(t, s, path, "kept") }()
	}
	if got := postTo(t, s, "/hasty", "kept"); got.status != http.StatusConflict {
		t.Errorf("a route that waits for nothing: got %d, want 409 at once", got.status)
	}
	select {
	case got := <-waited:
		t.Fatalf("with a wait for the whole: got %d before the first was answered", got.status)
	case <-time.After(300 * time.Millisecond):
	}
	open()
	for range paths {
		<-answers
	}
	for range paths[:2] {
		if got := <-waited; got.status != http.StatusOK || got.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("who waited: got %d %q, want the first one's answer as a replay", got.status, got.body)
		}
	}

	for _, path := range paths[:2] {
		go postTo(t, s, path, "dies")
		<-runs
	}
	s.signal(t, syscall.SIGKILL)
	s.wait(t, false)
	s.start(t)
	for _, path := range paths[:2] {
		if got := postTo(t, s, path, "dies"); got.status != http.StatusConflict || !strings.Contains(got.body, "outcome-unknown") {
			t.Errorf("%s under a lease of 2 s: got %d %q, want outcome-unknown within the wait", path, got.status, got.body)
		}
	}
}
