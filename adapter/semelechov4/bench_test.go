package semelechov4_test

import (
	"net/http"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/semel-go/semel/adapter/semelechov4"
	"github.com/semel-go/semel/internal/frameworktest"
	"github.com/semel-go/semel/semelhttp"
)

// BenchmarkServeHTTP is what the adapter adds to what semelhttp adds to net/http:
// framework-semel - framework against http-semel - http.
func BenchmarkServeHTTP(b *testing.B) {
	router := func(guards ...echo.MiddlewareFunc) http.Handler {
		e := newEcho()
		e.Use(authenticate)
		e.Use(guards...)
		e.POST("/payments/:id", func(c echo.Context) error {
			frameworktest.Serve(c.Response(), c.Request())
			return nil
		})
		return e
	}
	peers, err := frameworktest.Peers(semelechov4.ByKey("user"),
		func(*semelhttp.Middleware) http.Handler { return router() },
		func(mw *semelhttp.Middleware) http.Handler { return router(semelechov4.Wrap(mw)) })
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"http", "http-semel", "framework", "framework-semel"} {
		for kind, replay := range map[string]bool{"first": false, "replay": true} {
			b.Run(name+"/"+kind, func(b *testing.B) {
				load, err := frameworktest.NewLoad(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					load.Send(peers[name], replay)
				}
			})
		}
	}
}
