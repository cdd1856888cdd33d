package semelhttp_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// sink is a ResponseWriter that costs nothing.
type sink struct{ h http.Header }

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(int)             {}

type rewinder struct{ bytes.Reader }

func (*rewinder) Close() error { return nil }

// load is one request, again and again, into a handler that costs next to nothing.
type load struct {
	w    *sink
	r    *http.Request
	body *rewinder
	in   []byte
	keys []string
}

func newLoad(ctx context.Context, tb testing.TB) *load {
	tb.Helper()
	l := &load{w: &sink{h: make(http.Header)}, body: &rewinder{}, in: bytes.Repeat([]byte("i"), 1024), keys: []string{""}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "/payments?x=1", l.body)
	if err != nil {
		tb.Fatal(err)
	}
	r.ContentLength = 1024
	r.Header["Content-Type"] = []string{"application/json"}
	r.Header["Authorization"] = []string{"Bearer sk_test_0123456789abcdef"}
	r.Header["Idempotency-Key"] = l.keys
	l.r = r
	return l
}

func (l *load) send(h http.Handler, key string) {
	l.body.Reset(l.in)
	l.keys[0] = key
	clear(l.w.h)
	h.ServeHTTP(l.w, l.r)
}

func freeHandler() http.Handler {
	out := bytes.Repeat([]byte("o"), 1024)
	bufs := sync.Pool{New: func() any { return new([1024]byte) }}
	contentType := []string{"application/json"}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		buf := bufs.Get().(*[1024]byte)
		_, _ = io.ReadFull(r.Body, buf[:])
		bufs.Put(buf)
		w.Header()["Content-Type"] = contentType
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(out)
	})
}

func guardFree(tb testing.TB) http.Handler {
	tb.Helper()
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = engine.Close(tb.Context()) })
	mw, err := semelhttp.New(engine, semelhttp.ByHeader("Authorization"), semelhttp.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	return mw.Wrap(freeHandler())
}

func freshKey(i int) string { // one allocation
	key := []byte("0189c0de-0000-7000-8000-100000000000")
	for at := len(key) - 1; i > 0; at, i = at-1, i/10 {
		key[at] = '0' + byte(i%10)
	}
	return string(key)
}

const oneKey = "0189c0de-0000-7000-8000-0123456789ab"

func BenchmarkServeHTTP(b *testing.B) {
	run := func(b *testing.B, h http.Handler, key func(int) string) {
		b.Helper()
		l := newLoad(b.Context(), b)
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			l.send(h, key(i))
			i++
		}
	}
	b.Run("bare", func(b *testing.B) { run(b, freeHandler(), freshKey) })
	b.Run("first", func(b *testing.B) { run(b, guardFree(b), freshKey) })
	b.Run("replay", func(b *testing.B) { run(b, guardFree(b), func(int) string { return oneKey }) })
}

// The goals of the design: a first request allocates at most 8 times, one of
// which is the key of this test, and a replay 3 times.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools at random")
	}
	h, l, i := guardFree(t), newLoad(t.Context(), t), 0
	send := func() {
		l.send(h, freshKey(i))
		i++
	}
	for range 20_000 {
		send() // until the store's tables have grown
	}
	first := testing.AllocsPerRun(1000, send)
	replay := testing.AllocsPerRun(1000, func() { l.send(h, oneKey) })
	if first > 8 || replay > 3 {
		t.Errorf("allocations: got %v for a first request and %v for a replay, want at most 8 and 3", first, replay)
	}
}
