package semelechov4_test

import (
	"io"
	"strconv"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
)

// What differs between the versions of echo.

func responseOf(c echo.Context) *echo.Response { return c.Response() }

func logTo(e *echo.Echo, w io.Writer) { e.Logger.SetOutput(w) }

func newEcho() *echo.Echo {
	e := echo.New()
	logTo(e, io.Discard)
	return e
}

func bodyLimit(n int64) echo.MiddlewareFunc { return middleware.BodyLimit(strconv.FormatInt(n, 10)) }

func allow(origins ...string) echo.MiddlewareFunc {
	return middleware.CORSWithConfig(middleware.CORSConfig{AllowOrigins: origins})
}
