package semelhttp_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// A payment handler behind the middleware: the second request is a retry.
func Example() {
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		log.Fatal(err)
	}
	mw, err := semelhttp.New(engine, semelhttp.ByHeader("Authorization"), semelhttp.Config{})
	if err != nil {
		log.Fatal(err)
	}
	var payments atomic.Int64
	mux := http.NewServeMux()
	mux.Handle("POST /payments", mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, "payment %d", payments.Add(1))
	})))
	server := httptest.NewServer(mux)
	defer server.Close()

	for range 2 {
		r, _ := http.NewRequest(http.MethodPost, server.URL+"/payments", strings.NewReader(`{"amount":2500}`))
		r.Header.Set("Authorization", "Bearer alice")
		r.Header.Set("Idempotency-Key", "order-1")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			log.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		fmt.Printf("%d %s replayed=%q\n", resp.StatusCode, body, resp.Header.Get("Idempotent-Replayed"))
	}
	// Output:
	// 201 payment 1 replayed=""
	// 201 payment 1 replayed="true"
}

// A route may differ from the rest: one is kept for a week, one keeps every
// whole answer.
func ExampleMiddleware_With() {
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		log.Fatal(err)
	}
	mw, err := semelhttp.New(engine, semelhttp.ByHeader("Authorization"), semelhttp.Config{})
	if err != nil {
		log.Fatal(err)
	}
	week, err := mw.With(func(c *semelhttp.Config) { c.Retention = 7 * 24 * time.Hour })
	if err != nil {
		log.Fatal(err)
	}
	strict, err := mw.With(func(c *semelhttp.Config) { c.Preset = semelhttp.FreezeAll })
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(week != nil, strict != nil)
	// Output: true true
}

// The handler knows more than its status code: nothing was booked, so the key
// may be used again.
func ExampleMiddleware_Wrap_settle() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Content-Type"), "json") {
			semel.FromContext(r.Context()).Settle(semel.Free)
			http.Error(w, "send JSON", http.StatusUnsupportedMediaType)
			return
		}
		w.WriteHeader(http.StatusCreated)
	})
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		log.Fatal(err)
	}
	mw, err := semelhttp.New(engine, semelhttp.Global(), semelhttp.Config{})
	if err != nil {
		log.Fatal(err)
	}
	guarded := mw.Wrap(handler)
	for _, contentType := range []string{"text/plain", "application/json", "application/json"} {
		r := httptest.NewRequest(http.MethodPost, "/payments", strings.NewReader("{}"))
		r.Header.Set("Idempotency-Key", "order-1")
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		guarded.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Header().Get("Idempotent-Replayed") == "true")
	}
	// Output:
	// 415 false
	// 201 false
	// 201 true
}
