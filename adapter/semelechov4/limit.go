package semelechov4

import (
	"errors"
	"io"
	"net/http"

	"github.com/labstack/echo/v4"
)

// limitErrors makes the error of echo's BodyLimit one that the Middleware knows, so that a
// body that is too large is not taken for one that has not come whole. BodyLimit itself
// answers for a body that declares its length.
func limitErrors(r *http.Request) {
	if r.ContentLength < 0 && r.Body != nil {
		r.Body = &limited{ReadCloser: r.Body}
	}
}

type limited struct {
	io.ReadCloser
	n int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	l.n += int64(n)
	if errors.Is(err, echo.ErrStatusRequestEntityTooLarge) {
		err = &http.MaxBytesError{Limit: l.n} // it hands out what is allowed, and then says so
	}
	return n, err
}
