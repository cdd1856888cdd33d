//go:build unix && !linux

package servertest

import (
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

// halted reports whether a process stands still.
func halted(pid int) bool {
	out, err := exec.Command("ps", "-o", "state=", "-p", strconv.Itoa(pid)).Output()
	return err != nil || strings.HasPrefix(strings.TrimSpace(string(out)), "T") // or it is gone
}
