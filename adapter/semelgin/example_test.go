package semelgin_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelgin"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// A declined payment that a handler leaves in c.Errors is kept as the client saw it, because
// renderErrors comes after Wrap. Refunds are kept for a month.
func Example() {
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = engine.Close(context.Background()) }()
	mw, err := semelhttp.New(engine, semelgin.ByKey("user"), semelhttp.Config{})
	if err != nil {
		log.Fatal(err)
	}
	refunds, err := mw.With(func(c *semelhttp.Config) { c.Retention = 30 * 24 * time.Hour })
	if err != nil {
		log.Fatal(err)
	}

	declined := 0
	renderErrors := func(c *gin.Context) {
		c.Next()
		if err := c.Errors.Last(); err != nil {
			c.JSON(http.StatusPaymentRequired, gin.H{"message": err.Error()})
		}
	}
	router := gin.New()
	router.Use(gin.Recovery(), authenticate)
	router.POST("/payments", semelgin.Wrap(mw), renderErrors, func(c *gin.Context) {
		declined++
		_ = c.Error(fmt.Errorf("declined %d", declined))
	})
	router.POST("/refunds", semelgin.Handle(refunds, func(c *gin.Context) { c.JSON(http.StatusCreated, gin.H{"refund": 1}) }))

	for _, path := range []string{"/payments", "/payments", "/refunds", "/refunds"} {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(`{"amount":2500}`))
		r.Header.Set("Authorization", "alice")
		r.Header.Set("Idempotency-Key", "order-1"+path)
		w := httptest.NewRecorder()
		router.ServeHTTP(w, r)
		body, _ := io.ReadAll(w.Body)
		fmt.Printf("%d %s replayed=%q\n", w.Code, body, w.Header().Get("Idempotent-Replayed"))
	}
	// Output:
	// 402 {"message":"declined 1"} replayed=""
	// 402 {"message":"declined 1"} replayed="true"
	// 201 {"refund":1} replayed=""
	// 201 {"refund":1} replayed="true"
}
