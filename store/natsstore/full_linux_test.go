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
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
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
	s := open(t, server.URL(), natsstore.Config{Timeout: time.Second})
	var kept []semel.Reservation
	body := bytes.Repeat([]byte("b"), 100_000)
	one := func() error {
		r := request("full " + semel.NewToken().String())
		if _, err := s.Reserve(t.Context(), r); err != nil {
			return err
		}
		err := s.Complete(t.Context(), semel.Completion{Key: r.Key, Token: r.Token, Retention: r.Retention, Response: semel.Response{Status: 201, Body: body}})
		if err == nil {
			kept = append(kept, r)
		}
		return err
	}
	check := func() {
		t.Helper()
		for _, r := range kept {
			r.Token = semel.NewToken()
			held, err := s.Reserve(t.Context(), r)
			if err != nil || held.State != semel.StateCompleted || !bytes.Equal(held.Response.Body, body) {
				t.Fatalf("got a %v slot, error %v, want the kept response (I2, I10)", held.State, err)
			}
		}
	}
	var err error
	for err == nil && len(kept) < 1000 {
		err = one()
	}
	for range 2 { // it stays so
		if err == nil || !strings.HasPrefix(err.Error(), "natsstore: ") || !strings.Contains(err.Error(), "cannot write to its disk") {
			t.Fatalf("got error %v on a full disk, want one that says what may be", err)
		}
		err = one()
	}
	if !strings.Contains(server.Log(), "no space left") {
		t.Error("the server's disk is not full: the test shows nothing")
	}
	full := len(kept)
	check() // a write that is refused, as for a replay, needs no space
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	server.Restart(t)
	natstest.Poll(t, "the store serves again (L4)", one)
	check()
	for range 20 {
		if err := one(); err != nil {
			t.Fatal(err)
		}
	}
	server.Restart(t)
	natstest.Poll(t, "the store serves again (L4)", one)
	check()
	t.Logf("%d completed, then %d", full, len(kept)-full)
}
