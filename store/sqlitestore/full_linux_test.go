package sqlitestore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/sqlitestore"
)

// smallDisk mounts a file system of that many bytes and returns its directory.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("semel", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		skip(t, fmt.Sprintf("a small file system cannot be mounted: %v", err))
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// I10, L4: on a full disk steps fail, what was acknowledged stays, and service
// resumes by itself when there is space.
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t, 4<<20)
	ballast := filepath.Join(dir, "ballast")
	write(t, ballast, make([]byte, 1<<20))
	path := filepath.Join(dir, "semel.db")
	s := open(t, path, sqlitestore.Config{})

	var completed []semel.Reservation
	serial := 0
	body := string(make([]byte, 20_000))
	fill := func() (err error) {
		for range 1000 {
			serial++
			r := reservation(fmt.Sprint(serial))
			if _, err = s.Reserve(t.Context(), r); err != nil {
				return err
			}
			if err = s.Complete(t.Context(), completion(r, body)); err != nil {
				return err
			}
			completed = append(completed, r)
		}
		return nil
	}
	for range 3 { // it stays full, and says so each time
		if err := fill(); !errors.Is(err, semel.ErrFull) {
			t.Fatalf("got %v on a full disk, want ErrFull", err)
		}
	}
	full := len(completed)
	for _, r := range completed { // replays go on
		held, err := s.Reserve(t.Context(), again(r))
		if err != nil || len(held.Response.Body) != len(body) {
			t.Fatalf("got %v (%v) on a full disk, want the kept response", held.State, err)
		}
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("got %v, want a full disk to be no reason to stop reading", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := fill(); !errors.Is(err, semel.ErrFull) {
		t.Fatalf("got %v, want to fill the space that came back", err)
	}
	if len(completed) <= full {
		t.Errorf("got %d completed after space came back, want more than %d", len(completed), full)
	}

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, sqlitestore.Config{ReadOnly: true})
	kept := make(map[string]int)
	for rec, err := range s.List(t.Context(), semel.Filter{States: []semel.State{semel.StateCompleted}, Bodies: true}) {
		if err != nil {
			t.Fatal(err)
		}
		kept[rec.Key.ID] = len(rec.Response.Body)
	}
	for _, r := range completed {
		if kept[r.Key.ID] != len(body) {
			t.Fatalf("an acknowledged completion is lost")
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := look(t, path, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"); got != 1 {
		t.Error("integrity_check finds damage")
	}
	t.Logf("%d completed, then %d", full, len(completed))
}

// A disk without room for the empty database leaves nothing half made.
func TestCreateOnAFullDisk(t *testing.T) {
	dir := smallDisk(t, 64<<10)
	ballast := filepath.Join(dir, "ballast")
	_ = os.WriteFile(ballast, make([]byte, 64<<10), 0o600) // as much as fits
	path := filepath.Join(dir, "semel.db")
	if _, err := sqlitestore.Open(path, sqlitestore.Config{}); err == nil {
		t.Fatal("got a store on a full disk, want an error")
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want no database file", err)
	}
}

// A file system that is mounted for reading only is named at Open.
func TestReadOnlyFileSystem(t *testing.T) {
	dir := smallDisk(t, 4<<20)
	path := filepath.Join(dir, "semel.db")
	s := open(t, path, sqlitestore.Config{})
	mustReserve(t, s, reservation("k"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		skip(t, fmt.Sprintf("a file system cannot be remounted: %v", err))
	}
	refused(t, path, sqlitestore.Config{}, "read-only file system")
	refused(t, filepath.Join(dir, "other.db"), sqlitestore.Config{}, "read-only file system")
	refused(t, path, sqlitestore.Config{Shared: true}, "")
}
