package proxy

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

func newStore() semel.Store { return memstore.New(memstore.Config{}) }

func quiet() *log.Logger { return slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) }

// raw writes text to the sidecar on a connection of its own.
func (c *sidecar) raw(t *testing.T, text string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

// one reads the next response, 1xx included, and its body.
func one(t *testing.T, in *bufio.Reader) answer {
	t.Helper()
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res, string(body)}
}

// final reads the response after any 1xx.
func final(t *testing.T, in *bufio.Reader) answer {
	t.Helper()
	for {
		if a := one(t, in); a.StatusCode >= 200 {
			return a
		}
	}
}

// seen keeps the last request of an upstream.
type seen struct {
	mu   sync.Mutex
	r    *http.Request
	body string
}

func (s *seen) handler(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.r, s.body = r, string(body)
	_, _ = io.WriteString(w, "ok")
}

func (s *seen) last() (*http.Request, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.r, s.body
}

// TestRequestPasses: the upstream sees the request as the client wrote it, with
// the key byte for byte, and what Semel says about the attempt.
func TestRequestPasses(t *testing.T) {
	var up seen
	url, _ := testUpstream(t, up.handler)
	s := newSidecar(t, url, nil)
	const key = `  "a quoted-key"  `
	conn, in := s.raw(t, "POST /a%2Fb//c;x?q=1;2&%zz&r=%20 HTTP/1.1\r\nHost: shop.example\r\n"+
		"Idempotency-Key:"+strings.ReplaceAll(key, "a quoted", "quoted")+"\r\n"+
		"Connection: Idempotency-Key, X-Hop\r\nX-Hop: 1\r\nX-End: 2\r\nUser-Agent: me\r\n"+
		"Semel-Fence: 666\r\nsemel-attempt: 666\r\nSemel_Fence: 666\r\nSemel-Settle: keep\r\n"+
		"Keep-Alive: timeout=5\r\nProxy-Authorization: Basic eA==\r\nTe: gzip\r\n"+
		"Expect: 100-continue\r\nContent-Length: 4\r\n\r\nbody")
	defer conn.Close()
	want(t, final(t, in), 200, "")
	r, body := up.last()
	if r.RequestURI != "/a%2Fb//c;x?q=1;2&%zz&r=%20" || r.Host != "shop.example" || body != "body" || r.ContentLength != 4 {
		t.Errorf("got %q for %q with %q (%d)", r.RequestURI, r.Host, body, r.ContentLength)
	}
	for name, want := range map[string]string{
		"Idempotency-Key": `["quoted-key"]`, "X-Hop": "[]", "X-End": "[2]", "User-Agent": "[me]",
		"Semel-Attempt": "[1]", "Semel_fence": "[]", "Semel-Settle": "[]", "Expect": "[]",
		"Connection": "[]", "Keep-Alive": "[]", "Proxy-Authorization": "[]", "Te": "[]",
		"X-Forwarded-For": "[127.0.0.1]", "X-Forwarded-Host": "[shop.example]", "X-Forwarded-Proto": "[http]",
	} {
		if got := fmt.Sprint(r.Header[name]); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if fence := r.Header[HeaderFence]; len(fence) != 1 || fence[0] == "666" || fence[0] == "" {
		t.Errorf("fence %q", fence)
	}
}

// TestNothingIsAdded: no name of net/http and no wish for a coding, on any way to
// the upstream.
func TestNothingIsAdded(t *testing.T) {
	var up seen
	url, _ := testUpstream(t, up.handler)
	for _, scheme := range schemes {
		s := newSidecar(t, strings.Replace(url, "http:", scheme+":", 1), nil)
		for _, method := range []string{"POST", "GET"} {
			_, in := s.raw(t, method+" / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\n\r\n")
			want(t, final(t, in), 200, "")
			r, _ := up.last()
			for _, name := range []string{"User-Agent", "Accept-Encoding", "Te", "Connection"} {
				if got := r.Header[name]; got != nil {
					t.Errorf("%s %s: %s: %q, want none", scheme, method, name, got)
				}
			}
		}
	}
}

// TestOneContentLength: a second one, even if equal, would be a way to smuggle.
func TestOneContentLength(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := newSidecar(t, "http://"+l.Addr().String(), nil)
	_, in := s.raw(t, "POST / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Length: 4\r\n\r\nbody")
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	lengths := 0
	for head := bufio.NewReader(conn); ; {
		line, err := head.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == "\r\n" {
			break
		}
		if strings.HasPrefix(strings.ToLower(line), "content-length:") {
			lengths++
		}
	}
	if lengths != 1 {
		t.Errorf("%d lines of Content-Length, want 1", lengths)
	}
	_, _ = io.WriteString(conn, ok200)
	want(t, final(t, in), 200, "")
}

// TestChunkedRequest: a body without a length is read whole and sent with one.
func TestChunkedRequest(t *testing.T) {
	var up seen
	url, hits := testUpstream(t, up.handler)
	s := newSidecar(t, url, nil)
	const head = "POST / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\n"
	_, in := s.raw(t, head+"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
	want(t, final(t, in), 200, "")
	if r, body := up.last(); body != "abcde" || r.ContentLength != 5 || len(r.TransferEncoding) != 0 {
		t.Errorf("got %q, length %d, coding %q", body, r.ContentLength, r.TransferEncoding)
	}
	// The same bytes with a length are the same request.
	_, in = s.raw(t, head+"Content-Length: 5\r\n\r\nabcde")
	if a := final(t, in); !a.replayed() {
		t.Errorf("got %d, not a replay", a.StatusCode)
	}
	if got := hits.Load(); got != 1 {
		t.Errorf("%d hits, want 1", got)
	}
}

// TestBodyCutShort: nothing goes upstream, and the key is not touched.
func TestBodyCutShort(t *testing.T) {
	var up seen
	url, hits := testUpstream(t, up.handler)
	s := newSidecar(t, url, nil)
	const head = "POST / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\n"
	for _, text := range []string{
		"Content-Length: 100\r\n\r\nshort",
		"Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
		"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
	} {
		conn, in := s.raw(t, head+text)
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		want(t, final(t, in), 400, "body_incomplete")
	}
	if got := hits.Load(); got != 0 {
		t.Errorf("%d hits, want 0", got)
	}
	want(t, s.send(t, "POST", "/", "k", "whole"), 200, "")
}

// TestSlowBody: a client that never sends its body is not waited for.
func TestSlowBody(t *testing.T) {
	url, hits := testUpstream(t, new(seen).handler)
	s := newSidecar(t, url, func(s *setup) { s.ReadTimeout = 50 * time.Millisecond })
	_, in := s.raw(t, "POST / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Length: 100\r\n\r\nshort")
	want(t, final(t, in), 400, "body_incomplete")
	if got := hits.Load(); got != 0 {
		t.Errorf("%d hits, want 0", got)
	}
}

// deadlines records the read deadlines that a handler sets.
type deadlines struct {
	http.ResponseWriter
	set []time.Time
}

func (d *deadlines) SetReadDeadline(at time.Time) error {
	d.set = append(d.set, at)
	return nil
}

// TestReadTimeoutIsLifted: an answer may take longer than the request may.
func TestReadTimeoutIsLifted(t *testing.T) {
	url, _ := testUpstream(t, new(seen).handler)
	s := newSidecar(t, url, nil)
	for _, method := range []string{"POST", "GET"} {
		w := &deadlines{ResponseWriter: httptest.NewRecorder()}
		r := httptest.NewRequestWithContext(t.Context(), method, "/", nil)
		r.Header.Set("Idempotency-Key", "k")
		s.handler.ServeHTTP(w, r)
		if len(w.set) != 1 || !w.set[0].IsZero() {
			t.Errorf("%s: deadlines %v, want one that is zero", method, w.set)
		}
	}
}

// TestExpectContinue: the client is told to go on when its body is wanted, and
// gets the refusal at once when not.
func TestExpectContinue(t *testing.T) {
	var up seen
	url, hits := testUpstream(t, up.handler)
	s := newSidecar(t, url, nil)
	const head = "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n"
	conn, in := s.raw(t, head+"Idempotency-Key: k\r\n\r\n")
	want(t, one(t, in), 100, "")
	_, _ = io.WriteString(conn, "body")
	want(t, final(t, in), 200, "")

	_, in = s.raw(t, head+"\r\n")
	want(t, one(t, in), 400, "key_missing") // without a 100
	if got := hits.Load(); got != 1 {
		t.Errorf("%d hits, want 1", got)
	}
}

// TestHTTP10: an old client is served, without 1xx.
func TestHTTP10(t *testing.T) {
	url, hits := testUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "ok")
	})
	s := newSidecar(t, url, nil)
	for i := range 2 {
		_, in := s.raw(t, "POST / HTTP/1.0\r\nIdempotency-Key: k\r\nContent-Length: 1\r\n\r\nx")
		a := one(t, in)
		want(t, a, 200, "")
		if a.body != "ok" || a.replayed() != (i == 1) {
			t.Errorf("try %d: %q, replayed %v", i, a.body, a.replayed())
		}
	}
	if got := hits.Load(); got != 1 {
		t.Errorf("%d hits, want 1", got)
	}
}

