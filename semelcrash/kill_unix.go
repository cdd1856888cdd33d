//go:build unix

package semelcrash

import (
	"os"
	"syscall"
)

const supported = true

// die kills this process as the kernel does when memory is short: nothing is
// flushed, closed or deferred.
func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // until it has come
}

// inherited returns the two pipes to the test. What the service starts does not
// inherit them.
func inherited() (in, out *os.File, err error) {
	const inFD, outFD = 3, 4 // after standard error, see exec.Cmd.ExtraFiles
	in, out = os.NewFile(inFD, "plan"), os.NewFile(outFD, "events")
	for _, f := range []*os.File{in, out} {
		info, err := f.Stat()
		if err != nil || info.Mode()&os.ModeNamedPipe == 0 {
			return nil, nil, errNoTest
		}
		syscall.CloseOnExec(int(f.Fd()))
	}
	return in, out, nil
}
