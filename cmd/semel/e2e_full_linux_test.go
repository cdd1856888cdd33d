package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// ballast fills a small disk, and can be thrown off again.
type ballast string

func (b ballast) take(t *testing.T) {
	t.Helper()
	f, err := os.Create(string(b))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	chunk := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(chunk)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
}

func (b ballast) drop(t *testing.T) {
	t.Helper()
	if err := os.Remove(string(b)); err != nil {
		t.Fatal(err)
	}
}

// smallDisk mounts a file system of 4 MiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("semel", dir, "tmpfs", 0, "size=4194304"); err != nil {
		if os.Getenv("SEMEL_TEST_REQUIRE") == "all" {
			t.Fatalf("a small file system is required and cannot be mounted: %v", err)
		}
		t.Skipf("SKIPPED: a small file system cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// What a client of the sidecar sees when the store's disk is full: a request
// that cannot be reserved does not run; one that cannot be kept gets its true
// answer, marked, and is kept when there is room; nothing runs twice (I10, I14, L4).
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t)
	full := ballast(filepath.Join(dir, "ballast"))
	var runs atomic.Int64
	var during atomic.Pointer[func()]
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := runs.Add(1)
		if f := during.Swap(nil); f != nil {
			(*f)()
		}
		fmt.Fprintf(w, "run %d %s", n, strings.Repeat("x", 200_000))
	}))
	defer upstream.Close()
	s := startSidecar(t, upstream.URL, "--store", "sqlite:"+filepath.Join(dir, "semel.db"))
	post := func(key string) (status int, header http.Header, body string) {
		t.Helper()
		r, err := http.NewRequest(http.MethodPost, "http://"+s.addr+"/payments", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.GetBody = nil
		r.Header.Set("Authorization", "Bearer me")
		r.Header.Set("Idempotency-Key", key)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, res.Header, string(b)
	}

	full.take(t)
	for i := range 100 { // the log may have room for some rows
		if status, header, body := post(fmt.Sprintf("before-%d", i)); status == http.StatusServiceUnavailable {
			if header.Get("Retry-After") == "" || !strings.Contains(body, "store_unavailable") {
				t.Errorf("got %v %.200s", header, body)
			}
			break
		}
		if i == 99 {
			t.Fatal("the disk never was full")
		}
	}
	full.drop(t)

	before := runs.Load()
	fill := func() { full.take(t) }
	during.Store(&fill)
	status, header, first := post("during")
	if status != http.StatusOK || header.Get("Semel-Stored") != "false" || !strings.HasPrefix(first, "run ") {
		t.Fatalf("got %d %v %.60q, want the true answer, marked", status, header, first)
	}
	full.drop(t)
	for deadline := time.Now().Add(30 * time.Second); ; {
		status, header, again := post("during")
		if status == http.StatusOK {
			if again != first || header.Get("Idempotent-Replayed") != "true" {
				t.Errorf("got %v %.60q, want the first answer %.60q", header, again, first)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the answer is not kept although there is room: %d %.200s", status, again)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if got := runs.Load() - before; got != 1 {
		t.Errorf("the request ran %d times, want once", got)
	}
}
