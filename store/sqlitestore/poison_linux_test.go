package sqlitestore_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/sqlitestore"
)

// breakSync makes fsync of a file fail for every descriptor this process has of
// it, by putting /dev/null in its place: the kernel takes what is written there
// and refuses to sync it with EINVAL. It returns what undoes it.
func breakSync(t *testing.T, path string) (mend func()) {
	t.Helper()
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	saved := make(map[int]int)
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		if target, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name())); err != nil || target != path {
			continue
		}
		if saved[fd], err = syscall.Dup(fd); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Dup3(int(null.Fd()), fd, syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
	}
	if len(saved) == 0 {
		t.Fatalf("%s is not open", path)
	}
	return func() {
		for fd, was := range saved {
			if err := errors.Join(syscall.Dup3(was, fd, syscall.O_CLOEXEC), syscall.Close(was)); err != nil {
				t.Error(err)
			}
		}
	}
}

// After a failed sync nobody knows what the disk holds, and a second sync may
// lie (the fsync error of PostgreSQL, 2018). The store stops writing until it
// is opened again.
//
// While /dev/null stands in its place the log cannot be read either, and a
// connection that rebuilds the log's index meanwhile may find it empty. So the test
// says nothing of what can be read afterwards; TestFailedLogSyncLosesNothing does,
// where the kernel refuses the sync and nothing else.
func TestFailedSyncPoisons(t *testing.T) {
	path := newPath(t)
	var log bytes.Buffer
	s := open(t, path, sqlitestore.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	before := reservation("before")
	mustReserve(t, s, before)
	mustComplete(t, s, before, "kept")

	mend := breakSync(t, path+"-wal")
	var wg sync.WaitGroup
	for range 10 { // everybody in the batch hears of it
		wg.Go(func() {
			_, err := s.Reserve(t.Context(), reservation(semel.NewToken().String()))
			if !errors.Is(err, sqlitestore.ErrPoisoned) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want ErrPoisoned and the path", err)
			}
		})
	}
	wg.Wait()
	mend()
	// The disk is well again. The store does not believe it.
	if _, err := s.Reserve(t.Context(), reservation("after")); !errors.Is(err, sqlitestore.ErrPoisoned) {
		t.Errorf("got %v, want ErrPoisoned still", err)
	}
	if err := s.Complete(t.Context(), completion(before, "x")); !errors.Is(err, sqlitestore.ErrPoisoned) {
		t.Errorf("got %v, want ErrPoisoned still", err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, sqlitestore.ErrPoisoned) {
		t.Errorf("got %v from Ping, want ErrPoisoned", err)
	}
	if got := strings.Count(log.String(), "refuses to write"); got != 1 {
		t.Errorf("got %d lines in the log, want one: %s", got, log.String())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, path, sqlitestore.Config{})
	mustReserve(t, s, reservation("after"))
}
