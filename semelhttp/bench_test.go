package semelhttp_test

import (
	"bytes"
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

func BenchmarkServeHTTP(b *testing.B) {
	in, out := bytes.Repeat([]byte("i"), 1024), bytes.Repeat([]byte("o"), 1024)
	bufs := sync.Pool{New: func() any { return new([1024]byte) }}
	contentType := []string{"application/json"}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		buf := bufs.Get().(*[1024]byte)
		_, _ = io.ReadFull(r.Body, buf[:])
		bufs.Put(buf)
		w.Header()["Content-Type"] = contentType
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(out)
	})
	run := func(b *testing.B, h http.Handler, key func(int) string) {
		w := &sink{h: make(http.Header)}
		body := &rewinder{}
		r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "/payments?x=1", body)
		if err != nil {
			b.Fatal(err)
		}
		r.ContentLength = 1024
		r.Header["Content-Type"] = contentType
		r.Header["Authorization"] = []string{"Bearer sk_test_0123456789abcdef"}
		keys := []string{""}
		r.Header["Idempotency-Key"] = keys
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			body.Reset(in)
			keys[0] = key(i)
			clear(w.h)
			h.ServeHTTP(w, r)
			i++
		}
	}
	guarded := func(b *testing.B) http.Handler {
		engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = engine.Close(b.Context()) })
		mw, err := semelhttp.New(engine, semelhttp.ByHeader("Authorization"), semelhttp.Config{})
		if err != nil {
			b.Fatal(err)
		}
		return mw.Wrap(handler)
	}
	fresh := func(i int) string { // one allocation
		key := []byte("0189c0de-0000-7000-8000-100000000000")
		for at := len(key) - 1; i > 0; at, i = at-1, i/10 {
			key[at] = '0' + byte(i%10)
		}
		return string(key)
	}
	b.Run("bare", func(b *testing.B) { run(b, handler, fresh) })
	b.Run("first", func(b *testing.B) { run(b, guarded(b), fresh) })
	b.Run("replay", func(b *testing.B) {
		run(b, guarded(b), func(int) string { return "0189c0de-0000-7000-8000-0123456789ab" })
	})
}
