package proxy

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

// refusedAddr is an address where nobody listens.
func refusedAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

// TestUpstreamDown: nothing was sent, so the key is free.
func TestUpstreamDown(t *testing.T) {
	s := newSidecar(t, refusedAddr(t), nil)
	for range 2 {
		a := s.send(t, "POST", "/", "k", "x")
		want(t, a, 502, "upstream_unreachable")
		if got := a.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("Cache-Control %q, want no-store", got)
		}
	}
	if strings.Contains(s.logs.String(), "outcome is not known") {
		t.Errorf("the log calls an unsent request unknown:\n%s", s.logs)
	}
}

// TestUpstreamUnresolved: neither is a name that does not exist.
func TestUpstreamUnresolved(t *testing.T) {
	s := newSidecar(t, "http://upstream.invalid", func(s *setup) {
		s.dial = func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.DNSError{Err: "no such host", Name: "upstream.invalid", IsNotFound: true}
		}
	})
	want(t, s.send(t, "POST", "/", "k", "x"), 502, "upstream_unreachable")
	want(t, s.send(t, "POST", "/", "k", "x"), 502, "upstream_unreachable")
}

// TestUpstreamNotTrusted: nor is one whose certificate is not trusted.
func TestUpstreamNotTrusted(t *testing.T) {
	hits := 0
	up := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits++ }))
	up.Config.ErrorLog = quiet()
	up.StartTLS()
	defer up.Close()
	s := newSidecar(t, up.URL, nil)
	want(t, s.send(t, "POST", "/", "k", "x"), 502, "upstream_unreachable")
	want(t, s.send(t, "POST", "/", "k", "x"), 502, "upstream_unreachable")
	if hits != 0 {
		t.Errorf("%d hits, want 0", hits)
	}
}

// TestUpstreamTLS: over TLS, HTTP/1.1 and HTTP/2 alike, an answer is kept and a
// request that was sent and not answered is held.
func TestUpstreamTLS(t *testing.T) {
	for _, c := range []struct {
		name  string
		http2 bool
	}{{"HTTP/1.1", false}, {"HTTP/2.0", true}} {
		t.Run(c.name, func(t *testing.T) {
			up := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Proto != c.name {
					t.Errorf("protocol %s, want %s", r.Proto, c.name)
				}
				if r.URL.Path == "/die" {
					panic(http.ErrAbortHandler)
				}
				_, _ = io.WriteString(w, "done")
			}))
			up.EnableHTTP2 = c.http2
			up.StartTLS()
			defer up.Close()
			pool := up.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
			s := newSidecar(t, up.URL, func(s *setup) { s.UpstreamTLS = &tls.Config{RootCAs: pool} })

			want(t, s.send(t, "POST", "/", "k", "x"), 200, "")
			a := s.send(t, "POST", "/", "k", "x")
			want(t, a, 200, "")
			if !a.replayed() || a.body != "done" {
				t.Errorf("got %q, replayed %v, want a replay of done", a.body, a.replayed())
			}
			want(t, s.send(t, "POST", "/die", "k2", "x"), 504, "outcome_unknown")
			want(t, s.send(t, "POST", "/die", "k2", "x"), 409, "outcome_unknown")
		})
	}
}

// TestUpstreamDiesHalfWay: something was sent and no whole answer came back, at
// whatever byte. The client gets a refusal, not a dead connection, and the key
// is held (I2: what may have happened never runs again by itself).
func TestUpstreamDiesHalfWay(t *testing.T) {
	for _, c := range []struct{ name, answer string }{
		{"before the answer", ""},
		{"in the status line", "HTTP/1.1 20"},
		{"in the header", "HTTP/1.1 200 OK\r\nContent-Le"},
		{"before the body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"},
		{"in the body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"},
		{"in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhalf"},
		{"before the last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"},
		{"in a large body", "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nhalf"},
		{"after 103", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"},
		{"with nonsense", "nonsense\r\n\r\n"},
		{"switching to nothing asked for", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := newRaw(t, func(conn net.Conn, _ *http.Request, _ string, _ int64) bool {
				_, _ = io.WriteString(conn, c.answer)
				return false
			})
			s := newSidecar(t, up.url, nil)
			want(t, s.send(t, "POST", "/", "k", "x"), 504, "outcome_unknown")
			want(t, s.send(t, "POST", "/", "k", "x"), 409, "outcome_unknown")
			if got := up.executions.Load(); got != 1 {
				t.Errorf("%d executions, want 1", got)
			}
		})
	}
}

