package sdk

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// relay stands on a way of HTTP. It counts requests, can hold them back and can lose answers.
type relay struct {
	url      string
	requests atomic.Int64
	lose     atomic.Int64
	arrived  chan struct{} // one for each request that was held back
	mu       sync.Mutex
	closed   chan struct{} // nil while nothing is held back
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	r := &relay{arrived: make(chan struct{}, 100)}
	transport := &http.Transport{DisableKeepAlives: true} // sends nothing twice
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		r.requests.Add(1)
		r.hold()
		q := in.Clone(in.Context())
		q.URL.Scheme, q.URL.Host, q.RequestURI = "http", strings.TrimPrefix(to, "http://"), ""
		res, err := transport.RoundTrip(q)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil || r.lose.Add(-1) >= 0 {
			panic(http.ErrAbortHandler) // a dead connection
		}
		maps.Copy(out.Header(), res.Header)
		out.WriteHeader(res.StatusCode)
		_, _ = out.Write(body)
	}))
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *relay) hold() {
	r.mu.Lock()
	closed := r.closed
	r.mu.Unlock()
	if closed != nil {
		r.arrived <- struct{}{}
		<-closed
	}
}

// shut holds requests back until the func that it returns is called.
func (r *relay) shut() (open func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	closed := make(chan struct{})
	r.closed = closed
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.closed = nil
		close(closed)
	}
}
