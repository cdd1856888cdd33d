package rpc

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/interop/internal/command"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

func TestMain(m *testing.M) {
	code := command.Main(m)
	servertest.Close()
	os.Exit(code)
}

// limit is the largest request and answer, in bytes.
const limit = 2000

// door is what stands before a service: the middleware or the sidecar.
type door struct {
	url string
	// requests counts what the clients have sent.
	requests atomic.Int64
	// fail makes the store fail from now on.
	fail func(t *testing.T)
}

// doors are the ways to guard a service.
var doors = map[string]func(t *testing.T, h http.Handler) *door{
	"middleware": newMiddleware,
	"sidecar":    newSidecar,
}

// serve serves HTTP/1.1 and HTTP/2 without TLS.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

// failing is a memstore that can be told to fail.
type failing struct {
	*memstore.Store
	fails atomic.Bool
}

func (f *failing) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	if f.fails.Load() {
		return semel.Record{}, errors.New("the store is away")
	}
	return f.Store.Reserve(ctx, r)
}

func newMiddleware(t *testing.T, h http.Handler) *door {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	store := &failing{Store: memstore.New(memstore.Config{})}
	engine, err := semel.New(store, semel.Config{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close(context.Background()) })
	mw, err := semelhttp.New(engine, semelhttp.ByHeader("Authorization"), semelhttp.Config{
		Preset: semelhttp.Connect, MaxBody: limit, MaxResponse: limit, Logger: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	d := &door{fail: func(*testing.T) { store.fails.Store(true) }}
	guarded := mw.Wrap(h)
	d.url = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.requests.Add(1)
		guarded.ServeHTTP(w, r)
	}))
	return d
}

// newSidecar starts the built command with a store in its memory. Its requests are not counted.
func newSidecar(t *testing.T, h http.Handler) *door {
	t.Helper()
	return sidecarOn(t, h, "memory:", func(t *testing.T) { t.Fatal("the memory does not fail") })
}

// newFallible is a sidecar on a Redis server that can be ended.
func newFallible(t *testing.T, h http.Handler) *door {
	t.Helper()
	redis := servertest.NewRedis(t)
	return sidecarOn(t, h, redis.DSN(), func(t *testing.T) { redis.Kill(t) })
}

func sidecarOn(t *testing.T, h http.Handler, store string, fail func(*testing.T)) *door {
	t.Helper()
	upstream := strings.Replace(serve(t, h), "http:", "h2c:", 1)
	addr := command.Proxy(t, upstream, "--preset", "grpc", "--store", store, "--scope", "header:Authorization",
		"--max-body", "2000B", "--max-response", "2000B")
	return &door{url: "http://" + addr, fail: fail}
}

// within ends a test whose calls hang.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// gone is a sidecar whose upstream has ended.
func gone(t *testing.T) *door {
	t.Helper()
	server := httptest.NewServer(http.NotFoundHandler())
	upstream := strings.Replace(server.URL, "http:", "h2c:", 1)
	server.Close()
	addr := command.Proxy(t, upstream, "--preset", "connect", "--store", "memory:", "--scope", "header:Authorization")
	return &door{url: "http://" + addr}
}
