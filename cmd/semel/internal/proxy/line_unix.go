//go:build unix

package proxy

import (
	"errors"
	"syscall"
)

// alive reports whether an idle connection is open and silent. What the upstream
// has sent meanwhile, its end above all, is in the system already; to read
// it takes no waiting.
func (l *line) alive() bool {
	silent := false
	err := l.raw.Read(func(fd uintptr) bool {
		var one [1]byte
		_, err := syscall.Read(int(fd), one[:])
		silent = errors.Is(err, syscall.EAGAIN)
		return true
	})
	return err == nil && silent
}
