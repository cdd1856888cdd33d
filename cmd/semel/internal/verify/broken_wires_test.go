package verify

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel/semelhttp"
)

func brokenWires() []broken {
	return []broken{
		{"GET is guarded", "safe-method", func(t *testing.T, b *bank) http.Handler {
			t.Helper()
			return guard(t, b, semelhttp.Config{Optional: false, Methods: []string{"GET", "POST"}})
		}},
		{"a hang-up frees the key", "cut-before cut-effect", func(t *testing.T, b *bank) http.Handler {
			t.Helper()
			inner := guard(t, b, semelhttp.Config{})
			var freed sync.Map
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				k := key(r)
				if n, ok := freed.Load(k); ok && k != "" {
					r.Header.Set(fieldKey, k+fmt.Sprint(n))
				}
				inner.ServeHTTP(w, r)
				if r.Context().Err() != nil {
					freed.Store(k, 1)
				}
			})
		}},
		{"half a body runs", "upload-half", func(t *testing.T, b *bank) http.Handler {
			t.Helper()
			inner := guard(t, b, semelhttp.Config{})
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if key(r) != "" {
					body, err := io.ReadAll(r.Body)
					if err != nil {
						b.payments.Add(1)
					}
					r.Body = io.NopCloser(bytes.NewReader(body))
				}
				inner.ServeHTTP(w, r)
			})
		}},
		{"a slow body is given up", "upload-slow", func(t *testing.T, b *bank) http.Handler {
			t.Helper()
			inner := guard(t, b, semelhttp.Config{})
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				begun := time.Now()
				if key(r) != "" {
					content(r)
				}
				if time.Since(begun) > fast && r.Header.Get("Expect") == "" {
					http.Error(w, "too slow", http.StatusRequestTimeout)
					return
				}
				inner.ServeHTTP(w, r)
			})
		}},
		{"kept after it is sent", "cut-within", keepLate},
		{"a refused body stays in the connection", "early-refusal", smuggle},
		{"the body is read before the key", "expect-refusal", asking(semelhttp.Config{}, func(r *http.Request) { content(r) })},
		{"who expects is failed", "expect-refusal", func(t *testing.T, b *bank) http.Handler {
			t.Helper()
			inner := guard(t, b, semelhttp.Config{})
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Expect") != "" && key(r) == "" {
					http.Error(w, "no", http.StatusInternalServerError)
					return
				}
				inner.ServeHTTP(w, r)
			})
		}},
		{"Expect is refused", "expect-served", func(t *testing.T, b *bank) http.Handler {
			t.Helper()
			inner := guard(t, b, semelhttp.Config{})
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Expect") != "" && key(r) != "" {
					http.Error(w, "no", http.StatusExpectationFailed)
					return
				}
				inner.ServeHTTP(w, r)
			})
		}},
	}
}

// keepLate forgets an answer whose client has left in the middle of it.
func keepLate(t *testing.T, b *bank) http.Handler {
	t.Helper()
	inner := guard(t, b, semelhttp.Config{})
	var gone sync.Map
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k := key(r)
		if _, ok := gone.Load(k); ok && k != "" {
			r.Header.Set(fieldKey, k[:30]+"-again")
		}
		rec := httptest.NewRecorder()
		inner.ServeHTTP(rec, r)
		time.Sleep(fast) // who does not wait for the answer has left by now
		here := r.Context().Err() == nil
		write(w, rec)
		_ = http.NewResponseController(w).Flush()
		if here && r.Method == http.MethodPost && rec.Code == http.StatusCreated {
			time.Sleep(fast / 2)
			if r.Context().Err() != nil {
				gone.Store(k, true)
			}
		}
	})
}

// smuggle refuses without reading, and takes the body for the next request.
func smuggle(t *testing.T, b *bank) http.Handler {
	t.Helper()
	inner := guard(t, b, semelhttp.Config{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if key(r) != "" || r.Method != http.MethodPost || r.Header.Get("Expect") != "" {
			inner.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		inner.ServeHTTP(rec, r.WithContext(context.WithoutCancel(r.Context())))
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		rec.Header().Set("Content-Length", strconv.Itoa(rec.Body.Len()))
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d x\r\n", rec.Code)
		_ = rec.Header().Write(conn)
		_, _ = fmt.Fprintf(conn, "\r\n%s", rec.Body)
		_ = conn.SetReadDeadline(time.Now().Add(10 * fast))
		if n, _ := conn.Read(make([]byte, 1)); n > 0 {
			_, _ = io.WriteString(conn, "HTTP/1.1 400 x\r\nContent-Length: 0\r\n\r\n")
		}
	})
}

// cleaned stands for a control character, which no server of net/http lets in.
const cleaned = "~"

// front puts something before the target that lets everything in.
func front(t *testing.T, target *Target) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	behind := target.URL.Host
	go func() { // ends with the listener
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go relay(conn, behind)
		}
	}()
	for _, u := range []*url.URL{target.URL, target.OtherURL, target.Effects.URL} {
		u.Host = l.Addr().String()
	}
}

// relay hands one connection on.
func relay(conn net.Conn, behind string) {
	defer conn.Close()
	to, err := net.Dial("tcp", behind)
	if err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(conn, to)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	chunk := make([]byte, 64<<10)
	for {
		n, err := conn.Read(chunk)
		if n > 0 {
			_, _ = to.Write(bytes.ReplaceAll(chunk[:n], []byte("\x01"), []byte(cleaned)))
		}
		if err != nil {
			_ = to.Close()
			return
		}
	}
}
