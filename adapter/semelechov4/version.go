package semelechov4

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"
)

// What differs between the versions of echo: all other files say the same.

// response is what a Context has as its response.
type response = *echo.Response

// newResponse returns the handlers' Response over the Middleware's writer.
func newResponse(c echo.Context, w http.ResponseWriter) *echo.Response {
	inner := echo.NewResponse(nil, c.Echo())
	inner.Writer, inner.Status = &between{w, inner}, http.StatusOK
	return inner
}

func handleError(c echo.Context, err error) { c.Echo().HTTPErrorHandler(err, c) }

// logError logs an error that has no status of its own.
func logError(c echo.Context, err error) {
	if _, ok := errors.AsType[*echo.HTTPError](err); !ok {
		c.Logger().Error("semelechov4: a handler has failed: ", err)
	}
}
