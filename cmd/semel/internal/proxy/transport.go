package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"time"
)

const (
	dialTimeout      = 5 * time.Second
	handshakeTimeout = 5 * time.Second
	maxIdle          = 1024
	maxResponseHead  = 1 << 20
)

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

func dialer() dialFunc {
	d := &net.Dialer{Timeout: dialTimeout}
	return d.DialContext
}

// newTransport returns the connections for what is not guarded, for guarded
// requests over TLS or HTTP/2, and to a recovery URL. scheme is http, https or h2c.
func newTransport(cfg Config, scheme string, dial dialFunc) *http.Transport {
	t := &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &countedConn{Conn: conn}, nil
		},
		TLSClientConfig:        cfg.UpstreamTLS,
		TLSHandshakeTimeout:    handshakeTimeout,
		DisableCompression:     true, // the answer passes as it is
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        cfg.UpstreamIdle,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxResponseHead,
		Protocols:              new(http.Protocols),
	}
	switch scheme {
	case "h2c":
		t.Protocols.SetUnencryptedHTTP2(true)
	case "https":
		t.Protocols.SetHTTP1(true)
		t.Protocols.SetHTTP2(true)
		t.ForceAttemptHTTP2 = true
	default:
		t.Protocols.SetHTTP1(true)
	}
	return t
}

// pooled sends guarded requests through an http.Transport, which needs to be
// kept from sending them again.
type pooled struct{ transport tracked }

// maxStale is how many connections that the upstream has closed meanwhile one
// request may find before it counts as unreachable.
const maxStale = 8

// send implements sender. It repeats only what was never sent: on a connection
// from the pool that turned out to be closed.
func (p pooled) send(ctx context.Context, x *exchange) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	limit := time.AfterFunc(x.cfg.UpstreamTimeout, func() { cancel(errUpstreamTimeout) })
	hints := &hints{x: x}
	defer hints.end()
	out := x.in.WithContext(hints.trace(ctx))
	out.URL, out.Host, out.Header, out.Trailer, out.Close = x.url(), x.host(), x.header, nil, false
	for try := 1; ; try++ {
		x.fill(out)
		res, err := p.transport.RoundTrip(out)
		if err == nil {
			res.Body = &limited{res.Body, limit, cancel}
			return res, nil
		}
		if stale := (staleError{}); try == maxStale || !errors.As(err, &stale) || ctx.Err() != nil {
			limit.Stop()
			cancel(nil)
			return nil, err
		}
	}
}

// fill gives out the request body in a form that [http.Transport] neither sends
// twice nor sends in two packets. The documented rule is: a request with a key
// is sent again when a reused connection dies and it has no body or a GetBody.
func (x *exchange) fill(out *http.Request) {
	if len(x.body) == 0 {
		fillEmpty(out)
		return
	}
	out.GetBody = nil
	out.Body = io.NopCloser(bytes.NewReader(x.body))
	out.ContentLength = int64(len(x.body))
	out.TransferEncoding = nil
}

// fillEmpty gives out a body without content that is not http.NoBody. Left
// alone, net/http would send it in chunks. The name in lower case is the way
// past the transport, which makes the length itself and here cannot. Should that
// way close, a field is missing; nothing runs twice.
func fillEmpty(out *http.Request) {
	out.GetBody = nil
	out.Body = io.NopCloser(bytes.NewReader(nil))
	out.ContentLength = 0
	out.TransferEncoding = []string{"identity"}
	if sendsLength(out.Method, 0) {
		out.Header["content-length"] = []string{"0"}
	}
}

// sendsLength reports whether a request says how long its content is. Servers
// expect a length of zero with the methods that usually have content (RFC 9110
// section 8.6).
func sendsLength(method string, length int) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodDelete:
		return length > 0
	}
	return true
}

// limited is a body whose time is limited.
type limited struct {
	io.ReadCloser
	limit  *time.Timer
	cancel context.CancelCauseFunc
}

func (l *limited) unlimit() { l.limit.Stop() }

// Close ends the body and its time.
func (l *limited) Close() error {
	err := l.ReadCloser.Close()
	l.limit.Stop()
	l.cancel(nil)
	return err
}

// hints passes 1xx on from the transport's goroutine until the final answer, or
// the failure, is there.
type hints struct {
	x    *exchange
	mu   sync.Mutex
	over bool
}

func (h *hints) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: h.got})
}

func (h *hints) got(code int, header textproto.MIMEHeader) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.over {
		h.x.hint(code, http.Header(header))
	}
	return nil
}

func (h *hints) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
}
