package pgstore_test

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
)

// serverOnSmallDisk starts a server that has all its files on a file system of
// that many bytes, and returns the file system's directory.
func serverOnSmallDisk(t *testing.T, size int, settings ...string) (*servertest.Server, string) {
	t.Helper()
	servertest.Postgres(t)                      // makes what all servers are copied from, elsewhere
	dir, err := os.MkdirTemp("", "semel-full-") //nolint:usetesting // a TempDir is closed to the user of the server
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	mountSmall(t, dir, fmt.Sprintf("size=%d,mode=0777", size))
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("TMPDIR", dir)
	return servertest.NewPostgres(t, settings...), dir
}

// I10, I11, L4: when the disk of the log is full, the server falls and stays down.
// Steps fail, and the one that fell with it is not said to have written nothing.
// When there is space and the server is started, the same store serves: what was
// acknowledged is there, and what failed can be repeated by the same token.
func TestFullDiskOfTheLog(t *testing.T) {
	server, dir := serverOnSmallDisk(t, 160<<20, "autovacuum=off")
	s := fresh(t, server.DSN())
	admin := poolOf(t, server.DSN())
	ballast := fillBut(t, dir, 24<<20)

	body := strings.Repeat("b", 20_000)
	var kept, failed []semel.Reservation
	fill := func() {
		for range 2000 {
			r := reservation(fmt.Sprint(len(kept) + len(failed)))
			step := "reserve"
			_, err := s.Reserve(t.Context(), r)
			if err == nil {
				step, err = "complete", s.Complete(t.Context(), completion(r, body))
			}
			if err != nil {
				failed = append(failed, r)
				wantError(t, err, step, nil)
				if strings.Contains(err.Error(), "PANIC") && errors.Is(err, semel.ErrFull) {
					t.Errorf("%s: got ErrFull, and the server may have written it before it fell: %v", step, err)
				}
				return
			}
			kept = append(kept, r)
		}
		t.Fatal("the disk does not become full")
	}
	eventually(t, "the server falls and stays down", func() bool {
		fill()
		_, _ = admin.Exec(t.Context(), "SELECT pg_switch_wal()") // its log needs a new file, if it still runs
		return strings.Contains(server.Log(), "database system is shut down")
	})
	if !strings.Contains(server.Log(), "PANIC") {
		t.Error("the server did not fall for want of space: the test shows nothing")
	}
	_, err := s.Reserve(t.Context(), reservation("down"))
	wantError(t, err, "reserve", nil, "refused")

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	server.Restart(t)
	for _, r := range kept {
		mustReplay(t, s, r, body)
	}
	for _, r := range failed {
		mustReserve(t, s, r)
		mustComplete(t, s, r, body)
		mustReplay(t, s, r, body)
	}
	t.Logf("%d completed, %d steps failed", len(kept), len(failed))
}

// fillBut leaves so many bytes of a file system, and returns the file that takes
// the rest.
func fillBut(t *testing.T, dir string, left int) (ballast string) {
	t.Helper()
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	ballast = filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, int(fs.Bavail)*int(fs.Bsize)-left), 0o600); err != nil {
		t.Fatal(err)
	}
	return ballast
}
