package proxy

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
)

// TestDrain: when the sidecar is told to end, a request in flight ends, is
// answered and is kept (I14), and the next sidecar over the same store replays it.
func TestDrain(t *testing.T) {
	for _, scheme := range []string{"http", "h2c"} {
		t.Run(scheme, func(t *testing.T) {
			arrived, finish := make(chan struct{}), make(chan struct{})
			up, hits := testUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
				close(arrived)
				<-finish
				_, _ = io.WriteString(w, "done")
			})
			store := newStore()
			s := newSidecar(t, up, func(s *setup) { s.store = store })
			if scheme == "h2c" {
				s.client = h2cClient(t)
			}
			got := make(chan answer, 1)
			go func() {
				a, err := s.try(t, "POST", "/", "k", "x")
				if err != nil {
					t.Error(err)
				}
				got <- a
			}()
			<-arrived
			s.end()
			waitStatus(t, s.admin+"/readyz", 503)
			waitRefused(t, s.url)
			if !strings.Contains(s.logs.String(), "msg=draining requests=1 limit=30s") {
				t.Errorf("the log does not say for what it waits:\n%s", s.logs)
			}
			if a := get(t, s.admin+"/livez"); a.StatusCode != 200 {
				t.Errorf("/livez while draining: %d, want 200", a.StatusCode)
			}
			close(finish)
			a := <-got
			want(t, a, 200, "")
			if err := s.stop(); err != nil {
				t.Errorf("Run: %v, want nil", err)
			}

			next := newSidecar(t, up, func(s *setup) { s.store = store })
			a = next.send(t, "POST", "/", "k", "x")
			want(t, a, 200, "")
			if !a.replayed() || a.body != "done" || hits.Load() != 1 {
				t.Errorf("replayed %v, %q, %d hits", a.replayed(), a.body, hits.Load())
			}
		})
	}
}

// TestDrainIsKeptForAClientThatLeft: nobody waits, and the answer is kept.
func TestDrainIsKeptForAClientThatLeft(t *testing.T) {
	arrived, finish := make(chan struct{}), make(chan struct{})
	up, hits := testUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-finish
		_, _ = io.WriteString(w, "done")
	})
	store := newStore()
	s := newSidecar(t, up, func(s *setup) { s.store = store })
	conn, _ := s.raw(t, "POST / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Length: 1\r\n\r\nx")
	<-arrived
	conn.Close()
	s.end()
	close(finish)
	if err := s.stop(); err != nil {
		t.Errorf("Run: %v, want nil", err)
	}
	next := newSidecar(t, up, func(s *setup) { s.store = store })
	a := next.send(t, "POST", "/", "k", "x")
	want(t, a, 200, "")
	if !a.replayed() || hits.Load() != 1 {
		t.Errorf("replayed %v, %d hits", a.replayed(), hits.Load())
	}
}

// TestDrainRunsOut: a request that does not end in time is cut off, told so and
// held, and Run says it.
func TestDrainRunsOut(t *testing.T) {
	arrived := make(chan struct{})
	up := newRaw(t, func(conn net.Conn, _ *http.Request, _ string, _ int64) bool {
		close(arrived)
		_, _ = conn.Read(make([]byte, 1))
		return false
	})
	store := newStore()
	s := newSidecar(t, up.url, func(s *setup) { s.store, s.Drain = store, -1 })
	got := make(chan answer, 1)
	go func() {
		a, err := s.try(t, "POST", "/", "k", "x")
		if err != nil {
			t.Error(err)
		}
		got <- a
	}()
	<-arrived
	if err := s.stop(); err == nil || !strings.Contains(err.Error(), "1 requests still ran") {
		t.Errorf("Run: %v, want an error that counts one request", err)
	}
	if got := s.metrics.serving.Load(); got != 0 {
		t.Errorf("%d requests outlive Run, want 0", got)
	}
	want(t, <-got, 504, "outcome_unknown")
	next := newSidecar(t, refusedAddr(t), func(s *setup) { s.store = store })
	want(t, next.send(t, "POST", "/", "k", "x"), 409, "outcome_unknown")
}

// TestDrainCutsTheUnguarded: a request that is not guarded ends with the drain.
func TestDrainCutsTheUnguarded(t *testing.T) {
	arrived := make(chan struct{})
	up := newRaw(t, func(conn net.Conn, _ *http.Request, _ string, _ int64) bool {
		close(arrived)
		_, _ = conn.Read(make([]byte, 1))
		return false
	})
	s := newSidecar(t, up.url, func(s *setup) { s.Drain = -1 })
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if a, err := s.try(t, "GET", "/", "", ""); err == nil && a.StatusCode == 200 && a.body != "" {
			t.Errorf("got %q", a.body)
		}
	}()
	<-arrived
	err := s.stop()
	if err == nil || strings.Count(err.Error(), "\n") != 0 {
		t.Errorf("Run: %v, want one error: nothing else had to be forced", err)
	}
	<-ended
}

// TestDrainEndsUpgrades: connections that left HTTP do not outlive the sidecar.
func TestDrainEndsUpgrades(t *testing.T) {
	up := newRaw(t, func(conn net.Conn, _ *http.Request, _ string, _ int64) bool {
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn)
		return false
	})
	s := newSidecar(t, up.url, nil)
	_, in := s.raw(t, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	want(t, one(t, in), 101, "")
	if err := s.stop(); err != nil {
		t.Errorf("Run: %v, want nil", err)
	}
	if _, err := in.ReadByte(); err == nil {
		t.Error("the connection is open, want it closed")
	}
}

// TestRunPurges: what is over is removed while the sidecar runs.
func TestRunPurges(t *testing.T) {
	purged := make(chan struct{}, 1)
	up, _ := testUpstream(t, new(seen).handler)
	s := newSidecar(t, up, func(s *setup) {
		s.store = purgeWatch{s.store, purged}
		s.Purging.Every = time.Millisecond
	})
	<-purged
	if err := s.stop(); err != nil {
		t.Errorf("Run: %v, want nil", err)
	}
}

// TestRunRefusesBadPurging: Run fails instead of serving without a purge.
func TestRunRefusesBadPurging(t *testing.T) {
	up, _ := testUpstream(t, new(seen).handler)
	s := newSidecar(t, up, func(s *setup) { s.Purging.Share = 2 })
	err := <-s.done
	s.done <- nil
	if err == nil || !strings.Contains(err.Error(), "purge") {
		t.Errorf("Run: %v, want an error about the purge", err)
	}
}

// unwrapper is a store around another.
type unwrapper struct{ semel.Store }

func (u unwrapper) Unwrap() semel.Store { return u.Store }
