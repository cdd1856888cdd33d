package redisstore_test

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
	"github.com/semel-go/semel/store/redisstore"
)

// smallDisk mounts a file system of that many bytes and returns its directory.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "semel-full-") //nolint:usetesting // t.TempDir lies where the server's user may not go
	must(t, "a directory", err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, "chmod", os.Chmod(dir, 0o755))
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

// fuller completes large responses one after the other, until a step fails.
type fuller struct {
	t    *testing.T
	s    *redisstore.Store
	kept []semel.Reservation // acknowledged
	body []byte
}

func (f *fuller) fill() error {
	f.t.Helper()
	for range 2000 {
		if err := f.one(); err != nil {
			return err
		}
	}
	f.t.Fatal("the disk does not get full: the test shows nothing")
	return nil
}

func (f *fuller) one() error {
	r := ask("full " + semel.NewToken().String())
	if _, err := f.s.Reserve(f.t.Context(), r); err != nil {
		return err
	}
	c := completion(r)
	c.Response.Body = append(c.Response.Body, f.body...)
	if err := f.s.Complete(f.t.Context(), c); err != nil {
		return err
	}
	f.kept = append(f.kept, r)
	return nil
}

// check replays all that was acknowledged.
func (f *fuller) check() {
	f.t.Helper()
	for _, r := range f.kept {
		held, err := f.s.Reserve(f.t.Context(), another(r))
		if err != nil || held.State != semel.StateCompleted || string(held.Response.Body) != string(answer(r).Body)+string(f.body) {
			f.t.Fatalf("got a %v slot, error %v, want the kept response (I2, I10)", held.State, err)
		}
	}
}

// I10, L4: with appendfsync always, the server ends itself when it cannot
// append to its log. Steps fail, and name the step; what was acknowledged is
// there when the server is started again, also while the disk is still full;
// with space, the same store serves.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, 16<<20)
	ballast := filepath.Join(dir, "ballast")
	must(t, "ballast", os.WriteFile(ballast, make([]byte, 8<<20), 0o600))
	server := servertest.NewRedis(t, "dir="+dir, "appendonly=yes", "appendfsync=always", "auto-aof-rewrite-percentage=0")
	f := &fuller{t: t, s: open(t, server.DSN(), redisstore.Config{}), body: make([]byte, 100_000)}
	for range 2 { // it starts, and ends again at the next write
		err := f.fill()
		if err == nil || !strings.HasPrefix(err.Error(), "redisstore: ") {
			t.Errorf("got error %v, want one that names the step", err)
		}
		t.Logf("after %d records: %v", len(f.kept), err)
		until(t, "the server has ended", func() bool { return strings.Contains(server.Log(), "AOF write error") })
		server.Kill(t) // what is left of it
		if err := f.one(); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("got error %v, want one that says that nobody is there", err)
		}
		server.Start(t)
		f.check()
	}
	must(t, "free space", os.Remove(ballast))
	for range 20 {
		must(t, "a record", f.one())
	}
	server.Restart(t)
	f.check()
}

// I10, L4: with appendfsync everysec the server stays and refuses writes, which
// is ErrFull, replays go on, and it serves again by itself when there is space.
func TestDiskFullWithoutSync(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, 16<<20)
	ballast := filepath.Join(dir, "ballast")
	must(t, "ballast", os.WriteFile(ballast, make([]byte, 8<<20), 0o600))
	server := servertest.NewRedis(t, "dir="+dir, "appendonly=yes", "appendfsync=everysec", "auto-aof-rewrite-percentage=0")
	f := &fuller{t: t, s: open(t, server.DSN(), redisstore.Config{}), body: make([]byte, 100_000)}
	for range 2 {
		if err := f.fill(); !errors.Is(err, semel.ErrFull) || !strings.HasPrefix(err.Error(), "redisstore: ") {
			t.Errorf("got error %v, want ErrFull", err)
		}
		f.check()
	}
	must(t, "free space", os.Remove(ballast))
	serves(t, f.s)
	for range 20 {
		must(t, "a record", f.one())
	}
	f.check()
}
