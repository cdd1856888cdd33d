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

// unwritten is the size of an answer whose header is not written, as gin has it.
const unwritten = -1

var errWritten = errors.New("semelgin: the response body is already written")

// writer is what handlers write to: gin's rules of status and size, above the writer of
// Semel, which holds the answer back.
type writer struct {
	http.ResponseWriter

	outer  gin.ResponseWriter
	ctx    context.Context //nolint:containedctx // of the attempt, for CloseNotify, which has none
	client context.Context //nolint:containedctx // the same
	size   int
	status int
	leaves bool // in parts
	gone   chan bool
}

var _ gin.ResponseWriter = (*writer)(nil)

func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader notes the status until the header is written.
func (w *writer) WriteHeader(status int) {
	if status > 0 && !w.Written() {
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

func (w *writer) Status() int   { return w.status }
func (w *writer) Size() int     { return w.size }
func (w *writer) Written() bool { return w.size != unwritten }

// Flush implements [http.Flusher]. See FlushError.
func (w *writer) Flush() { _ = w.FlushError() }

// FlushError makes the answer a stream, whose bytes are not kept.
func (w *writer) FlushError() error {
	w.WriteHeaderNow()
	err := http.NewResponseController(w.ResponseWriter).Flush()
	if err == nil && !w.leaves {
		w.leaves = true
		if w.gone != nil {
			w.tellAfter(w.client)
		}
	}
	return err
}

// Hijack gives the connection away, before there is a body.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.size > 0 {
		return nil, nil, errWritten
	}
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.size = 0
	}
	return conn, rw, err
}

// CloseNotify tells when the attempt ends. That the client has left it tells only of an answer
// that leaves in parts: before that a handler that stops half way, as c.Stream
// does, would leave an answer that nobody made.
func (w *writer) CloseNotify() <-chan bool {
	if w.gone == nil {
		w.gone = make(chan bool, 1)
		w.tellAfter(w.ctx)
		if w.leaves {
			w.tellAfter(w.client)
		}
	}
	return w.gone
}

func (w *writer) tellAfter(ctx context.Context) {
	gone := w.gone
	context.AfterFunc(ctx, func() {
		select {
		case gone <- true:
		default:
		}
	})
}

func (w *writer) Pusher() http.Pusher { return w.outer.Pusher() }
