//go:build unix && !linux

package servertest

import (
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// startTied starts cmd. Nothing here ends it when this process dies early.
func startTied(cmd *exec.Cmd) error { return cmd.Start() }

// descendants returns the children of pid, and theirs.
func descendants(pid int) []int {
	out, err := exec.Command("pgrep", "-P", strconv.Itoa(pid)).Output()
	if err != nil {
		return nil // there are none
	}
	var all []int
	for _, word := range strings.Fields(string(out)) {
		if child, err := strconv.Atoi(word); err == nil {
			all = append(append(all, child), descendants(child)...)
		}
	}
	return all
}

func anyAlive(pids []int) bool {
	for _, pid := range pids {
		if syscall.Kill(pid, 0) == nil {
			return true
		}
	}
	return false
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
