package proxy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestClosedWhileIdle: a connection that the upstream has closed meanwhile is
// noticed before anything is written to it, so nothing is held in doubt.
func TestClosedWhileIdle(t *testing.T) {
	closed := make(chan struct{}, 10)
	up := newRaw(t, func(conn net.Conn, r *http.Request, body string, n int64) bool {
		answering(conn, r, body, n)
		conn.Close()
		closed <- struct{}{}
		return false
	})
	s := newSidecar(t, up.url, nil)
	for i := range 5 {
		want(t, s.send(t, "POST", "/", fmt.Sprint("k", i), "x"), 200, "")
		<-closed
	}
	if got := up.executions.Load(); got != 5 {
		t.Errorf("%d executions, want 5", got)
	}
}

// TestStrayAnswer: bytes that nobody asked for are never the next request's
// answer, whether they come with an answer or after it.
func TestStrayAnswer(t *testing.T) {
	const stray = "HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nstray"
	t.Run("with the answer", func(t *testing.T) {
		up := newRaw(t, func(conn net.Conn, _ *http.Request, _ string, _ int64) bool {
			_, err := io.WriteString(conn, ok200+stray)
			return err == nil
		})
		s := newSidecar(t, up.url, nil)
		for i := range 3 {
			a := s.send(t, "POST", "/", fmt.Sprint("k", i), "x")
			want(t, a, 200, "")
			if a.body != "ok" {
				t.Errorf("got %q, want ok", a.body)
			}
		}
		if got := up.connections.Load(); got != 3 {
			t.Errorf("%d connections, want 3", got)
		}
	})
	t.Run("after the answer", func(t *testing.T) {
		answered, sent := make(chan struct{}, 1), make(chan struct{}, 1)
		up := newRaw(t, func(conn net.Conn, _ *http.Request, _ string, _ int64) bool {
			_, _ = io.WriteString(conn, ok200)
			<-answered
			_, _ = io.WriteString(conn, stray)
			sent <- struct{}{}
			return true
		})
		s := newSidecar(t, up.url, nil)
		for i := range 3 {
			a := s.send(t, "POST", "/", fmt.Sprint("k", i), "x")
			answered <- struct{}{}
			<-sent
			want(t, a, 200, "")
			if a.body != "ok" {
				t.Errorf("got %q, want ok", a.body)
			}
		}
		if got := up.connections.Load(); got != 3 {
			t.Errorf("%d connections, want 3", got)
		}
	})
}

// TestConnectionReuse: which answers leave a connection usable.
func TestConnectionReuse(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		closes       bool
		connections  int64
		body         string
	}{
		{"a length", ok200, false, 1, "ok"},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false, 1, "ok"},
		{"chunks and a trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: b\r\n\r\n", false, 1, "ok"},
		{"no content", "HTTP/1.1 204 No Content\r\n\r\n", false, 1, ""},
		{"close", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", false, 2, "ok"},
		{"until the end", "HTTP/1.1 200 OK\r\n\r\nok", true, 2, "ok"},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false, 2, "ok"},
		{"HTTP/1.0 with keep-alive", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok", false, 1, "ok"},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := newRaw(t, func(conn net.Conn, _ *http.Request, _ string, _ int64) bool {
				_, err := io.WriteString(conn, c.answer)
				return err == nil && !c.closes
			})
			s := newSidecar(t, up.url, nil)
			for _, key := range []string{"k1", "k2", "k1"} {
				a := s.send(t, "POST", "/", key, "x")
				if a.StatusCode >= 300 || a.body != c.body {
					t.Errorf("%s: %d %q", key, a.StatusCode, a.body)
				}
			}
			if got := up.connections.Load(); got != c.connections {
				t.Errorf("%d connections, want %d", got, c.connections)
			}
			if got := up.executions.Load(); got != 2 {
				t.Errorf("%d executions, want 2", got)
			}
		})
	}
}

// TestIdleConnectionsEnd: after UpstreamIdle, and with the sidecar.
func TestIdleConnectionsEnd(t *testing.T) {
	for name, idle := range map[string]time.Duration{"after a time": time.Millisecond, "with the sidecar": time.Hour} {
		t.Run(name, func(t *testing.T) {
			up := newRaw(t, answering)
			s := newSidecar(t, up.url, func(s *setup) { s.UpstreamIdle = idle })
			want(t, s.send(t, "POST", "/", "k", "x"), 200, "")
			if idle == time.Hour {
				if err := s.stop(); err != nil {
					t.Errorf("Run: %v", err)
				}
			}
			<-up.gone
		})
	}
}

