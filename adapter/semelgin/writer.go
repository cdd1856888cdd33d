package semelgin

import (
	"bufio"
	"context"
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
	a                   *attempt
	attempt             context.Context //nolint:containedctx // ends when the attempt does
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

// CloseNotify tells when the attempt ends. A client that has left it tells of only when the
// answer leaves in parts: before that, there is an answer to be kept.
func (w *writer) CloseNotify() <-chan bool {
	gone := make(chan bool, 1)
	tell := func() {
		select {
		case gone <- true:
		default:
		}
	}
	context.AfterFunc(w.attempt, tell)
	w.a.below.whenSent(func() { context.AfterFunc(w.a.below.client, tell) })
	return gone
}

func (w *writer) Pusher() http.Pusher { return w.a.below.Pusher() }

// below is gin's writer as the Middleware is to have it.
type below struct {
	gin.ResponseWriter
	client context.Context //nolint:containedctx // of the request: ends when the client leaves
	sent   bool            // by the Middleware
	then   func()          // to be called then, or nil
	past   bool            // an answer has gone past the Middleware: nothing is added to it
	late   bool            // what the Middleware has sent is no answer
}

func (b *below) Unwrap() http.ResponseWriter { return b.ResponseWriter }

// whenSent calls f when something leaves, which may have been before.
func (b *below) whenSent(f func()) {
	if b.sent {
		f()
		return
	}
	b.then = f
}

// leaves notes that something leaves.
func (b *below) leaves() {
	if !b.sent && b.then != nil {
		b.then()
	}
	b.sent = true
}

func (b *below) Write(p []byte) (int, error) {
	if b.past {
		return len(p), nil
	}
	return b.ResponseWriter.Write(p)
}

func (b *below) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	b.leaves()
	return b.ResponseWriter.Hijack()
}

// WriteHeader leaves the sending to gin, as compressing middlewares want it, except where
// trailers follow: those that are set before the header is sent would be in it. gin knows
// no 1xx: it would take them for the status.
func (b *below) WriteHeader(status int) {
	if status < http.StatusOK && status != http.StatusSwitchingProtocols {
		return
	}
	b.leaves()
	if _, b.late = b.Header()[noAnswer]; b.late {
		delete(b.Header(), noAnswer)
	}
	if b.past {
		return
	}
	b.ResponseWriter.WriteHeader(status)
	if !b.late && b.Header()["Trailer"] != nil {
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
