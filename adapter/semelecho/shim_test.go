package semelecho_test

import (
	"io"
	"log/slog"

	"github.com/labstack/echo/v5"
	"github.com/labstack/echo/v5/middleware"
)

// What differs between the versions of echo.

func responseOf(c *echo.Context) *echo.Response {
	response, err := echo.UnwrapResponse(c.Response())
	if err != nil {
		panic(err)
	}
	return response
}

func logTo(e *echo.Echo, w io.Writer) { e.Logger = slog.New(slog.NewTextHandler(w, nil)) }

func newEcho() *echo.Echo {
	e := echo.New()
	logTo(e, io.Discard)
	return e
}

func bodyLimit(n int64) echo.MiddlewareFunc { return middleware.BodyLimit(n) }

func allow(origins ...string) echo.MiddlewareFunc { return middleware.CORS(origins...) }
