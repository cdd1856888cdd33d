//go:build unix

package natstest

import (
	"os"
	"syscall"

	"github.com/semel-go/semel/internal/servertest"
)

var (
	kill   os.Signal = os.Kill
	resume os.Signal = syscall.SIGCONT
)

// freeze stops a process and returns when it stands still.
func freeze(p *os.Process) error { return servertest.Freeze(p.Pid) }
