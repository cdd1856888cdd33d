package main

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/idempotency"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// The workload over HTTP: 1 KiB of JSON in, 1 KiB of JSON out.
const (
	payPath   = "/payments"
	runsPath  = "/runs" // answers how often the payments handler ran
	payScope  = "Bearer 4f7c0e5a9d1b4e6f8a2c3d5e7f901234"
	jsonType  = "application/json"
	keyHeader = "Idempotency-Key"
	jsonSize  = 1024
)

// jsonOf returns a JSON object of exactly jsonSize bytes.
func jsonOf(head string) []byte {
	b := append([]byte(head), `,"note":"`...)
	for i := 0; len(b) < jsonSize-2; i++ {
		b = append(b, 'a'+byte(i*7%26))
	}
	return append(b, `"}`...)
}

var (
	payRequest = jsonOf(`{"amount":1999,"currency":"EUR","customer":"cus_4QWKsZuuTHcs7X"`)
	payAnswer  = jsonOf(`{"id":"pay_3MtwBwLkdIwHu7ix28a3tqPa","status":"succeeded"`)
	jsonTypes  = []string{jsonType} // shared: no subject changes it
)

// subject is one way to serve the workload. Exactly one of the two is set.
type subject struct {
	name  string
	http  func(pay http.Handler) (guarded http.Handler, close func(), err error)
	fiber func(app *fiber.App)
	// replays is false for a bare handler, which has nothing to replay.
	replays bool
}

// subjects in the order of the tables. Each kind of server begins with its bare
// handler, which its ratios are taken to.
func subjects() []subject {
	return []subject{
		{name: "net/http bare", http: func(pay http.Handler) (http.Handler, func(), error) {
			return pay, func() {}, nil
		}},
		{name: "Semel", http: guard, replays: true},
		{name: "naive", http: func(pay http.Handler) (http.Handler, func(), error) {
			return newNaive().wrap(pay), func() {}, nil
		}, replays: true},
		{name: "fiber bare", fiber: func(*fiber.App) {}},
		{name: "fiber idempotency", fiber: func(app *fiber.App) {
			app.Use(idempotency.New(idempotency.Config{KeyHeader: keyHeader}))
		}, replays: true},
	}
}

// guard is Semel with every feature that the default configuration has: scope by
// header, fingerprint over the body, leases, memory store.
func guard(pay http.Handler) (http.Handler, func(), error) {
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		return nil, nil, err
	}
	mw, err := semelhttp.New(engine, semelhttp.ByHeader("Authorization"), semelhttp.Config{})
	if err != nil {
		return nil, nil, err
	}
	return mw.Wrap(pay), func() { _ = engine.Close(context.Background()) }, nil // memory: nothing to lose
}

// payments is the handler behind every net/http subject. It reads the request
// and counts how often it ran.
type payments struct{ runs atomic.Int64 }

func (p *payments) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.runs.Add(1)
	w.Header()["Content-Type"] = jsonTypes
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(payAnswer) // a client that is gone cannot be told
}

// site is payments as a server has it, with a page that tells the runs.
func (p *payments) site(guarded http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == runsPath {
			_, _ = io.WriteString(w, strconv.FormatInt(p.runs.Load(), 10))
			return
		}
		guarded.ServeHTTP(w, r)
	})
}

// newFiber is the same service on fiber.
func (s subject) newFiber(p *payments) *fiber.App {
	app := fiber.New()
	app.Get(runsPath, func(c fiber.Ctx) error {
		return c.SendString(strconv.FormatInt(p.runs.Load(), 10))
	})
	s.fiber(app)
	app.Post(payPath, func(c fiber.Ctx) error {
		if len(c.Body()) != jsonSize {
			return fiber.ErrBadRequest
		}
		p.runs.Add(1)
		c.Response().Header.SetContentType(jsonType)
		return c.Status(fiber.StatusCreated).Send(payAnswer)
	})
	return app
}

// keyTemplate has the form and length that fiber's middleware asks for.
const keyTemplate = "0b6c6b3e-6d2f-4c47-8f5e-000000000000"

// putKey writes n as the last twelve digits of a key.
func putKey(key []byte, n int64) {
	for i := len(key) - 1; i >= len(key)-12; i-- {
		key[i] = "0123456789abcdef"[n&15]
		n >>= 4
	}
}
