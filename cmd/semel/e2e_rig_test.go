package main

import (
	"bufio"
	"bytes"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// binary builds the real command, once for all tests, beside the other programs
// that the tests drive.
var binary = sync.OnceValues(func() (string, error) {
	path, err := filepath.Abs("../../.bin/semel-e2e")
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", &buildError{string(out), err}
	}
	return path, nil
})

type buildError struct {
	out string
	err error
}

func (e *buildError) Error() string { return e.err.Error() + ": " + e.out }

// readyToServe is the line of the log that says where the proxy listens.
var readyToServe = regexp.MustCompile(`msg=ready listen=([0-9.:]+)`)

// sidecar is a running semel proxy. It can be started again with the same
// arguments and on the same address.
type sidecar struct {
	args []string
	addr string
	cmd  *exec.Cmd
	log  *lockedBuffer
	done chan error
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func startSidecar(t *testing.T, upstream string, args ...string) *sidecar {
	t.Helper()
	s := &sidecar{
		args: append([]string{"proxy", "--upstream", upstream, "--admin", "off", "--scope", "header:Authorization"}, args...),
		addr: "127.0.0.1:0",
	}
	s.start(t)
	t.Cleanup(func() {
		if s.cmd != nil {
			_ = s.cmd.Process.Kill()
			<-s.done
		}
		if t.Failed() {
			t.Logf("the sidecar's log:\n%s", s.log)
		}
	})
	return s
}

func (s *sidecar) start(t *testing.T) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd = exec.Command(path, append(s.args, "--listen", s.addr)...)
	s.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	pipe, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.log, s.done = &lockedBuffer{}, make(chan error, 1)
	listening := make(chan string, 1)
	cmd, log, done := s.cmd, s.log, s.done
	go func() { // ends with the process
		lines := bufio.NewScanner(io.TeeReader(pipe, log))
		for lines.Scan() {
			if m := readyToServe.FindStringSubmatch(lines.Text()); m != nil {
				listening <- m[1]
			}
		}
		close(listening)
		done <- cmd.Wait()
	}()
	at, ok := <-listening
	if !ok {
		t.Fatalf("the sidecar ended before it was ready: %v\n%s", <-s.done, s.log)
	}
	s.addr = at
}

func (s *sidecar) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// wait waits for the process to end, cleanly or not.
func (s *sidecar) wait(t *testing.T, cleanly bool) {
	t.Helper()
	err := <-s.done
	s.cmd = nil
	if cleanly && err != nil {
		t.Errorf("the sidecar ended with %v:\n%s", err, s.log)
	}
}

func (s *sidecar) end(t *testing.T, sig syscall.Signal) {
	t.Helper()
	s.signal(t, sig)
	s.wait(t, sig == syscall.SIGTERM)
}

// waitUntilRefusing waits until no new connection is taken.
func (s *sidecar) waitUntilRefusing(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			return
		}
		_ = conn.Close()
	}
	t.Fatal("the sidecar goes on taking connections")
}

// way is the network between the client and the sidecar. It can lose answers
// that the sidecar has sent.
type way struct {
	url      string
	requests atomic.Int64
	lose     atomic.Int64
}

func newWay(t *testing.T, s *sidecar) *way {
	t.Helper()
	w := &way{}
	transport := &http.Transport{DisableKeepAlives: true} // sends nothing twice
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		w.requests.Add(1)
		r := in.Clone(in.Context())
		r.URL.Scheme, r.URL.Host, r.RequestURI = "http", s.addr, ""
		res, err := transport.RoundTrip(r)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil || w.lose.Add(-1) >= 0 {
			panic(http.ErrAbortHandler) // the client sees a dead connection
		}
		maps.Copy(out.Header(), res.Header)
		out.WriteHeader(res.StatusCode)
		_, _ = out.Write(body)
	}))
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

// gate stands before the upstream. It counts requests, can hold them back and
// can lose answers that the upstream has given.
type gate struct {
	url      string
	requests atomic.Int64
	lose     atomic.Int64
	arrived  chan struct{} // one for each request that was held back
	mu       sync.Mutex
	closed   chan struct{} // nil while the gate is open
}

func newGate(t *testing.T, upstream string) *gate {
	t.Helper()
	g := &gate{arrived: make(chan struct{}, 100)}
	transport := &http.Transport{DisableKeepAlives: true}
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		g.requests.Add(1)
		g.mu.Lock()
		closed := g.closed
		g.mu.Unlock()
		if closed != nil {
			g.arrived <- struct{}{}
			<-closed
		}
		r := in.Clone(in.Context())
		r.URL.Scheme, r.URL.Host, r.RequestURI = "http", strings.TrimPrefix(upstream, "http://"), ""
		res, err := transport.RoundTrip(r)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer res.Body.Close()
		if g.lose.Add(-1) >= 0 {
			panic(http.ErrAbortHandler)
		}
		maps.Copy(out.Header(), res.Header)
		out.WriteHeader(res.StatusCode)
		_, _ = io.Copy(out, res.Body)
	}))
	t.Cleanup(server.Close)
	g.url = server.URL
	return g
}

// shut holds requests back until the func that it returns is called.
func (g *gate) shut() (open func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	closed := make(chan struct{})
	g.closed = closed
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.closed = nil
		close(closed)
	}
}

// stripeMock is a running stripe-mock.
type stripeMock struct {
	url     string
	charges atomic.Int64 // how many it has made
}

// startStripeMock finds the program on the PATH or in .bin. Without it the test
// is skipped, or fails when SEMEL_TEST_REQUIRE=all.
func startStripeMock(t *testing.T) *stripeMock {
	t.Helper()
	path, err := exec.LookPath("stripe-mock")
	if err != nil {
		path, err = filepath.Abs("../../.bin/stripe-mock")
		if err == nil {
			_, err = os.Stat(path)
		}
	}
	if err != nil {
		if os.Getenv("SEMEL_TEST_REQUIRE") == "all" {
			t.Fatal("stripe-mock is required and not installed: make servers")
		}
		t.Skip("SKIPPED: stripe-mock is not installed: make servers")
	}
	addr, tls := freePort(t), freePort(t)
	// With -http-addr alone it would also listen for HTTPS on every interface.
	cmd := exec.Command(path, "-http-addr", addr, "-https-addr", tls, "-verbose")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m := &stripeMock{url: "http://" + addr}
	done := make(chan struct{})
	go func() { // ends with the process
		defer close(done)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if strings.Contains(lines.Text(), "Request: POST /v1/charges") {
				m.charges.Add(1)
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
			return m
		}
		if time.Now().After(deadline) {
			t.Fatalf("stripe-mock does not listen on %s: %v", addr, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