// TestWithoutKey: refused by default, passed when configured.
func TestWithoutKey(t *testing.T) {
	var up seen
	url, hits := testUpstream(t, up.handler)
	s := newSidecar(t, url, nil)
	want(t, s.send(t, "POST", "/", "", "x"), 400, "key_missing")
	if got := hits.Load(); got != 0 {
		t.Errorf("%d hits, want 0", got)
	}
	s = newSidecar(t, url, func(s *setup) { s.HTTP.Optional = true })
	for range 2 {
		want(t, s.send(t, "POST", "/", "", "x"), 200, "")
	}
	if r, body := up.last(); hits.Load() != 2 || body != "x" || r.Header[HeaderFence] != nil {
		t.Errorf("%d hits, %q, %v", hits.Load(), body, r.Header)
	}
}

// TestForwarded: what a client claims counts only where it is trusted.
func TestForwarded(t *testing.T) {
	for _, trust := range []bool{false, true} {
		var up seen
		url, _ := testUpstream(t, up.handler)
		s := newSidecar(t, url, func(s *setup) { s.TrustForwarded, s.UpstreamHost = trust, "inner.example" })
		want(t, s.send(t, "POST", "/", "k", "x", "X-Forwarded-For", "1.2.3.4", "X-Forwarded-Proto", "https",
			"X-Forwarded-Host", "outer.example", "Forwarded", "for=1.2.3.4"), 200, "")
		r, _ := up.last()
		got := fmt.Sprint(r.Host, r.Header["X-Forwarded-For"], r.Header["X-Forwarded-Proto"], r.Header["X-Forwarded-Host"], r.Header["Forwarded"])
		wanted := map[bool]string{
			false: "inner.example[127.0.0.1] [http] [" + strings.TrimPrefix(s.url, "http://") + "] []",
			true:  "inner.example[1.2.3.4, 127.0.0.1] [https] [outer.example] [for=1.2.3.4]",
		}[trust]
		if got != wanted {
			t.Errorf("trust %v: got %s, want %s", trust, got, wanted)
		}
	}
}

