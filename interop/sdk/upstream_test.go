package sdk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// An upstream gives everything that it makes an id of its own, so the same id twice is a replay. It
// refuses an amount of 0 with a status that is an outcome.

// mock is the stripe-mock of all tests, which takes a second to start.
var mock = sync.OnceValues(func() (*exec.Cmd, error) {
	path, err := exec.LookPath("stripe-mock")
	if err != nil {
		if path, err = filepath.Abs("../../.bin/stripe-mock"); err == nil {
			_, err = os.Stat(path)
		}
	}
	if err != nil {
		return nil, err
	}
	addr, err1 := freePort()
	tls, err2 := freePort()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	// With -http-addr alone it would also listen for HTTPS on every interface.
	cmd := exec.Command(path, "-http-addr", addr, "-https-addr", tls)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	share(cmd)
	for range 2000 {
		conn, dialErr := net.Dial("tcp", addr)
		if dialErr == nil {
			return cmd, conn.Close()
		}
		err = dialErr
		time.Sleep(10 * time.Millisecond)
	}
	return nil, err
})

// shared are the processes of all tests. TestMain ends them.
var shared struct {
	mu   sync.Mutex
	cmds []*exec.Cmd
}

func share(cmd *exec.Cmd) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.cmds = append(shared.cmds, cmd)
}

func stripeMock(t *testing.T) string {
	t.Helper()
	cmd, err := mock()
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
		missing(t, "stripe-mock")
	}
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + cmd.Args[2]
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
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
