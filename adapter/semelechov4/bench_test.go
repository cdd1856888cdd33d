package semelechov4_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/semel-go/semel/adapter/semelechov4"
	"github.com/semel-go/semel/semelhttp"
)

// sink is a ResponseWriter that costs nothing.
type sink struct{ h http.Header }

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(int)             {}

type rewinder struct{ bytes.Reader }

func (*rewinder) Close() error { return nil }

// answerKB reads 1 KiB and answers 1 KiB, as the benchmark of semelhttp does.
func answerKB() http.HandlerFunc {
	out, contentType := bytes.Repeat([]byte("o"), 1024), []string{"application/json"}
	bufs := sync.Pool{New: func() any { return new([1024]byte) }}
	return func(w http.ResponseWriter, r *http.Request) {
		buf := bufs.Get().(*[1024]byte)
		_, _ = io.ReadFull(r.Body, buf[:])
		bufs.Put(buf)
		w.Header()["Content-Type"] = contentType
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(out)
	}
}

func freshKey(i int) string {
	key := []byte("0189c0de-0000-7000-8000-100000000000")
	for at := len(key) - 1; i > 0; at, i = at-1, i/10 {
		key[at] = '0' + byte(i%10)
	}
	return string(key)
}

func oneKey(int) string { return "0189c0de-0000-7000-8000-0123456789ab" }

type accountKey struct{}

// The adapter's share is framework/first - framework/bare - (http/first - http/bare), and
// the same for replays.
func BenchmarkServeHTTP(b *testing.B) {
	run := func(name string, h http.Handler, key func(int) string) {
		b.Run(name, func(b *testing.B) {
			body, in := &rewinder{}, bytes.Repeat([]byte("i"), 1024)
			r, err := http.NewRequestWithContext(context.WithValue(b.Context(), accountKey{}, "alice"), http.MethodPost, "/payments?x=1", body)
			if err != nil {
				b.Fatal(err)
			}
			r.ContentLength = 1024
			r.Header["Content-Type"] = []string{"application/json"}
			keys := []string{""}
			r.Header["Idempotency-Key"] = keys
			w := &sink{make(http.Header)}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				body.Reset(in)
				keys[0] = key(i)
				clear(w.h)
				h.ServeHTTP(w, r)
				i++
			}
		})
	}
	inHTTP := func() http.Handler {
		mw, err := newMiddleware(b, semelhttp.Config{}).WithScope(semelhttp.ByContext(func(ctx context.Context) (string, bool) {
			account, ok := ctx.Value(accountKey{}).(string)
			return account, ok
		}))
		if err != nil {
			b.Fatal(err)
		}
		return mw.Wrap(answerKB())
	}
	run("http/bare", answerKB(), freshKey)
	run("http/first", inHTTP(), freshKey)
	run("http/replay", inHTTP(), oneKey)
	run("framework/bare", inFramework(nil), freshKey)
	run("framework/first", inFramework(newMiddleware(b, semelhttp.Config{})), freshKey)
	run("framework/replay", inFramework(newMiddleware(b, semelhttp.Config{})), oneKey)
}

func inFramework(mw *semelhttp.Middleware) http.Handler {
	e, h := echo.New(), answerKB()
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			c.Set("account", "alice")
			return next(c)
		}
	})
	if mw != nil {
		e.Use(semelechov4.Wrap(mw))
	}
	e.POST("/payments", func(c echo.Context) error {
		h(c.Response(), c.Request())
		return nil
	})
	return e
}