// TestFreezeAllDoesNotFreezeDoubt: a refusal of the sidecar is not an answer of
// the upstream, whatever the preset keeps.
func TestFreezeAllDoesNotFreezeDoubt(t *testing.T) {
	up := newRaw(t, func(net.Conn, *http.Request, string, int64) bool { return false })
	s := newSidecar(t, up.url, func(s *setup) { s.HTTP.Preset = semelhttp.FreezeAll })
	want(t, s.send(t, "POST", "/", "k", "x"), 504, "outcome_unknown")
	want(t, s.send(t, "POST", "/", "k", "x"), 409, "outcome_unknown")
	s = newSidecar(t, refusedAddr(t), func(s *setup) { s.HTTP.Preset = semelhttp.FreezeAll })
	for range 2 {
		a := s.send(t, "POST", "/", "k", "x")
		want(t, a, 502, "upstream_unreachable")
		if a.replayed() {
			t.Error("a refusal was replayed")
		}
	}
}

// TestUpstreamIsTooSlow: an answer that does not come, or does not end, in time
// leaves the outcome unknown.
func TestUpstreamIsTooSlow(t *testing.T) {
	for _, c := range []struct{ name, answer string }{
		{"nothing", ""},
		{"half a header", "HTTP/1.1 200 OK\r\nContent-Le"},
		{"half a body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"},
	} {
		t.Run(c.name, func(t *testing.T) {
			gone := make(chan struct{})
			up := newRaw(t, func(conn net.Conn, _ *http.Request, _ string, _ int64) bool {
				defer close(gone)
				_, _ = io.WriteString(conn, c.answer)
				_, _ = conn.Read(make([]byte, 1)) // until the sidecar gives up
				return false
			})
			s := newSidecar(t, up.url, func(s *setup) { s.UpstreamTimeout = 50 * time.Millisecond })
			want(t, s.send(t, "POST", "/", "k", "x"), 504, "outcome_unknown")
			<-gone
			want(t, s.send(t, "POST", "/", "k", "x"), 409, "outcome_unknown")
			if got := up.executions.Load(); got != 1 {
				t.Errorf("%d executions, want 1", got)
			}
			if !strings.Contains(s.logs.String(), errUpstreamTimeout.Error()) {
				t.Errorf("the log does not say why:\n%s", s.logs)
			}
		})
	}
}

// TestUnguardedFailures: requests without a claim get the same truth.
func TestUnguardedFailures(t *testing.T) {
	t.Run("down", func(t *testing.T) {
		s := newSidecar(t, refusedAddr(t), nil)
		want(t, s.send(t, "GET", "/", "", ""), 502, "upstream_unreachable")
	})
	t.Run("dies", func(t *testing.T) {
		up := newRaw(t, func(net.Conn, *http.Request, string, int64) bool { return false })
		s := newSidecar(t, up.url, func(s *setup) { s.HTTP.Optional = true })
		want(t, s.send(t, "POST", "/", "", "x"), 504, "outcome_unknown")
		a := s.send(t, "GET", "/", "", "")
		want(t, a, 504, "")
		if got := a.code(); got != "" { // a GET has no outcome to worry about
			t.Errorf("code %q, want none", got)
		}
	})
}

// TestLapsedRerun: with the policy rerun a retry runs again, and the upstream
// can tell by the fence and the attempt.
func TestLapsedRerun(t *testing.T) {
	var mu sync.Mutex
	var fences, attempts []string
	up := newRaw(t, func(conn net.Conn, r *http.Request, _ string, n int64) bool {
		mu.Lock()
		defer mu.Unlock()
		fences = append(fences, r.Header.Get(HeaderFence))
		attempts = append(attempts, r.Header.Get(HeaderAttempt))
		if n == 1 {
			return false
		}
		_, err := io.WriteString(conn, ok200)
		return err == nil
	})
	s := newSidecar(t, up.url, func(s *setup) { s.HTTP.Lapsed = semel.Rerun })
	want(t, s.send(t, "POST", "/", "k", "x"), 504, "outcome_unknown")
	want(t, s.send(t, "POST", "/", "k", "x"), 200, "")
	mu.Lock()
	defer mu.Unlock()
	if strings.Join(attempts, " ") != "1 2" {
		t.Errorf("attempts %q, want 1 and 2", attempts)
	}
	if len(fences) != 2 || len(fences[1]) < len(fences[0]) || fences[1] <= fences[0] {
		t.Errorf("fences %q, want the second larger", fences)
	}
}

