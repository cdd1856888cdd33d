package mysqlstore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/mysqlstore"
)

// smallDisk mounts a file system of that many bytes and returns its directory.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "semel-full-") //nolint:usetesting // t.TempDir lies where the server's user may not go
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("semel", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0777", size)); err != nil {
		if os.Getenv("SEMEL_TEST_REQUIRE") == "all" {
			t.Fatalf("SEMEL_TEST_REQUIRE=all, but a small file system cannot be mounted: %v", err)
		}
		t.Skipf("a small file system cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// I10, L4: when the server's disk is full, steps fail with ErrFull, what was
// acknowledged stays and is replayed, and service resumes by itself when there
// is space.
func TestFullDisk(t *testing.T) {
	servertest.MariaDB(t) // makes what all servers are copied from, elsewhere
	dir := smallDisk(t, 256<<20)
	t.Setenv("TMPDIR", dir)
	server := servertest.NewMariaDB(t)
	s := open(t, database(t, server, ""), mysqlstore.Config{})

	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, int(fs.Bavail)*int(fs.Bsize)-(8<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	serial := 0
	var kept []semel.Reservation
	body := strings.Repeat("b", 100_000)
	fill := func() (err error) {
		for range 2000 {
			serial++
			r := reservation(fmt.Sprint(serial))
			if _, err = s.Reserve(t.Context(), r); err != nil {
				return err
			}
			if err = s.Complete(t.Context(), completion(r, body)); err != nil {
				return err
			}
			kept = append(kept, r)
		}
		return nil
	}
	for range 3 { // it stays full, and says so each time
		if err := fill(); !errors.Is(err, semel.ErrFull) {
			t.Fatalf("got %v on a full disk, want ErrFull", err)
		}
	}
	full := len(kept)
	for _, r := range kept { // replays go on
		mustReplay(t, s, r, body)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		r := reservation(fmt.Sprint("after ", serial))
		serial++
		mustReserve(t, s, r)
		mustComplete(t, s, r, body)
		kept = append(kept, r)
	}
	server.Restart(t)
	for _, r := range kept {
		mustReplay(t, s, r, body)
	}
	t.Logf("%d completed, then %d", full, len(kept)-full)
}
