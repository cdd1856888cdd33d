//go:build unix

package servertest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// patience bounds every wait for a server. It is generous: it is only ever used
// up when something is broken.
const patience = 90 * time.Second

// Server is a server that runs, or can be started again. Killing, stopping and
// starting it is for one goroutine at a time; the rest is safe for all.
type Server struct {
	kind string // as in messages
	dir  string // everything it writes lies below
	addr string
	dsn  string

	program string // "" when the environment named the server
	args    []string
	env     []string
	quit    syscall.Signal          // ends it cleanly
	answers func(addr string) error // nil when it serves

	mu  sync.Mutex
	run *run // nil while it does not run
}

// run is one run of the program.
type run struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// Addr returns host and port.
func (s *Server) Addr() string { return s.addr }

// DSN returns how the usual driver names the server: a URL for PostgreSQL and
// Redis, root@tcp(HOST:PORT)/ for MariaDB.
func (s *Server) DSN() string { return s.dsn }

// Dir returns the folder of a server that this package started.
func (s *Server) Dir() string { return s.dir }

// External reports whether the environment named the server: such a one is
// never killed, stopped or started.
func (s *Server) External() bool { return s.program == "" }

// Log returns what the server has written to its log so far.
func (s *Server) Log() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Kill ends the server and all its processes at once, as kill -9 does, and
// waits until they are gone.
func (s *Server) Kill(tb TB) {
	tb.Helper()
	s.own(tb)
	if err := s.end(syscall.SIGKILL); err != nil {
		tb.Fatalf("servertest: kill %s: %v", s.kind, err)
	}
}

// Shutdown ends the server as its operator would, and waits.
func (s *Server) Shutdown(tb TB) {
	tb.Helper()
	s.own(tb)
	if err := s.end(s.quit); err != nil {
		tb.Fatalf("servertest: shut %s down: %v", s.kind, err)
	}
}

// Stop halts all processes of the server, as if its machine had frozen: its
// connections stay open and nothing answers.
func (s *Server) Stop(tb TB) {
	tb.Helper()
	s.own(tb)
	pid := s.pid(tb)
	if err := Freeze(append([]int{pid}, descendants(pid)...)...); err != nil {
		tb.Fatalf("servertest: stop %s: %v", s.kind, err)
	}
	// A child that was born before its parent halted.
	if err := Freeze(descendants(pid)...); err != nil {
		tb.Fatalf("servertest: stop %s: %v", s.kind, err)
	}
}

// Continue lets a stopped server go on.
func (s *Server) Continue(tb TB) {
	tb.Helper()
	s.own(tb)
	pid := s.pid(tb)
	if err := signalAll(append(descendants(pid), pid), syscall.SIGCONT); err != nil {
		tb.Fatalf("servertest: continue %s: %v", s.kind, err)
	}
}

// Start starts a server that was killed or shut down, with its data and on its
// port, and waits until it serves.
func (s *Server) Start(tb TB) {
	tb.Helper()
	s.own(tb)
	if err := s.start(); err != nil {
		tb.Fatalf("servertest: start %s: %v", s.kind, err)
	}
}

// Restart kills the server and starts it again.
func (s *Server) Restart(tb TB) {
	tb.Helper()
	s.Kill(tb)
	s.Start(tb)
}

func (s *Server) own(tb TB) {
	tb.Helper()
	if s.External() {
		tb.Fatalf("servertest: the %s of this test belongs to somebody else: start one with New", s.kind)
	}
}

func (s *Server) pid(tb TB) int {
	tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run == nil {
		tb.Fatalf("servertest: the %s does not run", s.kind)
	}
	return s.run.cmd.Process.Pid
}

// start starts the program and waits until it answers.
func (s *Server) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run != nil {
		return errors.New("it runs already")
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(s.program, s.args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "LC_ALL=C"}, s.env...)
	cmd.SysProcAttr = unprivileged()
	if err := startTied(cmd); err != nil {
		return err
	}
	r := &run{cmd: cmd, ended: make(chan struct{})}
	go func() { // ends with the process
		_ = cmd.Wait()
		close(r.ended)
	}()
	if err := s.await(r); err != nil {
		_ = signalAll(append([]int{cmd.Process.Pid}, descendants(cmd.Process.Pid)...), syscall.SIGKILL)
		<-r.ended
		return fmt.Errorf("%w\n%s", err, tail(s.Log()))
	}
	s.run = r
	return nil
}

// await polls until the server answers, has ended, or patience is over.
func (s *Server) await(r *run) error {
	deadline := time.Now().Add(patience)
	for {
		err := s.answers(s.addr)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("it does not answer: %w", err)
		}
		select {
		case <-r.ended:
			return fmt.Errorf("it ended: %v", r.cmd.ProcessState)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// end signals the server, or all of its processes when the signal is SIGKILL,
// and waits until they are gone. A server that does not run is left alone.
func (s *Server) end(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run == nil {
		return nil
	}
	pid := s.run.cmd.Process.Pid
	if sig == syscall.SIGKILL {
		_ = Freeze(pid) // or a child that is born now is left behind
	}
	family := descendants(pid)
	_ = s.run.cmd.Process.Signal(sig) // it may have ended by itself
	if sig == syscall.SIGKILL {
		_ = signalAll(family, sig)
	}
	timeout := time.After(patience)
	select {
	case <-s.run.ended:
	case <-timeout:
		return errors.New("it does not end")
	}
	s.run = nil
	for anyAlive(family) { // PostgreSQL refuses to start beside them
		select {
		case <-time.After(5 * time.Millisecond):
		case <-timeout:
			return errors.New("its children do not end")
		}
	}
	return nil
}

// tail is the end of a log, for a message.
func tail(log string) string {
	const most = 2000
	if len(log) > most {
		return "…" + log[len(log)-most:]
	}
	return log
}
