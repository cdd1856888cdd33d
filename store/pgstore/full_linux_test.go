package pgstore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/pgstore"
)

// smallDisk mounts a file system of that many bytes, for the user of server, and
// returns its directory.
func smallDisk(t *testing.T, server *servertest.Server, size int) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "semel-small-disk-") //nolint:usetesting // a TempDir is closed to the user of the server
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	owner, err := os.Stat(filepath.Join(server.Dir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	id, ok := owner.Sys().(*syscall.Stat_t)
	if !ok {
		t.Fatal("a file has no owner")
	}
	mountSmall(t, dir, fmt.Sprintf("size=%d,uid=%d,gid=%d,mode=0700", size, id.Uid, id.Gid))
	t.Cleanup(func() {
		server.Kill(t)
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// mountSmall mounts a file system in memory, if this process may.
func mountSmall(t *testing.T, dir, options string) {
	t.Helper()
	if err := syscall.Mount("semel", dir, "tmpfs", 0, options); err != nil {
		why := fmt.Sprintf("a small file system cannot be mounted: %v", err)
		if os.Getenv("SEMEL_TEST_REQUIRE") == "all" {
			t.Fatalf("SEMEL_TEST_REQUIRE=all, but %s", why)
		}
		t.Skip(why)
	}
}

// I10, L4: when the disk of the table is full, steps fail with ErrFull, replays
// go on, nothing that was acknowledged is lost, and service resumes by itself
// when there is space.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	server := servertest.NewPostgres(t)
	dir := smallDisk(t, server, 4<<20)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	owner, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if id, ok := owner.Sys().(*syscall.Stat_t); !ok || os.Chown(data, int(id.Uid), int(id.Gid)) != nil {
		t.Fatal("the directory cannot be given to the server")
	}
	admin := poolOf(t, server.DSN())
	run(t, admin, "CREATE TABLESPACE small LOCATION '"+data+"'")
	schema := servertest.Name(t)
	s := opened(t, server.DSN()+"&default_tablespace=small", pgstore.Config{Schema: schema})
	migrate(t, s)

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
	for _, r := range completed {
		mustReplay(t, s, r, body)
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
	for _, r := range completed {
		mustReplay(t, s, r, body)
	}
	t.Logf("%d completed, then %d", full, len(completed))
}
