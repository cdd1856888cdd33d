package servertest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
)

// startTied starts cmd so that the kernel kills it when this process ends. The
// kernel looks at the thread, so one thread starts them all and never ends
// (golang/go#27505).
func startTied(cmd *exec.Cmd) error {
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	starter()
	done := make(chan error)
	starts <- func() { done <- cmd.Start() }
	return <-done
}

var starts = make(chan func())

var starter = sync.OnceFunc(func() {
	go func() { // lives as long as the process
		runtime.LockOSThread()
		for start := range starts {
			start()
		}
	}()
})

// stat returns parent and state of a process; false when there is none.
func stat(pid int) (parent int, state byte, ok bool) {
	return statFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
}

// halted reports whether every thread of a process stands still.
func halted(pid int) bool {
	threads, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "stat")) // the pattern is ours
	for _, file := range threads {
		if _, state, ok := statFile(file); ok && state != 'T' && state != 't' && state != 'Z' {
			return false
		}
	}
	return true
}

func statFile(file string) (parent int, state byte, ok bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, 0, false
	}
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:]) // the name may hold anything
	if len(fields) < 2 {
		return 0, 0, false
	}
	parent, err = strconv.Atoi(string(fields[1]))
	return parent, fields[0][0], err == nil
}

// descendants returns the children of pid, and theirs.
func descendants(pid int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	children := make(map[int][]int)
	for _, e := range entries {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if parent, _, ok := stat(child); ok {
			children[parent] = append(children[parent], child)
		}
	}
	var all []int
	for next := children[pid]; len(next) > 0; next = next[1:] {
		all = append(all, next[0])
		next = append(next, children[next[0]]...)
	}
	return all
}

func anyAlive(pids []int) bool {
	for _, pid := range pids {
		if _, state, ok := stat(pid); ok && state != 'Z' {
			return true
		}
	}
	return false
}
