//go:build unix

package natstest

import (
	"os"
	"syscall"
)

var (
	kill   os.Signal = os.Kill
	stop   os.Signal = syscall.SIGSTOP
	resume os.Signal = syscall.SIGCONT
)
