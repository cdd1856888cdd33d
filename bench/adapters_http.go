package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"
	echov4 "github.com/labstack/echo/v4"
	"github.com/labstack/echo/v5"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelecho"
	"github.com/semel-go/semel/adapter/semelechov4"
	"github.com/semel-go/semel/adapter/semelgin"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

func openGin(_ context.Context, w guarding) (func(string) error, func() error, error) {
	gin.SetMode(gin.ReleaseMode)
	return openHTTP(w, func(mw *semelhttp.Middleware, pay http.Handler) http.Handler {
		app := gin.New()
		if w == byAdapter {
			app.Use(semelgin.Wrap(mw))
		}
		app.POST(payPath, func(c *gin.Context) { pay.ServeHTTP(c.Writer, c.Request) })
		return app
	})
}

func openEcho(_ context.Context, w guarding) (func(string) error, func() error, error) {
	return openHTTP(w, func(mw *semelhttp.Middleware, pay http.Handler) http.Handler {
		app := echo.New()
		if w == byAdapter {
			app.Use(semelecho.Wrap(mw))
		}
		app.POST(payPath, func(c *echo.Context) error { pay.ServeHTTP(c.Response(), c.Request()); return nil })
		return app
	})
}

func openEchoV4(_ context.Context, w guarding) (func(string) error, func() error, error) {
	return openHTTP(w, func(mw *semelhttp.Middleware, pay http.Handler) http.Handler {
		app := echov4.New()
		if w == byAdapter {
			app.Use(semelechov4.Wrap(mw))
		}
		app.POST(payPath, func(c echov4.Context) error { pay.ServeHTTP(c.Response(), c.Request()); return nil })
		return app
	})
}

// openHTTP calls the service straight.
func openHTTP(w guarding, service func(mw *semelhttp.Middleware, pay http.Handler) http.Handler) (func(string) error, func() error, error) {
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		return nil, nil, err
	}
	mw, err := semelhttp.New(engine, semelhttp.ByHeader("Authorization"), semelhttp.Config{})
	if err != nil {
		return nil, nil, err
	}
	pay := http.Handler(new(payments))
	if w == byCore {
		pay = mw.Wrap(pay)
	}
	serve := serveHTTP(service(mw, pay))
	do := func(key string) error {
		if status, size := serve(key); status != http.StatusCreated || size != jsonSize {
			return fmt.Errorf("got status %d and %d bytes, want %d and %d", status, size, http.StatusCreated, jsonSize)
		}
		return nil
	}
	return do, func() error { return engine.Close(context.Background()) }, nil
}
