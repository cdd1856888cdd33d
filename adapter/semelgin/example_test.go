package semelgin_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelgin"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

func ExampleWrap() {
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = engine.Close(context.Background()) }()
	mw, err := semelhttp.New(engine, semelgin.ByKey("account"), semelhttp.Config{})
	if err != nil {
		panic(err)
	}

	r := gin.New()
	r.Use(gin.Recovery())
	r.Use(func(c *gin.Context) { c.Set("account", "alice") }) // authentication
	r.Use(semelgin.Wrap(mw))
	r.Use(func(c *gin.Context) { // after Wrap, so that its answers are kept
		if c.Next(); len(c.Errors) > 0 {
			c.JSON(http.StatusPaymentRequired, gin.H{"error": c.Errors.Last().Error()})
		}
	})
	payments := 0
	r.POST("/payments", func(c *gin.Context) {
		payments++
		_ = c.Error(fmt.Errorf("payment %d is declined", payments))
	})

	for range 2 {
		q := httptest.NewRequest(http.MethodPost, "/payments", strings.NewReader(`{"amount":1}`))
		q.Header.Set("Idempotency-Key", "order-7")
		w := httptest.NewRecorder()
		r.ServeHTTP(w, q)
		fmt.Println(w.Code, w.Body, w.Header().Get("Idempotent-Replayed") == "true")
	}
	// Output:
	// 402 {"error":"payment 1 is declined"} false
	// 402 {"error":"payment 1 is declined"} true
}
