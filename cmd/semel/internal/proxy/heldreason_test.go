package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
)

// wantHeld wants one line about a held attempt, with reason.
func (c *sidecar) wantHeld(t *testing.T, reason string) {
	t.Helper()
	text := c.logs.String()
	if n := strings.Count(text, "an attempt is held"); n != 1 || !strings.Contains(text, `reason="`+reason+`" ref=`) {
		t.Errorf("%d lines about held attempts, want one with the reason %q:\n%s", n, reason, text)
	}
	if strings.Contains(text, "secret-word") {
		t.Errorf("the log has what the upstream said:\n%s", text)
	}
}

// TestHeldReason: the line of a held attempt says how the upstream has left it, in words of
// the sidecar's own.
func TestHeldReason(t *testing.T) {
	says := func(text string) executor {
		return func(conn net.Conn, _ *http.Request, _ string, _ int64) bool {
			_, _ = io.WriteString(conn, text)
			return false
		}
	}
	for want, execute := range map[string]executor{
		"the connection to the upstream was lost":  says(""),
		"the upstream's answer was cut short":      says("HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\nsecret-word"),
		"the upstream's answer is no answer":       says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: secret-word\r\nConnection: Upgrade\r\n\r\n"),
		"status 502 by the settle table":           says("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 11\r\n\r\nsecret-word"),
		"the upstream said hold":                   says("HTTP/1.1 200 OK\r\nSemel-Settle: hold\r\nContent-Length: 0\r\n\r\n"),
		"the upstream's Semel-Settle is malformed": says("HTTP/1.1 200 OK\r\nSemel-Settle: secret-word\r\nContent-Length: 0\r\n\r\n"),
		"gRPC status 4 by the settle table": says("HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nGrpc-Status: 4\r\n" +
			"Content-Length: 0\r\n\r\n"),
		"the gRPC call has no status": says("HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n"),
		"the upstream did not answer in time": func(conn net.Conn, _ *http.Request, _ string, _ int64) bool {
			_, _ = conn.Read(make([]byte, 1)) // until the sidecar hangs up
			return false
		},
	} {
		t.Run(want, func(t *testing.T) {
			s := newSidecar(t, newRaw(t, execute).url, func(s *setup) { s.UpstreamTimeout = 500 * time.Millisecond })
			_ = s.send(t, "POST", "/", "k", "x")
			s.wantHeld(t, want)
		})
	}
}

// TestHeldReasonOfAStream: one that breaks off before it is known to be an outcome.
func TestHeldReasonOfAStream(t *testing.T) {
	s := newSidecar(t, newRaw(t, func(conn net.Conn, _ *http.Request, _ string, _ int64) bool {
		_, _ = io.WriteString(conn, "HTTP/1.1 502 Bad Gateway\r\nX-Accel-Buffering: no\r\nContent-Length: 40\r\n\r\nsecret-word")
		return false
	}).url, nil)
	_, _ = s.try(t, "POST", "/", "k", "x")
	s.wantHeld(t, "the upstream's answer was cut short")
}

// TestDoubt: what ends an attempt's context is told apart from what the upstream does.
func TestDoubt(t *testing.T) {
	for want, err := range map[string]error{
		"max_run is over":                         semel.ErrOverran,
		"the lease is lost":                       semel.ErrLost,
		"the sidecar has ended":                   semel.ErrClosed,
		"the connection to the upstream was lost": errors.New("read: secret-word"),
	} {
		if got := doubt(fmt.Errorf("on the way: %w", err)); got != want {
			t.Errorf("%v: got %q, want %q", err, got, want)
		}
	}
}

// TestRefusalNamesItsRecord: the line of a refusal has the reference that the client got.
func TestRefusalNamesItsRecord(t *testing.T) {
	up, _ := testUpstream(t, func(http.ResponseWriter, *http.Request) {})
	s := newSidecar(t, up, nil)
	want(t, s.send(t, "POST", "/", "k", "x"), 200, "")
	want(t, s.send(t, "POST", "/", "k", "y"), 422, "idempotency_key_conflict")
	ref := s.server.engine.Ref(semel.Key{Scope: "g:", ID: "k"})
	if text := s.logs.String(); !strings.Contains(text, `code=idempotency_key_conflict status=422 route="" ref=`+ref) {
		t.Errorf("no line of the refusal has the reference %s:\n%s", ref, text)
	}
}
