package semelhttp_test

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// script is a handler that does what bytes say.
type script struct {
	ops   []byte
	runs  int
	freed bool // it says itself that nothing happened
	left  bool // bytes may have left, so it must not keep another answer
}

var errScript = errors.New("the script says so")

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.runs++
	c, h := semel.FromContext(r.Context()), w.Header()
	names := []string{"X-A", "x-a", "Content-Type", "Content-Encoding", "Vary", "Trailer", http.TrailerPrefix + "X-T", "X-T", "Date", "Etag"}
	values := []string{"", "x", "text/plain", "X-T, X-A", "close", "v"}
	statuses := []int{200, 201, 204, 205, 304, 302, 401, 404, 500, 503, 504, 999}
	for ops := s.ops; len(ops) >= 3; ops = ops[3:] {
		name, value := names[int(ops[1])%len(names)], values[int(ops[2])%len(values)]
		n := int(ops[1])<<4 + int(ops[2])
		op := ops[0] % 16
		if name == "Vary" && (op == 2 || op == 3) {
			op = 1 // an outer middleware's, which a replay has again
		}
		switch op {
		case 0, 1:
			h[name] = append(h[name], value)
		case 2:
			h[name] = nil
		case 3:
			delete(h, name)
		case 4, 5:
			w.WriteHeader(statuses[n%len(statuses)])
		case 6:
			s.left = s.left || n > 1000
			_, _ = w.Write(make([]byte, n))
		case 7:
			_, _ = io.WriteString(w, strings.Repeat("s", n%97))
		case 8:
			s.left = true
			_ = http.NewResponseController(w).Flush()
		case 9:
			_, _ = io.CopyN(w, r.Body, int64(n%97))
		case 10:
			d := semel.Disposition(ops[1] % 3)
			s.freed = s.freed || d == semel.Free
			c.Settle(d)
		case 11:
			h.Set("Content-Length", []string{"0", "1", "97", "abc"}[ops[1]%4])
		case 12:
			s.left = true
			_, _, _ = http.NewResponseController(w).Hijack()
		case 13:
			kept, err := semelhttp.Kept{Status: 207, NotKept: ops[1]%2 == 0, Body: []byte("own")}.Encode()
			if err == nil && !s.left {
				_ = c.Complete(r.Context(), kept)
			}
		case 14:
			s.freed = true
			_ = c.Release(r.Context())
		case 15:
			if ops[1] == 0 {
				panic(errScript)
			}
		}
	}
}

// exchanged is one answer, or the end of the connection.
type exchanged struct {
	received
	replayed, cut bool
}

func playScript(t *testing.T, h http.Handler, body string) (got exchanged) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Idempotency-Key", "k")
	w := httptest.NewRecorder()
	w.Header().Set("Vary", "Origin")
	defer func() {
		switch err := recover(); err {
		case nil:
			res := w.Result()
			got.replayed = res.Header.Get("Idempotent-Replayed") != ""
			got.received, _ = readAll(res)
			got.Length = 0
			got.Header.Del("Content-Length") // net/http adds it to what is short
			maps.DeleteFunc(got.Header, func(_ string, lines []string) bool { return len(lines) == 0 })
		case http.ErrAbortHandler, errScript:
			got.cut = true
		default:
			panic(err)
		}
	}()
	h.ServeHTTP(w, r)
	return got
}

// Whatever a handler does, nothing but its own panic comes out (I7), a retry
// does not run it again unless it may (I1), and a replay is the first answer (I3).
func FuzzMiddleware(f *testing.F) {
	f.Add([]byte{0, 0, 1, 4, 0, 1, 6, 0, 9}, "body")
	f.Add([]byte{0, 5, 3, 6, 1, 1, 0, 8, 5, 0, 6, 5}, "")
	f.Add([]byte{8, 0, 0, 7, 0, 9, 15, 0, 0}, "x")
	f.Add([]byte{13, 0, 0, 6, 255, 255, 8, 0, 0}, "x")
	f.Add([]byte{13, 1, 0, 7, 0, 9, 12, 0, 0}, "x") // hijacks in vain after it has kept its own answer
	f.Add([]byte{11, 2, 0, 7, 0, 9, 10, 2, 0}, "x")
	f.Fuzz(func(t *testing.T, ops []byte, body string) {
		engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = engine.Close(t.Context()) }()
		mw, err := semelhttp.New(engine, semelhttp.Global(), semelhttp.Config{MaxResponse: 1000 + 40*97, MaxBody: 1 << 16})
		if err != nil {
			t.Fatal(err)
		}
		s := &script{ops: ops[:min(len(ops), 120)]}
		h := mw.Wrap(s)
		first, second := playScript(t, h, body), playScript(t, h, body)
		if s.runs > 1 && !s.freed && semelhttp.Settle(first.Status, nil) != semel.Free {
			t.Errorf("it ran %d times after %+v", s.runs, first)
		}
		if second.replayed && (s.runs != 1 || !first.cut && !reflect.DeepEqual(first.received, second.received)) {
			t.Errorf("after %d runs:\nfirst  %+v\nreplay %+v", s.runs, first, second)
		}
	})
}
