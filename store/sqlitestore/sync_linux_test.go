package sqlitestore_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/sqlitestore"
)

// errNoFilter: this kernel does not let a process refuse system calls to itself.
var errNoFilter = errors.New("no seccomp filter")

// refuseSync makes the kernel answer EIO to each fsync and fdatasync of fd by
// this process, for ever. See seccomp(2).
func refuseSync(fd int) error {
	type instruction struct {
		code   uint16
		jt, jf uint8
		k      uint32
	}
	const (
		load, equal, answer = 0x20, 0x15, 0x06 // BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
		number, firstArg    = 0, 16            // offsets in struct seccomp_data
		allow, eio          = 0x7fff0000, 0x00050000 | uint32(syscall.EIO)
	)
	program := []instruction{
		{load, 0, 0, number},
		{equal, 1, 0, syscall.SYS_FSYNC},
		{equal, 0, 3, syscall.SYS_FDATASYNC},
		{load, 0, 0, firstArg},
		{equal, 0, 1, uint32(fd)},
		{answer, 0, 0, eio},
		{answer, 0, 0, allow},
	}
	filter := struct {
		n int16
		p *instruction
	}{int16(len(program)), &program[0]}

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const setNoNewPrivs = 38
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, setNoNewPrivs, 1, 0, 0, 0, 0); errno != 0 {
		return errors.Join(errNoFilter, errno)
	}
	seccomp, known := map[string]uintptr{"amd64": 317, "arm64": 277}[runtime.GOARCH]
	if !known {
		return errNoFilter
	}
	const setFilter, everyThread = 1, 1
	if _, _, errno := syscall.RawSyscall(seccomp, setFilter, everyThread, uintptr(unsafe.Pointer(&filter))); errno != 0 {
		return errors.Join(errNoFilter, errno)
	}
	return nil
}

// childRefuse loads a store whose disk stops syncing the database, not the log,
// until the store notices. It writes a line for each completed key.
func childRefuse(path string, _ io.Reader, out io.Writer) error {
	s, err := sqlitestore.Open(path, sqlitestore.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	fds, err := descriptors(path)
	if err != nil {
		return err
	}
	for _, fd := range fds {
		if err := refuseSync(fd); err != nil {
			return err
		}
	}
	w := bufio.NewWriter(out)
	var mu sync.Mutex
	var wg sync.WaitGroup
	var unexpected error
	for range 8 {
		wg.Go(func() {
			for range 20_000 { // many times what a full checkpoint takes
				r := loadReservation(semel.NewToken().String())
				_, err := s.Reserve(uncancelled(), r)
				if err == nil {
					err = s.Complete(uncancelled(), semel.Completion{Key: r.Key, Token: r.Token, Response: loadResponse(r.Key.ID)})
				}
				mu.Lock()
				if err == nil {
					_, _ = fmt.Fprintln(w, r.Key.ID)
				} else if !errors.Is(err, sqlitestore.ErrPoisoned) {
					unexpected = err
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
			mu.Lock()
			unexpected = errors.New("the disk does not sync and nobody says so")
			mu.Unlock()
		})
	}
	wg.Wait()
	return errors.Join(unexpected, w.Flush(), s.Close())
}

// childRefuseLog completes a key, lets the disk refuse to sync the log, and
// checks that the store stops writing and still replays.
func childRefuseLog(path string, _ io.Reader, out io.Writer) error {
	s, err := sqlitestore.Open(path, sqlitestore.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	const id = "before"
	r := loadReservation(id)
	if _, err := s.Reserve(uncancelled(), r); err != nil {
		return err
	}
	if err := s.Complete(uncancelled(), semel.Completion{Key: r.Key, Token: r.Token, Response: loadResponse(id)}); err != nil {
		return err
	}
	fds, err := descriptors(path + "-wal")
	if err != nil {
		return err
	}
	for _, fd := range fds {
		if err := refuseSync(fd); err != nil {
			return err
		}
	}
	if _, err := s.Audit(uncancelled(), semel.AuditEntry{Actor: "ops", Action: semel.ActionRelease, Key: r.Key}); !errors.Is(err, sqlitestore.ErrPoisoned) {
		return fmt.Errorf("an entry that is not on the disk: got %w, want ErrPoisoned", err)
	}
	var wg sync.WaitGroup
	errs := make([]error, 10)
	for i := range errs {
		wg.Go(func() {
			if _, err := s.Reserve(uncancelled(), loadReservation(semel.NewToken().String())); !errors.Is(err, sqlitestore.ErrPoisoned) {
				errs[i] = fmt.Errorf("got %w, want ErrPoisoned", err)
			}
		})
	}
	wg.Wait()
	held, err := s.Reserve(uncancelled(), loadReservation(id))
	if err != nil || string(held.Response.Body) != string(loadResponse(id).Body) {
		errs = append(errs, fmt.Errorf("a replay: got %v (%w)", held.State, err))
	}
	_, _ = fmt.Fprintln(out, id)
	return errors.Join(append(errs, s.Close())...)
}

// I10: what was acknowledged before the log could not be synced is replayed by
// the store that stopped writing, and is there when it is opened again.
func TestFailedLogSyncLosesNothing(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	c := start(t, "refuse-log", path)
	id, whole := c.line()
	if err := c.cmd.Wait(); err != nil {
		if strings.Contains(c.errs.String(), errNoFilter.Error()) {
			skip(t, "this kernel does not let a process refuse its own fsync: "+c.errs.String())
		}
		t.Fatalf("%v: %s", err, c.errs)
	}
	if !whole {
		t.Fatal("nothing was acknowledged")
	}
	s := open(t, path, sqlitestore.Config{})
	held, err := s.Reserve(t.Context(), loadReservation(id))
	if err != nil || string(held.Response.Body) != string(loadResponse(id).Body) {
		t.Fatalf("got %v (%v), want what was acknowledged", held.State, err)
	}
}

// descriptors returns those that this process has of a file.
func descriptors(path string) (fds []int, err error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name()))
		if err != nil || target != path {
			continue // the descriptor of the listing itself is gone
		}
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			return nil, err
		}
		fds = append(fds, fd)
	}
	if len(fds) == 0 {
		return nil, fmt.Errorf("%s is not open", path)
	}
	return fds, nil
}

// A checkpoint that the disk refuses is no commit that failed, but the same
// doubt: pages may be gone that the next sync knows nothing of. The log keeps
// everything, also when the store is closed.
func TestFailedCheckpointPoisons(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	c := start(t, "refuse", path)
	var kept []string
	for {
		line, whole := c.line()
		if !whole {
			break
		}
		kept = append(kept, line)
	}
	if err := c.cmd.Wait(); err != nil {
		if strings.Contains(c.errs.String(), errNoFilter.Error()) {
			skip(t, "this kernel does not let a process refuse its own fsync: "+c.errs.String())
		}
		t.Fatalf("%v: %s", err, c.errs)
	}
	log, err := os.Stat(path + "-wal")
	if err != nil || log.Size() < 1<<20 {
		t.Fatalf("got %v (%v), want the log to outlive the store", log, err)
	}
	s := open(t, path, sqlitestore.Config{})
	for _, id := range kept {
		held, err := s.Reserve(t.Context(), loadReservation(id))
		if err != nil || string(held.Response.Body) != string(loadResponse(id).Body) {
			t.Fatalf("got %v (%v), want what was acknowledged", held.State, err)
		}
	}
	if len(kept) < 100 {
		t.Errorf("got %d steps before the checkpoint, want some to lose", len(kept))
	}
}
