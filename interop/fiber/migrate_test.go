package fiber

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/idempotency"
	"github.com/semel-go/semel/interop/internal/command"
)

// shop takes payments behind fiber's middleware, until that is switched off.
type shop struct {
	url      string
	payments atomic.Int64
	bare     atomic.Bool
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{}
	app := fiber.New()
	app.Use(idempotency.New(idempotency.Config{Next: func(fiber.Ctx) bool { return s.bare.Load() }}))
	app.Post("/payments", func(c fiber.Ctx) error {
		n := s.payments.Add(1)
		c.Set("Location", fmt.Sprintf("/payments/%d", n))
		return c.Status(http.StatusCreated).SendString(fmt.Sprintf("payment %d", n))
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- app.Listener(listener, fiber.ListenConfig{DisableStartupMessage: true}) }()
	t.Cleanup(func() {
		if err := app.ShutdownWithTimeout(5 * time.Second); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	s.url = "http://" + listener.Addr().String()
	return s
}

// pay is a request of a client, and what it is told.
func pay(t *testing.T, url, key string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/payments", strings.NewReader(`{"amount":25}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer alice")
	r.Header.Set("X-Idempotency-Key", key)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // sends nothing twice
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(fmt.Sprintln(res.StatusCode, res.Header.Get("Location"), string(body), res.Header.Get("Idempotent-Replayed")))
}

// TestFromFiber takes the steps of docs/migrating.md. No key pays twice on the way (I1), and
// what was answered before is answered after.
func TestFromFiber(t *testing.T) {
	s := newShop(t)
	const before, meanwhile, after = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002", "order-3"

	if got := pay(t, s.url, before); got != "201 /payments/1 payment 1" {
		t.Fatalf("fiber alone: got %q", got)
	}
	sidecar := "http://" + command.Proxy(t, s.url,
		"--store", "memory", "--scope", "header:Authorization", "--key-header", "X-Idempotency-Key", "--optional", "--wait", "10s")
	steps := []struct{ what, key, want string }{
		{"a key from before, through the sidecar", before, "201 /payments/1 payment 1"},
		{"and again", before, "201 /payments/1 payment 1 true"},
		{"a new key", meanwhile, "201 /payments/2 payment 2"},
		{"its retry", meanwhile, "201 /payments/2 payment 2 true"},
	}
	for _, step := range steps {
		if got := pay(t, sidecar, step.key); got != step.want {
			t.Errorf("%s: got %q, want %q", step.what, got, step.want)
		}
	}
	if got := pay(t, s.url, meanwhile); got != "201 /payments/2 payment 2" {
		t.Errorf("a retry that still comes to the service itself: got %q", got)
	}

	s.bare.Store(true) // the middleware is gone
	for _, step := range []struct{ what, key, want string }{
		{"a key from before", before, "201 /payments/1 payment 1 true"},
		{"a key from the time of both", meanwhile, "201 /payments/2 payment 2 true"},
		{"a key of another form", after, "201 /payments/3 payment 3"},
		{"its retry", after, "201 /payments/3 payment 3 true"},
	} {
		if got := pay(t, sidecar, step.key); got != step.want {
			t.Errorf("without fiber's middleware, %s: got %q, want %q", step.what, got, step.want)
		}
	}
	if n := s.payments.Load(); n != 3 {
		t.Errorf("%d payments for three keys", n)
	}
}
