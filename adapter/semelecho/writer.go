package semelecho

import (
	"net/http"

	"github.com/labstack/echo/v5"
)

// below is echo's writer as the Middleware is to have it.
type below struct{ http.ResponseWriter }

// Unwrap is for http.ResponseController.
func (b *below) Unwrap() http.ResponseWriter { return b.ResponseWriter }

// WriteHeader drops 1xx: echo would take them for the status.
func (b *below) WriteHeader(status int) {
	if status >= http.StatusOK || status == http.StatusSwitchingProtocols {
		b.ResponseWriter.WriteHeader(status)
	}
}

// between stands between the handlers' Response and the Middleware's writer.
type between struct {
	http.ResponseWriter
	response *echo.Response
}

// Unwrap lets semelhttp.CompleteIn and http.ResponseController find the Middleware's.
func (b *between) Unwrap() http.ResponseWriter { return b.ResponseWriter }

// ResetResponse is called by semelhttp.Reset.
func (b *between) ResetResponse() {
	b.response.Status, b.response.Size, b.response.Committed = http.StatusOK, 0, false
}
