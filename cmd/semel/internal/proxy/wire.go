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
type tracked struct{ transport http.RoundTripper }

// staleError is an unsentError on a connection that had been idle.
type staleError struct{ unsentError }

// RoundTrip implements [http.RoundTripper].
func (t tracked) RoundTrip(req *http.Request) (*http.Response, error) {
	w := &wire{}
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{GotConn: w.gotConn})
	res, err := t.transport.RoundTrip(req.WithContext(ctx))
	if err == nil {
		return res, nil
	}
	sent, reused := w.maySent(ctx)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	switch {
	case sent:
		return nil, err
	case reused:
		return nil, staleError{unsentError{err}}
	}
	return nil, unsentError{err}
}

// wire knows whether any byte of one request may have left this process. That
// decides between "nothing happened" and "nobody knows", so it errs only
// towards the second: a write for another request on a connection of HTTP/2, on
// which many travel, counts too.
type wire struct {
	mu     sync.Mutex
	got    bool         // the request has, or had, a connection
	conn   *countedConn // nil when it is not one of ours
	before int64        // writes on conn before the request came
	reused bool         // conn served another request before
	sent   bool         // something was written on an earlier connection
}

func (w *wire) gotConn(info httptrace.GotConnInfo) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = w.sent || w.wrote()
	conn := info.Conn
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	w.got, w.reused = true, info.Reused
	w.conn, _ = conn.(*countedConn)
	if w.conn != nil {
		w.before = w.conn.writes.Load()
	}
}

// wrote reports whether anything was written since the last gotConn.
func (w *wire) wrote() bool {
	return w.got && (w.conn == nil || w.conn.writes.Load() != w.before)
}

// maySent reports whether the upstream may have seen the request that failed
// under ctx, and whether its last connection was a used one. What was cancelled
// may still be on its way out: over HTTP/2 nobody waits for the writer.
func (w *wire) maySent(ctx context.Context) (sent, reused bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent || w.wrote() || w.got && ctx.Err() != nil, w.reused
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
