package proxy

import (
	"context"
	"net"
	"net/http"
	"time"
)

const (
	dialTimeout      = 5 * time.Second
	handshakeTimeout = 5 * time.Second
	maxIdlePerHost   = 1024
	// maxStale is how many connections that the upstream has closed meanwhile
	// one request may find before it counts as unreachable.
	maxStale = 8
)

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// newTransport returns the connections to the upstream. dial opens one.
func newTransport(cfg Config, dial dialFunc) *http.Transport {
	t := &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &countedConn{Conn: conn}, nil
		},
		TLSClientConfig:       cfg.UpstreamTLS,
		TLSHandshakeTimeout:   handshakeTimeout,
		DisableCompression:    true, // the answer passes as it is
		MaxIdleConnsPerHost:   maxIdlePerHost,
		IdleConnTimeout:       cfg.UpstreamIdle,
		ExpectContinueTimeout: time.Second,
		Protocols:             new(http.Protocols),
	}
	switch cfg.Upstream.Scheme {
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

func dialer() dialFunc {
	d := &net.Dialer{Timeout: dialTimeout}
	return d.DialContext
}

// once sends a request upstream at most once. http.Transport by itself would
// send it again when a reused connection dies.
type once struct {
	transport http.RoundTripper
}

// RoundTrip answers with a response that is whole, or that will be streamed,
// or with an error after which the exchange knows whether anything was sent.
func (o once) RoundTrip(req *http.Request) (*http.Response, error) {
	x := exchangeOf(req)
	req = req.WithContext(x.wire.trace(req.Context()))
	res, err := o.send(x, req)
	if err != nil {
		return nil, err
	}
	if err := x.receive(res); err != nil {
		_ = res.Body.Close() // it failed already
		return nil, err
	}
	return res, nil
}

// send repeats only what was never sent: on a connection from the pool that
// turned out to be closed.
func (o once) send(x *exchange, req *http.Request) (*http.Response, error) {
	for try := 1; ; try++ {
		res, err := o.transport.RoundTrip(req)
		switch {
		case err == nil:
			return res, nil
		case x.claim == nil, try == maxStale, !x.wire.stale(), x.wire.maySent(req.Context()), req.Context().Err() != nil:
			return nil, err
		}
		x.fill(req)
	}
}
