package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// ledgerEnv makes the test binary the service of [startLedger]: its address, its
// file and when it dies.
const ledgerEnv = "SEMEL_TEST_LEDGER"

// entry is a line of the ledger's file: an effect, or a fence under which the
// service has said that there was none.
type entry struct {
	Key, Effect string
	Fence       int64
}

// ledger is a service that keeps its effects in a file, beside the derived key of
// their request, and can be asked for them.
type ledger struct {
	mu   sync.Mutex
	path string
	dies string // "before" or "after" the effect, "never" but never answers, or ""
}

// serveLedger runs in a process of its own until that is killed, or dies.
func serveLedger(settings string) error {
	parts := strings.Split(settings, "|")
	l := &ledger{path: parts[1], dies: parts[2]}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /pay", l.pay)
	mux.HandleFunc("GET /operations/{key}", l.tell)
	return http.ListenAndServe(parts[0], mux)
}

// find returns the effect of a key, and the fence below which nothing is done.
func (l *ledger) find(key string) (effect string, least int64, err error) {
	f, err := os.Open(l.path)
	if errors.Is(err, os.ErrNotExist) {
		return "", 0, nil
	}
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var e entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return "", 0, err
		}
		if e.Key == key {
			effect, least = effect+e.Effect, max(least, e.Fence)
		}
	}
	return effect, least, nil
}

func (l *ledger) write(e entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Sync(), f.Close())
}

func (l *ledger) pay(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Semel-Derived-Key")
	switch err := l.effect(key, r); {
	case err != nil:
		http.Error(w, err.Error(), http.StatusPreconditionFailed)
	case l.dies == "after":
		os.Exit(1)
	case l.dies == "never":
		<-r.Context().Done()
	default:
		receipt(w, key, http.StatusCreated)
	}
}

func (l *ledger) effect(key string, r *http.Request) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var fence int64
	_, _ = fmt.Sscan(r.Header.Get("Semel-Fence"), &fence)
	_, least, err := l.find(key)
	switch {
	case err != nil:
		return err
	case fence < least:
		return errors.New("another attempt has been asked about")
	case l.dies == "before":
		os.Exit(1)
	}
	return l.write(entry{Key: key, Effect: "paid", Fence: fence})
}

func receipt(w http.ResponseWriter, key string, status int) {
	w.Header().Set("Location", "/operations/"+key)
	w.Header().Set("Content-Type", "text/x-receipt")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "paid %s\n", key)
}

func (l *ledger) tell(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := r.Header.Get("Semel-Derived-Key")
	if key == "" || key != r.PathValue("key") {
		http.Error(w, "who asks?", http.StatusForbidden)
		return
	}
	effect, _, err := l.find(key)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	case effect != "":
		w.Header().Set("Semel-Settle", "keep")
		w.Header().Set("Semel-Status", "201")
		receipt(w, key, http.StatusOK)
	default:
		var fence int64
		_, _ = fmt.Sscan(r.Header.Get("Semel-Fence"), &fence)
		if err := l.write(entry{Key: key, Fence: fence}); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Semel-Settle", "release")
	}
}

// ledgerProcess is a ledger that runs, or has died.
type ledgerProcess struct {
	addr, path string
	cmd        *exec.Cmd
}

func newLedger(t *testing.T) *ledgerProcess {
	t.Helper()
	l := &ledgerProcess{addr: freePort(t), path: t.TempDir() + "/ledger.jsonl"}
	t.Cleanup(func() { l.stop(t) })
	return l
}

// start runs the service, which dies when it is told to.
func (l *ledgerProcess) start(t *testing.T, dies string) {
	t.Helper()
	l.cmd = exec.Command(os.Args[0])
	l.cmd.Env = append(os.Environ(), ledgerEnv+"="+strings.Join([]string{l.addr, l.path, dies}, "|"))
	l.cmd.Stderr = os.Stderr
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("tcp", l.addr)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the ledger does not listen: %v", err)
		}
	}
}

// stop waits for a service that dies, and kills one that does not.
func (l *ledgerProcess) stop(t *testing.T) {
	t.Helper()
	if l.cmd != nil {
		_ = l.cmd.Process.Kill()
		_ = l.cmd.Wait() // its code says that it was killed, or died
		l.cmd = nil
	}
}

// effects counts what has happened, for all keys.
func (l *ledgerProcess) effects(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(l.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Count(string(text), `"Effect":"paid"`)
}
