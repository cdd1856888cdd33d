package semelecho

import (
	"net/http"

	"github.com/labstack/echo/v5"
)

// What differs between the versions of echo: all other files say the same.

// response is what a Context has as its response.
type response = http.ResponseWriter

// newResponse returns the handlers' Response over the Middleware's writer.
func newResponse(c *echo.Context, w http.ResponseWriter) *echo.Response {
	inner := echo.NewResponse(nil, c.Logger())
	inner.ResponseWriter, inner.Status = &between{w, inner}, http.StatusOK
	return inner
}

func handleError(c *echo.Context, err error) { c.Echo().HTTPErrorHandler(c, err) }

// logError logs an error that has no status of its own.
func logError(c *echo.Context, err error) {
	if echo.StatusCode(err) == 0 {
		c.Logger().Error("semelecho: a handler has failed", "error", err)
	}
}