// TestManyIdleConnectionsEnd: the reaper comes again until none is left.
func TestManyIdleConnectionsEnd(t *testing.T) {
	const n = 20
	arrived, finish := make(chan struct{}, n), make(chan struct{})
	up := newRaw(t, func(conn net.Conn, r *http.Request, body string, i int64) bool {
		arrived <- struct{}{}
		<-finish
		return answering(conn, r, body, i)
	})
	s := newSidecar(t, up.url, func(s *setup) { s.UpstreamIdle = time.Millisecond })
	done := make(chan struct{})
	for i := range n {
		go func() {
			defer func() { done <- struct{}{} }()
			if a, err := s.try(t, "POST", "/", fmt.Sprint("k", i), "x"); err != nil || a.StatusCode != 200 {
				t.Errorf("got %v, %v", a.Response, err)
			}
		}()
	}
	for range n {
		<-arrived
	}
	close(finish)
	for range n {
		<-done
		<-up.gone
	}
}

// TestHeadTooLong: an upstream cannot make the sidecar read for ever.
func TestHeadTooLong(t *testing.T) {
	for name, part := range map[string]string{
		"one field":   strings.Repeat("x", 4096),
		"many fields": strings.Repeat("A: b\r\n", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			up := newRaw(t, func(conn net.Conn, _ *http.Request, _ string, _ int64) bool {
				_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nX: ")
				for err == nil {
					_, err = io.WriteString(conn, part)
				}
				return false
			})
			s := newSidecar(t, up.url, nil)
			want(t, s.send(t, "POST", "/", "k", "x"), 504, "outcome_unknown")
			if !strings.Contains(s.logs.String(), errHeadTooLong.Error()) {
				t.Errorf("the log does not say why:\n%s", s.logs)
			}
		})
	}
	t.Run("interim answers", func(t *testing.T) {
		up := newRaw(t, func(conn net.Conn, _ *http.Request, _ string, _ int64) bool {
			var err error
			for err == nil {
				_, err = io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\n\r\n")
			}
			return false
		})
		s := newSidecar(t, up.url, nil)
		_, in := s.raw(t, "POST / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Length: 1\r\n\r\nx")
		want(t, final(t, in), 504, "outcome_unknown")
	})
}

// TestLargeRequest: a body that does not fit into one write arrives whole.
func TestLargeRequest(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			var got seen
			up, _ := testUpstream(t, got.handler)
			s := newSidecar(t, strings.Replace(up, "http:", scheme+":", 1), nil)
			body := strings.Repeat("0123456789", 100_000)
			want(t, s.send(t, "POST", "/", "k", body), 200, "")
			if r, text := got.last(); text != body || r.ContentLength != int64(len(body)) {
				t.Errorf("%d bytes of %d, want %d", len(text), r.ContentLength, len(body))
			}
		})
	}
}

// TestEarlyRefusal: an upstream that refuses a large request without reading it,
// and closes, has answered.
func TestEarlyRefusal(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = conn.Read(make([]byte, 100)) // of the header
		_, _ = io.WriteString(conn, "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig")
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, conn)
	}()
	defer func() {
		l.Close()
		<-ended
	}()
	s := newSidecar(t, "http://"+l.Addr().String(), nil)
	for i := range 2 {
		a := s.send(t, "POST", "/", "k", strings.Repeat("x", 1<<20))
		want(t, a, 413, "")
		if a.body != "big" || a.replayed() != (i == 1) {
			t.Errorf("try %d: %q, replayed %v", i, a.body, a.replayed())
		}
	}
}

// TestSentInPart: a request of which the upstream may have read a part is not
// one of which nothing was sent.
func TestSentInPart(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // takes the header, then resets the connection
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		if _, err := io.ReadFull(conn, make([]byte, 100)); err == nil {
			_ = conn.(*net.TCPConn).SetLinger(0)
		}
		_ = conn.Close()
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	const large = 8 << 20 // more than the system takes at once
	s := newSidecar(t, "http://"+l.Addr().String(), func(s *setup) { s.HTTP.MaxBody = large })
	body := strings.Repeat("x", large)
	want(t, s.send(t, "POST", "/", "k1", body), 504, "outcome_unknown")
	want(t, s.send(t, "POST", "/", "k1", body), 409, "outcome_unknown")
}
