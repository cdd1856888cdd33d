package verify_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/idempotency"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/interop/internal/command"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// bank is the service behind every endpoint: payments that can be told apart, counted,
// declined, busy and slow.
type bank struct {
	payments atomic.Int64
	busy     atomic.Bool // said "try again" already
}

// slow is how long a slow payment takes.
const slow = time.Second

// pay is one payment: the status, the body, and where it is.
func (b *bank) pay(body []byte) (status int, answer, location string) {
	var order struct{ Kind string }
	if json.Unmarshal(body, &order) != nil {
		return http.StatusBadRequest, `{"error": "no order"}`, ""
	}
	switch order.Kind {
	case "declined":
		return http.StatusPaymentRequired, fmt.Sprintf(`{"declined": %q}`, semel.NewToken()), ""
	case "busy":
		if b.busy.CompareAndSwap(false, true) {
			return http.StatusServiceUnavailable, `{"busy": true}`, ""
		}
	case "slow":
		time.Sleep(slow)
	}
	n := b.payments.Add(1)
	return http.StatusCreated, fmt.Sprintf(`{"id": %d}`, n), fmt.Sprintf("/payments/%d", n)
}

func (b *bank) stats() string { return fmt.Sprintf(`{"payments": %d}`, b.payments.Load()) }

// ServeHTTP is the service on net/http.
func (b *bank) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.Method != http.MethodPost {
		_, _ = io.WriteString(w, b.stats())
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	status, answer, location := b.pay(body)
	if location != "" {
		w.Header().Set("Location", location)
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, answer)
}

// serve serves payments by guarded, and their number at /stats by b itself.
func serve(t *testing.T, b *bank, guarded http.Handler) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/", guarded)
	mux.Handle("GET /stats", b)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// endpoint is something to check.
type endpoint struct {
	name string
	url  string   // of the endpoint
	stat string   // of the counter
	args []string // beside those that all get
}

// naive is the service without any guard.
func naive(t *testing.T) endpoint {
	t.Helper()
	b := new(bank)
	at := serve(t, b, b)
	return endpoint{"no guard", at, at, nil}
}

// library is the service behind the middleware of this repository.
func library(t *testing.T) endpoint {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close(t.Context()) })
	mw, err := semelhttp.New(engine, semelhttp.ByHeader("Authorization"), semelhttp.Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	b := new(bank)
	at := serve(t, b, mw.Wrap(b))
	return endpoint{"Semel, middleware", at, at, nil}
}

// sidecar is the service behind the built command, with its defaults.
func sidecar(t *testing.T) endpoint {
	t.Helper()
	b := new(bank)
	upstream := serve(t, b, b)
	return endpoint{"Semel, sidecar", "http://" + command.Proxy(t, upstream, "--store", "memory"), upstream, nil}
}

// fibers is the service in fiber behind its own middleware, as its documentation configures it:
// with the defaults. Its keys are of 36 characters in X-Idempotency-Key.
func fibers(t *testing.T) endpoint {
	t.Helper()
	b := new(bank)
	app := fiber.New()
	app.Get("/stats", func(c fiber.Ctx) error { return c.SendString(b.stats()) })
	app.Use(idempotency.New())
	pay := func(c fiber.Ctx) error {
		status, answer, location := b.pay(c.Body())
		if location != "" {
			c.Set("Location", location)
		}
		c.Set("Content-Type", "application/json")
		return c.Status(status).SendString(answer)
	}
	for _, path := range []string{"/payments", "/refunds"} {
		app.Post(path, pay)
		app.Get(path, func(c fiber.Ctx) error { return c.SendString(b.stats()) })
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- app.Listener(l, fiber.ListenConfig{DisableStartupMessage: true}) }()
	t.Cleanup(func() {
		if err := app.ShutdownWithTimeout(time.Second); err != nil {
			t.Log(err)
		}
		<-done
	})
	at := "http://" + l.Addr().String()
	return endpoint{"fiber, middleware", at, at, []string{"--key-header", "X-Idempotency-Key", "--max-key", "36", "--require-key=false"}}
}
