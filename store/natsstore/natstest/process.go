// Package natstest starts real NATS servers for tests: one or a few in processes of
// their own, which can be killed, or a cluster inside the test's process.
//
// # Use
//
// The server is part of the test binary, which runs itself again as a server.
// So a package that calls [Start] or [StartProcesses] needs a TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(natstest.Main(m)) }
//
// # Advice
//
// The servers of [StartCluster] share the test's process: they start quickly and
// can be shut down, not killed.
//
// # Promise
//
// Servers listen on loopback only, and end with the test, or with the test's
// process, however that ends.
package natstest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// childEnv names the configuration file of a server to run instead of tests.
const childEnv = "SEMEL_NATSTEST_SERVER"

// Main runs the tests of m, or, in a process that [Start] made, a server. It
// returns the exit code.
func Main(m *testing.M) int {
	file := os.Getenv(childEnv)
	if file == "" {
		return m.Run()
	}
	if err := serve(file); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// serve runs a server until stdin ends, which is when the parent is gone or
// wants a clean shutdown.
func serve(file string) error {
	opts, err := server.ProcessConfigFile(file)
	if err != nil {
		return err
	}
	opts.NoSigs = true
	s, err := server.NewServer(opts)
	if err != nil {
		return err
	}
	s.ConfigureLogger()
	s.Start()
	_, _ = io.Copy(io.Discard, os.Stdin)
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}

// Options are what [Start] and [StartCluster] may be told.
type Options struct {
	// SyncAlways syncs every write to the disk. Default: as NATS does, every
	// two minutes.
	SyncAlways bool
	// MaxPayload is the largest message in bytes. Default 8 MiB.
	MaxPayload int
	// User and Password, when not empty, are needed to connect.
	User, Password string
	// NoJetStream starts a server without streams.
	NoJetStream bool
	// DenySubscribe are subjects to which User may not listen.
	DenySubscribe []string
	// Deny are subjects to which User may not publish.
	Deny []string
	// Dir is where the streams are. Default: a folder of the test's.
	Dir string
}

// Server is a NATS server in a process of its own.
type Server struct {
	dir    string
	addr   string
	member *member // of a cluster
	opts   Options

	mu    sync.Mutex
	cmd   *exec.Cmd
	stdin io.Closer
	log   bytes.Buffer // of all its lives
}

// Start starts a server and waits until it answers. It ends with the test.
func Start(tb testing.TB, opts Options) *Server {
	tb.Helper()
	s := newServer(tb, opts, nil)
	s.Start(tb)
	return s
}

func newServer(tb testing.TB, opts Options, m *member) *Server {
	tb.Helper()
	s := &Server{dir: tb.TempDir(), addr: freeAddr(tb), member: m}
	s.Configure(tb, opts)
	tb.Cleanup(func() {
		s.signal(tb, kill)
		s.wait()
		if tb.Failed() {
			tb.Logf("the log of the server %s ends with:\n%s", s.addr, tail(s.Log()))
		}
	})
	return s
}

// Configure changes what the next Start begins with.
func (s *Server) Configure(tb testing.TB, opts Options) {
	tb.Helper()
	s.opts = opts
	if err := os.WriteFile(s.file(), []byte(s.config()), 0o600); err != nil {
		tb.Fatal(err)
	}
}

func tail(text string) string { return text[max(0, len(text)-4000):] }

func (s *Server) file() string { return filepath.Join(s.dir, "nats.conf") }

func (s *Server) data() string {
	if s.opts.Dir != "" {
		return s.opts.Dir
	}
	return filepath.Join(s.dir, "data")
}

func (s *Server) config() string {
	var b strings.Builder
	fmt.Fprintf(&b, "listen: %q\n", s.addr)
	payload := s.opts.MaxPayload
	if payload == 0 {
		payload = 8 << 20
	}
	fmt.Fprintf(&b, "max_payload: %d\nmax_pending: %d\n", payload, 8*max(payload, 8<<20))
	if s.opts.User != "" {
		fmt.Fprintf(&b, "authorization { users: [ { user: %q, password: %q, permissions: { publish: { deny: %q }, subscribe: { deny: %q } } } ] }\n",
			s.opts.User, s.opts.Password, s.opts.Deny, s.opts.DenySubscribe)
	}
	if s.member != nil {
		b.WriteString(s.member.config())
	}
	if !s.opts.NoJetStream {
		interval := "2m"
		if s.opts.SyncAlways {
			interval = "always"
		}
		fmt.Fprintf(&b, "jetstream { store_dir: %q, sync_interval: %s, max_file: 4G, max_mem: 256M }\n", s.data(), interval)
	}
	return b.String()
}

// Addr is "127.0.0.1:port". It stays through restarts.
func (s *Server) Addr() string { return s.addr }

// URL is the address for a client, without user and password.
func (s *Server) URL() string { return "nats://" + s.addr }

// Log returns what the server has logged so far.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// Write takes in the server's log.
func (s *Server) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

// Start starts a server that was killed or shut down, on the same port and
// data, and waits until it answers.
func (s *Server) Start(tb testing.TB) {
	tb.Helper()
	s.launch(tb)
	s.await(tb)
}

// launch starts the process.
func (s *Server) launch(tb testing.TB) {
	tb.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+s.file())
	cmd.Stdout, cmd.Stderr = s, s
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	s.mu.Lock()
	s.cmd, s.stdin = cmd, stdin
	s.mu.Unlock()
}

