package sdk

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// An upstream gives everything that it makes an id of its own, so the same id twice is a replay. It
// refuses an amount of 0 with a status that is an outcome.

// startStripeMock finds the program on the PATH or in .bin.
func startStripeMock(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("stripe-mock")
	if err != nil {
		if path, err = filepath.Abs("../../.bin/stripe-mock"); err == nil {
			_, err = os.Stat(path)
		}
	}
	if err != nil {
		missing(t, "stripe-mock")
	}
	addr, tls := freePort(t), freePort(t)
	// With -http-addr alone it would also listen for HTTPS on every interface.
	cmd := exec.Command(path, "-http-addr", addr, "-https-addr", tls)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
			return "http://" + addr
		}
		if time.Now().After(deadline) {
			t.Fatalf("stripe-mock does not listen on %s: %v", addr, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// startTreasury is as much of Modern Treasury as its SDK asks for.
func startTreasury(t *testing.T) string {
	t.Helper()
	var made atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var order struct{ Amount int }
		if r.URL.Path != "/api/payment_orders" || r.Method != http.MethodPost || r.Header.Get("Idempotency-Key") == "" {
			t.Errorf("got %s %s with the key %q", r.Method, r.URL, r.Header.Get("Idempotency-Key"))
		}
		_ = json.NewDecoder(r.Body).Decode(&order)
		w.Header().Set("Content-Type", "application/json")
		id := made.Add(1)
		if order.Amount == 0 {
			w.WriteHeader(http.StatusUnprocessableEntity)
			fmt.Fprintf(w, `{"errors":{"code":"parameter_invalid","message":"amount of order %d","parameter":"amount"}}`, id)
			return
		}
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"id":"order-%d","object":"payment_order","amount":%d}`, id, order.Amount)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// missing ends a test whose program is not installed.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("SEMEL_TEST_REQUIRE") == "all" {
		t.Fatalf("%s is required and not installed: make servers", what)
	}
	t.Skipf("SKIPPED: %s is not installed: make servers", what)
}
