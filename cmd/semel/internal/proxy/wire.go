package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
)

// tracked is an http.Transport whose errors tell whether anything was sent.
type tracked struct {
	transport http.RoundTripper
	shared    bool // every connection is shared: HTTP/2 without TLS
}

// staleError is an unsentError on a connection that had been idle.
type staleError struct{ unsentError }

// RoundTrip implements [http.RoundTripper].
func (t tracked) RoundTrip(req *http.Request) (*http.Response, error) {
	w := &wire{shared: t.shared}
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{GotConn: w.gotConn, WroteHeaders: w.wroteHeaders})
	res, err := t.transport.RoundTrip(req.WithContext(ctx))
	if err == nil {
		return res, nil
	}
	maySent := w.maySent(ctx)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	switch {
	case maySent:
		return nil, err
	case w.reused:
		return nil, staleError{unsentError{err}}
	}
	return nil, unsentError{err}
}

// wire knows whether any byte of one request may have left this process. That
// decides between "nothing happened" and "nobody knows", so it errs only
// towards the second.
//
// A connection of HTTP/1 belongs to one request at a time, so its writes are
// counted. One of HTTP/2 is shared; there the trace tells when the request's
// header was written.
type wire struct {
	shared bool

	mu     sync.Mutex
	conn   *countedConn // the request's own, while it has one
	before int64        // writes on conn before the request came
	got    bool         // it has, or had, a connection
	reused bool         // the last connection served another request before
	sent   bool         // something was written on an earlier connection, or on a shared one
}

func (w *wire) gotConn(info httptrace.GotConnInfo) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = w.sent || w.ownWrites()
	w.got, w.reused = true, info.Reused
	w.conn = w.own(info.Conn)
	if w.conn != nil {
		w.before = w.conn.writes.Load()
	}
}

// own returns the counting connection below conn if the request has it alone.
func (w *wire) own(conn net.Conn) *countedConn {
	if t, ok := conn.(*tls.Conn); ok {
		if t.ConnectionState().NegotiatedProtocol == "h2" {
			return nil
		}
		conn = t.NetConn()
	}
	counted, ok := conn.(*countedConn)
	if !ok || w.shared {
		return nil
	}
	return counted
}

func (w *wire) ownWrites() bool { return w.conn != nil && w.conn.writes.Load() != w.before }

func (w *wire) wroteHeaders() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn == nil { // else it was written into a buffer, which says nothing
		w.sent = true
	}
}

// maySent reports whether the upstream may have seen the request that failed
// under ctx. A request that was cancelled on a shared connection may still be
// on its way out.
func (w *wire) maySent(ctx context.Context) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.sent || w.ownWrites():
		return true
	case w.got && w.conn == nil:
		return ctx.Err() != nil
	}
	return false
}

// countedConn counts the writes that may have reached the other side.
type countedConn struct {
	net.Conn
	writes atomic.Int64
}

// Write counts first: a write that is under way counts.
func (c *countedConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	n, err := c.Conn.Write(p)
	if n == 0 && err != nil {
		c.writes.Add(-1)
	}
	return n, err
}

// CloseWrite half-closes an upgraded connection.
func (c *countedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