// TestUpstreamPath: the upstream's path comes first.
func TestUpstreamPath(t *testing.T) {
	var up seen
	url, _ := testUpstream(t, up.handler)
	s := newSidecar(t, url+"/base", nil)
	want(t, s.send(t, "POST", "/a%2Fb?q", "k", "x"), 200, "")
	if r, _ := up.last(); r.RequestURI != "/base/a%2Fb?q" {
		t.Errorf("got %s", r.RequestURI)
	}
}

// TestConnect: a tunnel is refused.
func TestConnect(t *testing.T) {
	url, hits := testUpstream(t, new(seen).handler)
	s := newSidecar(t, url, nil)
	_, in := s.raw(t, "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
	if a := final(t, in); a.StatusCode != 405 || hits.Load() != 0 {
		t.Errorf("got %d, %d hits, want 405 and none", a.StatusCode, hits.Load())
	}
}

// TestRoutes: each pattern has its own rules, no path is redirected, and a path
// that is not clean does not slip past its route.
func TestRoutes(t *testing.T) {
	var up seen
	url, _ := testUpstream(t, up.handler)
	s := newSidecar(t, url, func(s *setup) {
		s.Routes = []Route{
			{Pattern: "/open/", Bypass: true},
			{Pattern: "POST /strict", Change: func(h *semelhttp.Config) { h.MaxBody = 1 }},
			{Pattern: "POST /own", Change: func(h *semelhttp.Config) { h.Headers = []string{"X-Own"} }},
			{Pattern: "/same"},
		}
	})
	for _, c := range []struct {
		path, key, body string
		fields          []string
		status          int
		code            string
	}{
		{path: "/open/a", status: 200},
		{path: "/open//a", status: 200},
		{path: "/open/../strict", key: "k1", body: "xx", status: 413, code: "body_too_large"},
		{path: "/strict", key: "k2", body: "xx", status: 413, code: "body_too_large"},
		{path: "//strict", key: "k3", body: "xx", status: 413, code: "body_too_large"},
		{path: "/strict", key: "k4", body: "x", status: 200},
		{path: "/own", key: "k5", status: 400, code: "key_missing"},
		{path: "/own", fields: []string{"X-Own", "k6"}, status: 200},
		{path: "/same", status: 400, code: "key_missing"},
		{path: "/other", status: 400, code: "key_missing"},
		{path: "/open", status: 400, code: "key_missing"}, // a mux would redirect it
	} {
		a := s.send(t, "POST", c.path, c.key, c.body, c.fields...)
		if a.StatusCode != c.status || a.code() != c.code {
			t.Errorf("%s: got %d %q, want %d %q", c.path, a.StatusCode, a.code(), c.status, c.code)
		}
		if r, _ := up.last(); c.status == 200 && r.URL.Path != c.path {
			t.Errorf("%s arrived as %s", c.path, r.URL.Path)
		}
	}
}
