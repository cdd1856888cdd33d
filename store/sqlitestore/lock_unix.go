//go:build unix && !aix && !solaris

package sqlitestore

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// fileLock is held by the one process that may write. It lies on a file of its
// own: closing any descriptor of the database would take SQLite's own locks
// away from the whole process. The kernel gives it back when the process dies.
type fileLock struct {
	file *os.File
}

// lockFile takes the lock of the database at path, or returns a *LockedError.
func lockFile(path string) (*fileLock, error) {
	f, err := os.OpenFile(path+"-lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errors.Join(&LockedError{Path: path, PID: holderOf(f)}, f.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
	}
	// Who holds it, for the message to others. The lock itself is the kernel's.
	if err := writePID(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &fileLock{f}, nil
}

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

func holderOf(f *os.File) int {
	var b [20]byte
	n, _ := f.ReadAt(b[:], 0) // short, as it should be
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil {
		return 0
	}
	return pid
}

// release gives the lock back. The file stays: removing it would let two
// processes hold locks on two files of one name.
func (l *fileLock) release() error {
	if l == nil {
		return nil
	}
	return errors.Join(l.file.Truncate(0), l.file.Close())
}