// await waits until the server answers; one of a cluster when that has a leader.
func (s *Server) await(tb testing.TB) {
	tb.Helper()
	Poll(tb, "the server answers", func() error {
		nc, err := nats.Connect(s.URL(), nats.UserInfo(s.opts.User, s.opts.Password))
		if err != nil {
			return err
		}
		defer nc.Close()
		if s.opts.NoJetStream {
			return nil
		}
		js, err := nc.JetStream()
		if err == nil {
			_, err = js.AccountInfo()
		}
		return err
	})
}

// Kill ends the server at once, as kill -9 does: what it has not written is gone.
func (s *Server) Kill(tb testing.TB) {
	tb.Helper()
	s.signal(tb, kill)
	s.wait()
}

// Restart kills the server and starts it again.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	s.Kill(tb)
	s.Start(tb)
}

// Shutdown ends the server in an orderly way.
func (s *Server) Shutdown(tb testing.TB) {
	tb.Helper()
	s.mu.Lock()
	stdin := s.stdin
	s.mu.Unlock()
	if err := stdin.Close(); err != nil {
		tb.Errorf("shut down: %v", err)
	}
	s.wait()
}

// Stop freezes the server until Continue.
func (s *Server) Stop(tb testing.TB) {
	tb.Helper()
	if p := s.process(); p != nil {
		if err := freeze(p); err != nil {
			tb.Errorf("freeze: %v", err)
		}
	}
}

// Continue lets a frozen server go on.
func (s *Server) Continue(tb testing.TB) {
	tb.Helper()
	s.signal(tb, resume)
}

func (s *Server) signal(tb testing.TB, sig os.Signal) {
	tb.Helper()
	p := s.process()
	if p == nil {
		return
	}
	if sig == nil {
		tb.Fatal("this system cannot freeze a process")
	}
	if err := p.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		tb.Errorf("signal %v: %v", sig, err)
	}
}

// process returns the server's process, or nil when there is none.
func (s *Server) process() *os.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return nil
	}
	return s.cmd.Process
}

// wait waits for the end of the process.
func (s *Server) wait() {
	s.mu.Lock()
	cmd := s.cmd
	s.cmd = nil
	s.mu.Unlock()
	if cmd != nil {
		_ = cmd.Wait() // says how it ended, which the test chose
	}
}

// patience is how long Poll waits; no test passes or fails by less.
const patience = 60 * time.Second

// Poll calls try until it succeeds, and fails the test if it does not for a minute.
func Poll(tb testing.TB, what string, try func() error) {
	tb.Helper()
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Since(start) > patience {
			tb.Fatalf("waited in vain until %s: %v", what, err)
		}
	}
}
