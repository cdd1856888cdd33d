//go:build unix

package main

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/sqlitestore"
)

// TestListInterrupted: a list that Ctrl-C ends says so, and its JSON is no whole list.
func TestListInterrupted(t *testing.T) {
	const many = 3000
	path := filepath.Join(t.TempDir(), "records.db")
	store, err := sqlitestore.Open(path, sqlitestore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for first := range 50 {
		writers.Go(func() {
			for i := first; i < many; i += 50 {
				_, err := store.Reserve(t.Context(), semel.Reservation{
					Key: semel.Key{Scope: "acme", ID: strconv.Itoa(i)}, Token: semel.NewToken(), Lease: time.Minute, Retention: time.Hour, Owner: "host/1",
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"table", "json"} {
		cmd := exec.Command(program, "records", "list", "--store", "sqlite:"+path, "--limit", "0", "--output", format)
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, 4<<10)); err != nil { // it lists, and soon waits for the reader
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond)
		text, err := io.ReadAll(out)
		if err != nil {
			t.Fatal(err)
		}
		exit := (*exec.ExitError)(nil)
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("%s: ended with %v, want exit code 1\n%s", format, err, &said)
		}
		if n := strings.Count(string(text), "acme"); n == 0 || n == many || strings.HasSuffix(string(text), "]\n") {
			t.Errorf("%s: printed %d of %d records, and ended with %q", format, n, many, text[max(0, len(text)-20):])
		}
		if !strings.Contains(said.String(), "the list is incomplete: it ends after ") || !strings.Contains(said.String(), "error: stopped\n") {
			t.Errorf("%s: said %q", format, &said)
		}
	}
}
