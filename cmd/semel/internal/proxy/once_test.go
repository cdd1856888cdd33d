package proxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// dying answers the first request and, on the same connection, executes the next
// one and closes without an answer. Then it answers again.
func dying(conn net.Conn, _ *http.Request, _ string, n int64) bool {
	return n != 2 && answering(conn, nil, "", n)
}

// answering answers every request.
func answering(conn net.Conn, _ *http.Request, _ string, _ int64) bool {
	_, err := io.WriteString(conn, ok200)
	return err == nil
}

// TestOnceOnAReusedConnection: I1, the request goes upstream at most once per
// attempt. net/http sends a request with a key and no body (or a GetBody) again
// when a reused connection dies before the answer.
func TestOnceOnAReusedConnection(t *testing.T) {
	for scheme, raw := range raws {
		t.Run(scheme, func(t *testing.T) {
			for _, c := range []struct{ name, method, body string }{
				{"a body", "POST", `{"amount":1}`},
				{"an empty POST", "POST", ""},
				{"an empty PUT", "PUT", ""},
				{"an empty DELETE", "DELETE", ""},
				{"an empty method of one's own", "CHARGE", ""},
				{"a guarded GET", "GET", ""},
			} {
				t.Run(c.name, func(t *testing.T) {
					up := raw(t, dying)
					s := newSidecar(t, up.url, func(s *setup) {
						s.HTTP.Methods, s.UpstreamTLS = []string{"POST", c.method}, up.roots
					})
					want(t, s.send(t, "POST", "/", "warm", "x"), 200, "")
					want(t, s.send(t, c.method, "/", "k", c.body), 504, "outcome_unknown")
					if got := up.executions.Load(); got != 2 {
						t.Fatalf("%d executions, want 2", got)
					}
					if got := up.connections.Load(); got != 1 {
						t.Fatalf("%d connections, want 1: the second request must reuse the first's", got)
					}
					want(t, s.send(t, c.method, "/", "k", c.body), 409, "outcome_unknown")
					if got := up.executions.Load(); got != 2 {
						t.Fatalf("%d executions after the retry, want 2", got)
					}
				})
			}
		})
	}
}

// TestOnceWithoutGuard: a request that carries a key but is not guarded here is
// not sent twice either (RFC 9110 section 9.2.2).
func TestOnceWithoutGuard(t *testing.T) {
	up := newRaw(t, dying)
	s := newSidecar(t, up.url, func(s *setup) { s.Routes = []Route{{Pattern: "/free", Bypass: true}} })

	want(t, s.send(t, "POST", "/free", "warm", "x"), 200, "")
	want(t, s.send(t, "POST", "/free", "k", ""), 504, "outcome_unknown")
	if got := up.executions.Load(); got != 2 {
		t.Fatalf("%d executions, want 2", got)
	}
	if got := up.connections.Load(); got != 1 {
		t.Fatalf("%d connections, want 1", got)
	}
}

// TestBareReverseProxySendsTwice shows that the upstream of the tests above can
// tell: without the sidecar's care there are two executions.
func TestBareReverseProxySendsTwice(t *testing.T) {
	up := newRaw(t, dying)
	target, err := url.Parse(up.url)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	front := httptest.NewServer(&httputil.ReverseProxy{
		Transport: tr,
		Rewrite:   func(pr *httputil.ProxyRequest) { pr.SetURL(target) },
	})
	defer front.Close()
	s := &sidecar{url: front.URL, client: newClient(t), logs: &logText{}}

	want(t, s.send(t, "POST", "/", "warm", "x"), 200, "")
	want(t, s.send(t, "POST", "/", "k", ""), 200, "")
	if got := up.executions.Load(); got != 3 {
		t.Fatalf("%d executions, want 3: the warm one and the same request twice", got)
	}
}

// TestEmptyBodyOnTheWire: what keeps a request from being sent again does not
// show: no chunks, and the length that servers expect.
func TestEmptyBodyOnTheWire(t *testing.T) {
	for scheme, raw := range raws {
		t.Run(scheme, func(t *testing.T) {
			for method, length := range map[string]string{"POST": "0", "PUT": "0", "PATCH": "0", "CHARGE": "0", "DELETE": "", "GET": ""} {
				t.Run(method, func(t *testing.T) {
					up := raw(t, func(conn net.Conn, r *http.Request, body string, n int64) bool {
						if got := r.Header.Get("Content-Length"); got != length {
							t.Errorf("Content-Length %q, want %q", got, length)
						}
						if len(r.TransferEncoding) != 0 || body != "" {
							t.Errorf("transfer coding %q, body %q, want none", r.TransferEncoding, body)
						}
						return answering(conn, r, body, n)
					})
					s := newSidecar(t, up.url, func(s *setup) {
						s.HTTP.Methods, s.UpstreamTLS = []string{method}, up.roots
					})
					for _, key := range []string{"k1", "k2"} { // the second proves that nothing was left over
						want(t, s.send(t, method, "/", key, ""), 200, "")
					}
					if got := up.connections.Load(); got != 1 {
						t.Errorf("%d connections, want 1", got)
					}
				})
			}
		})
	}
}

// brokenConn fails writes at will, without writing.
type brokenConn struct {
	net.Conn
	broken *atomic.Bool
}

func (c brokenConn) SyscallConn() (syscall.RawConn, error) {
	return c.Conn.(syscall.Conn).SyscallConn()
}

func (c brokenConn) Write(p []byte) (int, error) {
	if c.broken.Load() {
		return 0, syscall.EPIPE
	}
	return c.Conn.Write(p)
}

// brokenDialer gives connections that break when their flag is set; flags has
// one for each connection, in order.
func brokenDialer(flags ...*atomic.Bool) (dialFunc, *atomic.Int64) {
	dial, n := dialer(), new(atomic.Int64)
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if i := int(n.Add(1)) - 1; err == nil && i < len(flags) {
			return brokenConn{conn, flags[i]}, nil
		}
		return conn, err
	}, n
}

// TestUnsentIsSentAgain: an idle connection that turns out to be closed before a
// byte is written costs the client nothing.
func TestUnsentIsSentAgain(t *testing.T) {
	for scheme, raw := range raws {
		t.Run(scheme, func(t *testing.T) {
			for _, body := range []string{"", strings.Repeat("x", 100_000)} {
				up := raw(t, answering)
				first := new(atomic.Bool)
				dial, dials := brokenDialer(first)
				s := newSidecar(t, up.url, func(s *setup) { s.dial, s.UpstreamTLS = dial, up.roots })

				want(t, s.send(t, "POST", "/", "warm", "x"), 200, "")
				first.Store(true)
				want(t, s.send(t, "POST", "/", "k", body), 200, "")
				if got := up.executions.Load(); got != 2 {
					t.Errorf("%d executions, want 2", got)
				}
				if got := dials.Load(); got != 2 {
					t.Errorf("%d dials, want 2", got)
				}
			}
		})
	}
}

// TestUnsentOnAFreshConnectionIsFree: no byte was written, so nothing happened.
func TestUnsentOnAFreshConnectionIsFree(t *testing.T) {
	up := newRaw(t, answering)
	first := new(atomic.Bool)
	first.Store(true)
	dial, _ := brokenDialer(first)
	s := newSidecar(t, up.url, func(s *setup) { s.dial = dial })

	want(t, s.send(t, "POST", "/", "k", "x"), 502, "upstream_unreachable")
	want(t, s.send(t, "POST", "/", "k", "x"), 200, "")
	if got := up.executions.Load(); got != 1 {
		t.Errorf("%d executions, want 1", got)
	}
}
