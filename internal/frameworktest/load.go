package frameworktest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// Sink is a ResponseWriter that costs nothing.
type Sink struct{ H http.Header }

// Header returns the header that the handler sets.
func (s *Sink) Header() http.Header { return s.H }

// Write takes all.
func (s *Sink) Write(p []byte) (int, error) { return len(p), nil }

// WriteHeader takes any status.
func (s *Sink) WriteHeader(int) {}

type rewinder struct{ bytes.Reader }

func (*rewinder) Close() error { return nil }

// sent counts the keys that were sent once.
var sent atomic.Int64

// Load is one request of 1 KiB, again and again, for benchmarks.
type Load struct {
	w    Sink
	r    *http.Request
	body rewinder
	in   []byte
	keys []string
}

// NewLoad makes a request of alice for POST /payments/7.
func NewLoad(ctx context.Context) (*Load, error) {
	l := &Load{w: Sink{make(http.Header)}, in: bytes.Repeat([]byte("i"), 1024), keys: []string{""}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "/payments/7?x=1", &l.body)
	if err != nil {
		return nil, err
	}
	r.ContentLength = int64(len(l.in))
	r.Header["Content-Type"] = []string{"application/json"}
	r.Header["Authorization"] = []string{"alice"}
	r.Header["Idempotency-Key"] = l.keys
	l.r = r
	return l, nil
}

// Send sends the request under a key that no other had, or under one that all have.
func (l *Load) Send(h http.Handler, replay bool) {
	key := []byte("0189c0de-0000-7000-8000-100000000000") // one allocation, as a server makes
	if replay {
		key[0] = 'r'
	} else {
		for at, i := len(key)-1, sent.Add(1); i > 0; at, i = at-1, i/10 {
			key[at] = '0' + byte(i%10)
		}
	}
	l.body.Reset(l.in)
	l.keys[0] = string(key)
	clear(l.w.H)
	h.ServeHTTP(&l.w, l.r)
}

var (
	out         = bytes.Repeat([]byte("o"), 1024)
	contentType = []string{"application/json"}
	bufs        = sync.Pool{New: func() any { return new([1024]byte) }}
)

// Serve is a handler that reads 1 KiB and answers with as much.
func Serve(w http.ResponseWriter, r *http.Request) {
	buf := bufs.Get().(*[1024]byte) //nolint:errcheck,forcetypeassert // the pool holds nothing else
	_, _ = io.ReadFull(r.Body, buf[:])
	bufs.Put(buf)
	w.Header()["Content-Type"] = contentType
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(out)
}

// Peers returns what an adapter is measured against and what it is: handlers of net/http
// and of the framework, bare and guarded. bare and guarded make those of the framework.
// All have the user in the context and as scope.
func Peers(scope semelhttp.ScopeFunc, bare, guarded func(*semelhttp.Middleware) http.Handler) (map[string]http.Handler, error) {
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{Logger: Quiet})
	if err != nil {
		return nil, err
	}
	other, err := semel.New(memstore.New(memstore.Config{}), semel.Config{Logger: Quiet})
	if err != nil {
		return nil, err
	}
	mw, err := semelhttp.New(engine, scope, semelhttp.Config{Logger: Quiet})
	if err != nil {
		return nil, err
	}
	plain, err := semelhttp.New(other, semelhttp.ByContext(userOf), semelhttp.Config{Logger: Quiet})
	if err != nil {
		return nil, err
	}
	handler := http.HandlerFunc(Serve)
	return map[string]http.Handler{
		"http":            withUser(handler),
		"http-semel":      withUser(plain.Wrap(handler)),
		"framework":       bare(mw),
		"framework-semel": guarded(mw),
	}, nil
}

type userKey struct{}

func userOf(ctx context.Context) (string, bool) {
	user, ok := ctx.Value(userKey{}).(string)
	return user, ok
}

// withUser is authentication for net/http, on a mux, which gives the route.
func withUser(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /payments/{id}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, r.Header.Get("Authorization"))))
	}))
	return mux
}
