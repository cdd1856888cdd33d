//go:build unix

package servertest

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// Freeze stops processes, as if their machine had frozen, and returns when they
// stand still. The kernel gives a stop to one thread of a process, and until that
// one runs, which takes a while on a busy machine, the others go on.
func Freeze(pids ...int) error {
	if err := signalAll(pids, syscall.SIGSTOP); err != nil {
		return err
	}
	deadline := time.Now().Add(10 * time.Second)
	for _, pid := range pids {
		for !halted(pid) {
			if time.Now().After(deadline) {
				return fmt.Errorf("process %d does not stand still", pid)
			}
			time.Sleep(100 * time.Microsecond)
		}
	}
	return nil
}

// signalAll signals every process that still exists.
func signalAll(pids []int, sig syscall.Signal) error {
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}