// TestNothingSecretIsLogged: no key, scope, path or body of a failed request, and
// nothing of a malformed answer, which may repeat them.
func TestNothingSecretIsLogged(t *testing.T) {
	for scheme, raw := range raws {
		for _, answer := range []string{
			"", "secret\r\n\r\n", "HTTP/1.1 secret\r\n\r\n", "HTTP/1.1 200 OK\r\nsecret \"secret\\\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: secret\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: secret\r\n\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nsecret\r\n",
		} {
			up := raw(t, func(conn net.Conn, _ *http.Request, _ string, _ int64) bool {
				_, _ = io.WriteString(conn, answer)
				return false
			})
			s := newSidecar(t, up.url, func(s *setup) { s.UpstreamTLS = up.roots })
			want(t, s.send(t, "POST", "/path-secret?q=secret", "key-secret", "body-secret", "Authorization", "scope-secret"), 504, "outcome_unknown")
			_, _ = s.try(t, "GET", "/path-secret", "", "", "Authorization", "scope-secret") // answered or cut
			if got := s.logs.String(); strings.Contains(got, "secret") || !strings.Contains(got, "outcome is not known") {
				t.Errorf("%s, %q: the log:\n%s", scheme, answer, got)
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	engine, err := semel.New(newStore(), semel.Config{})
	if err != nil {
		t.Fatal(err)
	}
	scope := semelhttp.Global()
	good := func() Config { return Config{Upstream: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}} }
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no upstream", func(c *Config) { c.Upstream = nil }, "no upstream"},
		{"scheme", func(c *Config) { c.Upstream = &url.URL{Scheme: "ftp", Host: "h"} }, "http, https or h2c"},
		{"no host", func(c *Config) { c.Upstream = &url.URL{Scheme: "http", Host: ":80"} }, "host is missing"},
		{"user", func(c *Config) { c.Upstream.User = url.UserPassword("u", "hidden") }, "only scheme"},
		{"query", func(c *Config) { c.Upstream.RawQuery = "a=b" }, "only scheme"},
		{"host", func(c *Config) { c.UpstreamHost = "a\r\nB: c" }, "is not a host"},
		{"timeout", func(c *Config) { c.UpstreamTimeout = -1 }, "UpstreamTimeout"},
		{"middleware", func(c *Config) { c.HTTP.Headers = []string{"not a name"} }, "not a field name"},
		{"key field", func(c *Config) { c.HTTP.Headers = []string{"transfer-encoding"} }, "cannot carry a key"},
		{"key field of a route", func(c *Config) {
			c.Routes = []Route{{Pattern: "/a", Change: func(h *semelhttp.Config) { h.Headers = []string{"Host"} }}}
		}, "cannot carry a key"},
		{"pattern", func(c *Config) { c.Routes = []Route{{Pattern: "POST"}} }, `route "POST"`},
		{"same pattern", func(c *Config) { c.Routes = []Route{{Pattern: "/a"}, {Pattern: "/a"}} }, "conflicts"},
		{"route", func(c *Config) {
			c.Routes = []Route{{Pattern: "/a", Change: func(h *semelhttp.Config) { h.MaxBody = -1 }}}
		}, "MaxBody"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := good()
			c.change(&cfg)
			_, err := New(engine, scope, cfg)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hidden") {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	if _, err := New(nil, scope, good()); err == nil {
		t.Error("no engine: got nil, want an error")
	}
	if _, err := New(engine, nil, good()); err == nil {
		t.Error("no scope: got nil, want an error")
	}
	if _, err := New(engine, scope, good()); err != nil {
		t.Errorf("got %v, want nil", err)
	}
}

// TestPortInUse: the error names the setting and the address.
func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for setting, cfg := range map[string]Config{
		"listen": {Listen: l.Addr().String()},
		"admin":  {Listen: "127.0.0.1:0", Admin: l.Addr().String()},
	} {
		engine, err := semel.New(newStore(), semel.Config{})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Upstream = &url.URL{Scheme: "http", Host: "127.0.0.1:1"}
		s, err := New(engine, semelhttp.Global(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		err = s.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), setting) || !strings.Contains(err.Error(), l.Addr().String()) {
			t.Errorf("got %v, want an error with %s and %v", err, setting, l.Addr())
		}
	}
}
