package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// sidecar is a running Server.
type sidecar struct {
	url, admin string
	handler    http.Handler
	server     *Server
	cfg        Config // what server was made with
	metrics    *Metrics
	logs       *logText
	end        context.CancelFunc
	done       chan error // gets what Run returned
	client     *http.Client
}

// setup is what a test may change before the sidecar starts.
type setup struct {
	store  semel.Store
	engine semel.Config
	dial   dialFunc
	Config
}

// newSidecar starts a sidecar in front of upstream and stops it when the test
// ends. It fails the test when the end is not clean, unless the test has taken
// the error from done.
func newSidecar(t *testing.T, upstream string, change func(*setup)) *sidecar {
	t.Helper()
	u, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	c := &sidecar{logs: &logText{}, done: make(chan error, 1)}
	logger := slog.New(slog.NewTextHandler(c.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	type addrs struct{ listen, admin net.Addr }
	ready := make(chan addrs, 1)
	s := setup{
		store: memstore.New(memstore.Config{}), dial: dialer(),
		Config: Config{
			Upstream: u, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Logger: logger, Metrics: NewMetrics(""),
			Ready: func(listen, admin net.Addr) { ready <- addrs{listen, admin} },
		},
	}
	s.engine.Logger, s.engine.Observe = logger, s.Metrics.Observe
	if change != nil {
		change(&s)
	}
	engine, err := semel.New(s.store, s.engine)
	if err != nil {
		t.Fatal(err)
	}
	server, err := newServer(engine, semelhttp.Global(), s.Config, s.dial)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	c.end, c.handler, c.metrics, c.server, c.cfg = end, server.Handler(), s.Metrics, server, s.Config
	go func() { c.done <- server.Run(ctx) }()
	var at addrs
	select {
	case at = <-ready:
	case err := <-c.done: // perhaps after it was ready
		select {
		case at = <-ready:
			c.done <- err
		default:
			t.Fatal(err)
		}
	}
	c.url = "http://" + at.listen.String()
	if at.admin != nil {
		c.admin = "http://" + at.admin.String()
	}
	c.client = newClient(t)
	t.Cleanup(func() {
		end()
		if err := <-c.done; err != nil {
			t.Errorf("Run: %v\n%s", err, c.logs)
		}
	})
	return c
}

// stop ends the sidecar and returns what Run returned.
func (c *sidecar) stop() error {
	c.end()
	err := <-c.done
	c.done <- nil
	return err
}

func newClient(t *testing.T) *http.Client {
	t.Helper()
	tr := &http.Transport{DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{
		Transport:     tr,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answer is a response with its body read.
type answer struct {
	*http.Response
	body string
}

// code is the problem's.
func (a answer) code() string {
	var p struct{ Code string }
	_ = json.Unmarshal([]byte(a.body), &p)
	return p.Code
}

func (a answer) replayed() bool { return a.Header.Get(semelhttp.HeaderReplayed) == "true" }

// send makes a request with a key, "" for none, and fields as name, value pairs.
func (c *sidecar) send(t *testing.T, method, path, key, body string, fields ...string) answer {
	t.Helper()
	a, err := c.try(t, method, path, key, body, fields...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", method, path, err, c.logs)
	}
	return a
}

func (c *sidecar) try(t *testing.T, method, path, key, body string, fields ...string) (answer, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.GetBody = nil // so that this client sends once
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Add(fields[i], fields[i+1])
	}
	res, err := c.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return answer{res, string(text)}, err
}

// want fails the test unless a has the status and, if not "", the problem code.
func want(t *testing.T, a answer, status int, code string) {
	t.Helper()
	if a.StatusCode != status || code != "" && a.code() != code {
		t.Fatalf("got %d %q, want %d %q\n%s", a.StatusCode, a.code(), status, code, a.body)
	}
}

// schemes reach a test upstream over plain HTTP/1.1 and over HTTP/2: with
// connections of the sidecar's own and with net/http's.
var schemes = []string{"http", "h2c"}

// testUpstream serves h and counts its requests.
func testUpstream(t *testing.T, h http.HandlerFunc) (addr string, hits *atomic.Int64) {
	t.Helper()
	hits = new(atomic.Int64)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		h(w, r)
	}))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.URL, hits
}

// rawUpstream speaks HTTP/1 by hand, so that it can misbehave.
type rawUpstream struct {
	url         string
	roots       *tls.Config // trusts it, when it speaks TLS
	executions  atomic.Int64
	connections atomic.Int64
	gone        chan struct{} // gets one for every connection whose end it has seen
}

// executor answers the nth request, from 1. The connection goes on while it
// returns true.
type executor func(conn net.Conn, r *http.Request, body string, n int64) bool

// newRaw executes every request that came whole.
func newRaw(t *testing.T, execute executor) *rawUpstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &rawUpstream{url: "http://" + l.Addr().String()}
	u.serve(t, l, execute)
	return u
}

// newRawTLS is newRaw over TLS, with HTTP/1.1.
func newRawTLS(t *testing.T, execute executor) *rawUpstream {
	t.Helper()
	lender := httptest.NewTLSServer(nil) // of a certificate
	defer lender.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: lender.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	u := &rawUpstream{url: "https://" + l.Addr().String(), roots: &tls.Config{RootCAs: x509.NewCertPool()}}
	u.roots.RootCAs.AddCert(lender.Certificate())
	u.serve(t, l, execute)
	return u
}

func (u *rawUpstream) serve(t *testing.T, l net.Listener, execute executor) {
	t.Helper()
	u.gone = make(chan struct{}, 100)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	one := func(conn net.Conn) {
		defer conn.Close()
		for in := bufio.NewReader(conn); ; {
			r, err := http.ReadRequest(in)
			if err != nil {
				u.gone <- struct{}{}
				return
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			if !execute(conn, r, string(body), u.executions.Add(1)) {
				return
			}
		}
	}
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			u.connections.Add(1)
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			wg.Go(func() { one(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
}

// raws are raw upstreams over plain HTTP/1.1, for which the sidecar has
// connections of its own, and over TLS, where it uses net/http's.
var raws = map[string]func(*testing.T, executor) *rawUpstream{"http": newRaw, "https": newRawTLS}

const ok200 = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// logText is a log.
type logText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
