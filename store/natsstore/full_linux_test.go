package natsstore_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/natsstore"
	"github.com/semel-go/semel/store/natsstore/natstest"
)

// smallDisk mounts a file system of that many bytes and returns its directory.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("semel", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0777", size)); err != nil {
		if os.Getenv("SEMEL_TEST_REQUIRE") == "all" {
			t.Fatalf("SEMEL_TEST_REQUIRE=all, but a small file system cannot be mounted: %v", err)
		}
		t.Skipf("a small file system cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fuller completes large responses one after the other.
type fuller struct {
	t    *testing.T
	s    *natsstore.Store
	kept []semel.Reservation // acknowledged
}

var large = semel.Response{Status: 201, Body: bytes.Repeat([]byte("b"), 100_000)}

func (f *fuller) one() error {
	r := request("full " + semel.NewToken().String())
	if _, err := f.s.Reserve(f.t.Context(), r); err != nil {
		return err
	}
	err := f.s.Complete(f.t.Context(), semel.Completion{Key: r.Key, Token: r.Token, Retention: r.Retention, Response: large})
	if err == nil {
		f.kept = append(f.kept, r)
	}
	return err
}

// check replays all that was acknowledged. A replay may have to wait for an election; it
// is never another one.
func (f *fuller) check() {
	f.t.Helper()
	for _, r := range f.kept {
		r.Token = semel.NewToken()
		var held semel.Record
		err := insist(f.t, func() (err error) {
			held, err = f.s.Reserve(f.t.Context(), r)
			return err
		})
		if err != nil || held.State != semel.StateCompleted || !bytes.Equal(held.Response.Body, large.Body) {
			f.t.Fatalf("got a %v slot, error %v, want the kept response (I2, I10)", held.State, err)
		}
	}
}

// I10, L4: a server whose disk is full does not answer writes, and never
// acknowledges one; a step says what that may mean, and that the server goes on
// answering otherwise. It stays so, also with space again, until the server is
// started anew: then the same store serves, and replays what was acknowledged.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, 32<<20)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 16<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	server := natstest.Start(t, natstest.Options{Dir: filepath.Join(dir, "data"), SyncAlways: true})
	f := &fuller{t: t, s: open(t, server.URL(), natsstore.Config{Timeout: time.Second})}
	var err error
	for err == nil && len(f.kept) < 1000 {
		err = f.one()
	}
	for range 2 { // it stays so
		if err == nil || !strings.HasPrefix(err.Error(), "natsstore: ") {
			t.Fatalf("got error %v on a full disk, want one of the store", err)
		}
		natstest.Poll(t, "a step says what may be", func() error {
			if err = f.one(); err == nil {
				t.Fatal("a record is acknowledged on a full disk")
			}
			if strings.Contains(err.Error(), "cannot write to its disk") {
				return nil
			}
			return err
		})
	}
	if !strings.Contains(server.Log(), "no space left") {
		t.Error("the server's disk is not full: the test shows nothing")
	}
	full := len(f.kept)
	f.check() // a write that is refused, as for a replay, needs no space
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	server.Restart(t)
	natstest.Poll(t, "the store serves again (L4)", f.one)
	f.check()
	for range 20 {
		if err := f.one(); err != nil {
			t.Fatal(err)
		}
	}
	server.Restart(t)
	natstest.Poll(t, "the store serves again (L4)", f.one)
	f.check()
	t.Logf("%d completed, then %d", full, len(f.kept)-full)
}

// threeWithSmall starts three servers of which s1 has a small disk, opens a store
// on them, and lets the server of that number lead its stream. It returns the way
// to make room on the disk.
func threeWithSmall(t *testing.T, leader int) (servers []*natstest.Server, f *fuller, small string, makeRoom func()) {
	t.Helper()
	dir, small := t.TempDir(), smallDisk(t, 24<<20)
	ballast := filepath.Join(small, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 14<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(small, filepath.Join(dir, "s1")); err != nil {
		t.Fatal(err)
	}
	servers = natstest.StartProcesses(t, 3, natstest.Options{Dir: dir})
	cfg := natsstore.Config{Stream: "FULL", Replicas: 3, Timeout: 2 * time.Second}
	f = &fuller{t: t, s: open(t, natstest.URL(servers...), cfg)}
	natstest.Poll(t, "the server leads", func() error {
		info, err := client(t, f.s).Stream(t.Context(), cfg.Stream)
		name := fmt.Sprint("s", leader)
		if err != nil || info.CachedInfo().Cluster.Leader == name {
			return err
		}
		_, err = f.s.Conn().Request("$JS.API.STREAM.LEADER.STEPDOWN."+cfg.Stream, []byte(`{"placement":{"preferred":"`+name+`"}}`), time.Second)
		return fmt.Errorf("%s leads and was asked to step down, error %w", info.CachedInfo().Cluster.Leader, err)
	})
	return servers, f, small, func() {
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	}
}

// isFull reports whether less than a mebibyte of a disk is free.
func isFull(t *testing.T, dir string) bool {
	t.Helper()
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		t.Fatal(err)
	}
	return int(disk.Bavail)*int(disk.Bsize) < 1<<20
}

// I10, L4: of three servers one whose disk is full costs no record and no service
// while another leads the stream.
func TestDiskFullOfOne(t *testing.T) {
	t.Parallel()
	_, f, small, _ := threeWithSmall(t, 2)
	full := false
	for range 150 { // more than fits
		natstest.Poll(t, "a record is kept", f.one)
		full = full || isFull(t, small)
	}
	if !full {
		t.Error("the disk did not get full: the test shows nothing")
	}
	f.check()
	natstest.Poll(t, "a record is kept", f.one)
}

// I10, L4: when the server whose disk is full leads the stream, steps fail until it
// is killed: NATS 2.15.2 hangs and goes on leading. Then the others serve, with all
// that was acknowledged; with space it comes back.
func TestDiskFullOfLeader(t *testing.T) {
	t.Parallel()
	servers, f, small, makeRoom := threeWithSmall(t, 1)
	var err error
	for err == nil && len(f.kept) < 1000 {
		err = f.one()
	}
	if err == nil || !strings.HasPrefix(err.Error(), "natsstore: ") || !isFull(t, small) {
		t.Fatalf("got error %v after %d records, want one of the store on a full disk", err, len(f.kept))
	}
	servers[0].Kill(t)
	natstest.Poll(t, "the store serves again (L4)", f.one)
	f.check()
	makeRoom()
	servers[0].Start(t)
	waitCurrent(t, f.s)
	f.check()
	natstest.Poll(t, "a record is kept", f.one)
}
