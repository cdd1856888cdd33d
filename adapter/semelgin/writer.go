package semelgin

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"

	"github.com/gin-gonic/gin"
)

// ErrAnswered: something was written to an answer that is whole, and kept, sent or both.
// It went nowhere. Most often a middleware renders c.Errors outside of [Wrap]: register it
// after Wrap, too.
var ErrAnswered = errors.New("semelgin: the answer is whole already; render errors inside of Wrap")

var errHijackWritten = errors.New("semelgin: a part of the body was written before Hijack")

// notWritten is the Size of an answer that has not begun, as gin has it.
const notWritten = -1

// writer is the handlers' gin.ResponseWriter, over one of the Middleware. As in gin,
// WriteHeader only notes a status, which the first write sends.
type writer struct {
	http.ResponseWriter // the Middleware's
	outer               gin.ResponseWriter
	status              int
	size                int
	emptied             bool // taken back by semelhttp.Reset
}

var _ gin.ResponseWriter = (*writer)(nil)

// Unwrap lets semelhttp.CompleteIn and http.ResponseController find the Middleware's.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// ResetResponse is called by semelhttp.Reset.
func (w *writer) ResetResponse() { w.status, w.size, w.emptied = http.StatusOK, notWritten, true }

func (w *writer) Status() int   { return w.status }
func (w *writer) Size() int     { return w.size }
func (w *writer) Written() bool { return w.size != notWritten }

func (w *writer) WriteHeader(status int) {
	if status > 0 && !w.Written() { // gin renders with -1 to leave the status alone
		w.status = status
	}
}

func (w *writer) WriteHeaderNow() {
	if !w.Written() {
		w.size = 0
		w.ResponseWriter.WriteHeader(w.status)
	}
}

func (w *writer) Write(p []byte) (int, error) {
	w.WriteHeaderNow()
	n, err := w.ResponseWriter.Write(p)
	w.size += n
	return n, err
}

func (w *writer) WriteString(s string) (int, error) {
	w.WriteHeaderNow()
	n, err := io.WriteString(w.ResponseWriter, s)
	w.size += n
	return n, err
}

func (w *writer) Flush() {
	w.WriteHeaderNow()
	_ = http.NewResponseController(w.ResponseWriter).Flush() // in a transaction nothing leaves
}

// FlushError is what http.ResponseController prefers.
func (w *writer) FlushError() error {
	w.WriteHeaderNow()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.size > 0 {
		return nil, nil, errHijackWritten
	}
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.size = max(w.size, 0)
	}
	return conn, rw, err
}

func (w *writer) CloseNotify() <-chan bool { return w.outer.CloseNotify() }

func (w *writer) Pusher() http.Pusher { return w.outer.Pusher() }

// below is gin's writer as the Middleware is to have it.
type below struct{ gin.ResponseWriter }

func (b *below) Unwrap() http.ResponseWriter { return b.ResponseWriter }

// WriteHeader leaves the sending to gin, as compressing middlewares want it, except where
// trailers follow: those that are set before the header is sent would be in it. gin knows
// no 1xx: it would take them for the status.
func (b *below) WriteHeader(status int) {
	if status < http.StatusOK && status != http.StatusSwitchingProtocols {
		return
	}
	b.ResponseWriter.WriteHeader(status)
	if b.Header()["Trailer"] != nil {
		b.WriteHeaderNow()
	}
}

// sealed is gin's writer when the answer is whole.
type sealed struct{ gin.ResponseWriter }

func (s *sealed) Unwrap() http.ResponseWriter          { return s.ResponseWriter }
func (s *sealed) Written() bool                        { return true }
func (s *sealed) WriteHeader(int)                      {}
func (s *sealed) Write(p []byte) (int, error)          { return s.refuse(len(p)) }
func (s *sealed) WriteString(text string) (int, error) { return s.refuse(len(text)) }
func (s *sealed) refuse(n int) (int, error) {
	if n == 0 {
		return 0, nil
	}
	return 0, ErrAnswered
}
