package semelecho_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/labstack/echo/v5"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelecho"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

func ExampleWrap() {
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = engine.Close(context.Background()) }()
	mw, err := semelhttp.New(engine, semelecho.ByKey("account"), semelhttp.Config{})
	if err != nil {
		panic(err)
	}

	e := echo.New()
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc { // authentication
		return func(c *echo.Context) error {
			c.Set("account", "alice")
			return next(c)
		}
	})
	e.Use(semelecho.Wrap(mw))
	payments := 0
	e.POST("/payments", func(*echo.Context) error {
		payments++
		return echo.NewHTTPError(http.StatusPaymentRequired, fmt.Sprintf("payment %d is declined", payments))
	})

	for range 2 {
		q := httptest.NewRequest(http.MethodPost, "/payments", strings.NewReader(`{"amount":1}`))
		q.Header.Set("Idempotency-Key", "order-7")
		w := httptest.NewRecorder()
		e.ServeHTTP(w, q)
		fmt.Println(w.Code, strings.TrimSpace(w.Body.String()), w.Header().Get("Idempotent-Replayed") == "true")
	}
	// Output:
	// 402 {"message":"payment 1 is declined"} false
	// 402 {"message":"payment 1 is declined"} true
}
