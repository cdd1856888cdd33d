//go:build unix

package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// What a process of this package is, and its config, in the environment of a child.
const (
	roleVariable   = "SEMEL_LEDGER_ROLE"
	configVariable = "SEMEL_LEDGER_CONFIG"
)

// Main plays the role that the environment names. It reports false in a process that
// has none, such as the supervisor's. A test calls it first in TestMain.
func Main(ctx context.Context) (played bool, err error) {
	config := os.Getenv(configVariable)
	switch role := os.Getenv(roleVariable); role {
	case "":
		return false, nil
	case "app":
		return true, runApp(ctx, config)
	case "client":
		return true, runClient(ctx, config)
	default:
		return true, fmt.Errorf("ledger: unknown role %q", role)
	}
}

// process is a child. It ends when this process does: its standard input closes.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{}

	mu  sync.Mutex
	err error // how it ended
}

func start(role string, config any) (*process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), roleVariable+"="+role, configVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, stdin: stdin, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		err := cmd.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.err = err
	}()
	return p, nil
}

// kill is kill -9. It waits for the end.
func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL) // it may have ended
	<-p.ended
	_ = p.stdin.Close()
}

func (p *process) signal(sig os.Signal) { _ = p.cmd.Process.Signal(sig) } // it may have ended

// killed reports whether a process that has ended was killed.
func (p *process) killed() bool {
	exit, ok := errors.AsType[*exec.ExitError](p.wait())
	if !ok {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signal() == syscall.SIGKILL
}

// wait waits for a process that ends by itself.
func (p *process) wait() error {
	<-p.ended
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}
