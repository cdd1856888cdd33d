package semelecho_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/labstack/echo/v5"
	"github.com/labstack/echo/v5/middleware"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelecho"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// A declined payment that a handler returns as an error is kept as the client saw it.
// Refunds are kept for a month.
func Example() {
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = engine.Close(context.Background()) }()
	mw, err := semelhttp.New(engine, semelecho.ByKey("user"), semelhttp.Config{})
	if err != nil {
		log.Fatal(err)
	}
	refunds, err := mw.With(func(c *semelhttp.Config) { c.Retention = 30 * 24 * time.Hour })
	if err != nil {
		log.Fatal(err)
	}

	declined := 0
	e := echo.New()
	e.Use(middleware.Recover(), authenticate)
	e.POST("/payments", func(*echo.Context) error {
		declined++
		return echo.NewHTTPError(http.StatusPaymentRequired, fmt.Sprint("declined ", declined))
	}, semelecho.Wrap(mw))
	e.POST("/refunds", func(c *echo.Context) error {
		return c.String(http.StatusCreated, "refund 1")
	}, semelecho.Wrap(refunds))

	for _, path := range []string{"/payments", "/payments", "/refunds", "/refunds"} {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(`{"amount":2500}`))
		r.Header.Set("Authorization", "alice")
		r.Header.Set("Idempotency-Key", "order-1"+path)
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		body, _ := io.ReadAll(w.Body)
		fmt.Printf("%d %s replayed=%q\n", w.Code, bytes.TrimSpace(body), w.Header().Get("Idempotent-Replayed"))
	}
	// Output:
	// 402 {"message":"declined 1"} replayed=""
	// 402 {"message":"declined 1"} replayed="true"
	// 201 refund 1 replayed=""
	// 201 refund 1 replayed="true"
}
