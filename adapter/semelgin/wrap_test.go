package semelgin_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/semel-go/semel/adapter/semelgin"
	"github.com/semel-go/semel/internal/frameworktest"
	"github.com/semel-go/semel/semelhttp"
)

// A replay and a refusal abort the chain: what is after the guard does not run, and what
// is before goes on, with c as it was.
func TestChain(t *testing.T) {
	var steps []string
	step := func(name string) gin.HandlerFunc {
		return func(c *gin.Context) {
			steps = append(steps, name)
			request, writer := c.Request, c.Writer
			c.Next()
			if name == "outside" && (c.Request != request || c.Writer.Size() != writer.Size() || c.Writer.Status() != writer.Status()) {
				t.Errorf("c is not what it was: size %d, want %d", c.Writer.Size(), writer.Size())
			}
			after := name
			if c.IsAborted() {
				after += " aborted"
			}
			steps = append(steps, after)
		}
	}
	r := newRig(t, semelhttp.Config{}, []gin.HandlerFunc{step("outside")}, func(c *gin.Context) {
		step("handler")(c)
		c.String(http.StatusOK, "paid")
	})
	for _, request := range []struct {
		key  string
		want []string
	}{
		{"k", []string{"outside", "handler", "handler", "outside"}},
		{"k", []string{"outside", "outside aborted"}},
		{"", []string{"outside", "outside aborted"}},
	} {
		steps = nil
		r.Post(request.key, "x")
		if !slices.Equal(steps, request.want) {
			t.Errorf("%q: got %v, want %v", request.key, steps, request.want)
		}
	}
}

// The writer is gin's in all that can be asked of it.
func TestWriter(t *testing.T) {
	r := newRig(t, semelhttp.Config{}, []gin.HandlerFunc{func(c *gin.Context) { c.Status(http.StatusAccepted) }}, func(c *gin.Context) {
		want := func(when string, status, size int, written bool) {
			t.Helper()
			if w := c.Writer; w.Status() != status || w.Size() != size || w.Written() != written {
				t.Errorf("%s: got %d, %d, %v, want %d, %d, %v", when, w.Status(), w.Size(), w.Written(), status, size, written)
			}
		}
		want("before", http.StatusAccepted, -1, false)
		c.Status(http.StatusCreated)
		c.Writer.WriteHeader(-1)
		want("with a status", http.StatusCreated, -1, false)
		c.Writer.WriteHeaderNow()
		want("with a header", http.StatusCreated, 0, true)
		c.Status(http.StatusTeapot)
		_, _ = c.Writer.Write([]byte("pa"))
		_, _ = io.WriteString(c.Writer, "id")
		want("with a body", http.StatusCreated, 4, true)
		if c.Writer.Pusher() != nil || c.Writer.CloseNotify() == nil {
			t.Error("HTTP/1.1 has no pusher, and a channel for the end of the connection")
		}
		if _, _, err := c.Writer.Hijack(); err == nil {
			t.Error("hijacked with half an answer written")
		}
		copied := c.Copy()
		if copied.Request != c.Request || copied.GetString("user") != "alice" {
			t.Error("the copy is of another request")
		}
	})
	for range 2 {
		if a := r.Post("k", "x"); a.Status != http.StatusCreated || a.Body != "paid" {
			t.Errorf("got %+v", a)
		}
	}
	r.WantRuns(1)
}

// The status that a middleware outside has noted is the handler's, as in gin.
func TestStatusOfOutside(t *testing.T) {
	r := newRig(t, semelhttp.Config{}, []gin.HandlerFunc{func(c *gin.Context) { c.Status(http.StatusAccepted) }}, func(*gin.Context) {})
	for range 2 {
		if a := r.Post("k", "x"); a.Status != http.StatusAccepted {
			t.Errorf("got %+v, want 202", a)
		}
	}
	r.WantRuns(1)
}

// I14: c.Stream and Hijack let an answer go early, so their key is never free again.
func TestEarlyAnswers(t *testing.T) {
	for name, handler := range map[string]gin.HandlerFunc{
		"stream": func(c *gin.Context) {
			n := 0
			c.Stream(func(w io.Writer) bool {
				_, _ = io.WriteString(w, "raw")
				n++
				return n < 1
			})
		},
		"controller": func(c *gin.Context) {
			c.String(http.StatusOK, "raw")
			if err := http.NewResponseController(c.Writer).Flush(); err != nil {
				panic(err)
			}
		},
		"hijack": func(c *gin.Context) {
			conn, rw, err := c.Writer.Hijack()
			if err != nil {
				panic(err)
			}
			if !c.Writer.Written() {
				panic("a hijacked answer has not begun")
			}
			_, _ = rw.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nraw")
			_ = rw.Flush()
			_ = conn.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, semelhttp.Config{}, nil, handler)
			if a := r.Post("k", "x"); a.Status != http.StatusOK || a.Body != "raw" {
				t.Errorf("got %+v", a)
			}
			r.WantProblem(r.Post("k", "x"), http.StatusGone, semelhttp.ProblemResponseNotKept)
			r.WantRuns(1)
		})
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "receipt.txt")
	if err := os.WriteFile(path, []byte("receipt"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, semelhttp.Config{}, nil, func(c *gin.Context) { c.FileAttachment(path, "receipt.txt") })
	first := r.Post("k", "x")
	_ = os.Remove(path)
	again := r.Post("k", "x")
	if first.Body != "receipt" || again.Body != "receipt" || again.Header.Get("Content-Disposition") != first.Header.Get("Content-Disposition") {
		t.Errorf("got %+v, then %+v", first, again)
	}
}

// Authentication may leave a text or a number; anything else could be the same for two.
func TestByKey(t *testing.T) {
	type account struct{ id int }
	for _, row := range []struct {
		user any
		want string
	}{
		{"ada", "x:ada"},
		{7, "x:7"},
		{int32(-7), "x:-7"},
		{int64(7), "x:7"},
		{uint(7), "x:7"},
		{uint32(7), "x:7"},
		{uint64(1 << 63), "x:9223372036854775808"},
		{"", ""},
		{nil, ""},
		{account{7}, ""},
		{[]string{"ada"}, ""},
	} {
		var got string
		scope := semelgin.ByKey("user")
		f := frameworktest.Framework{ByUser: func(r *http.Request) (string, error) {
			text, err := scope(r)
			got = text
			return text, err
		}, New: func(app frameworktest.App) http.Handler {
			router := gin.New()
			router.POST("/payments/:id", func(c *gin.Context) { c.Set("user", row.user) }, semelgin.Wrap(app.Guards[0]))
			return router
		}}
		r := frameworktest.NewRig(t, f, semelhttp.Config{}, nil, nil)
		a := r.Post("k", "x")
		if got != row.want {
			t.Errorf("%T %v: got the scope %q, want %q", row.user, row.user, got, row.want)
		}
		if row.want == "" {
			r.WantProblem(a, http.StatusBadRequest, semelhttp.ProblemScopeMissing)
		}
		if _, err := scope(r.Request(t.Context(), "POST", "k", "")); err == nil {
			t.Error("a request that is not gin's has a scope")
		}
	}
}

// gin's Engine ends what only has a status; a refusal is whole when it has left.
func TestRefusalIsWhole(t *testing.T) {
	r := newRig(t, semelhttp.Config{}, []gin.HandlerFunc{func(c *gin.Context) {
		c.Next()
		c.String(http.StatusTeapot, "added")
	}}, func(c *gin.Context) { c.Status(http.StatusNoContent) })
	a := r.Post("", "x")
	r.WantProblem(a, http.StatusBadRequest, semelhttp.ProblemKeyMissing)
	if strings.Contains(a.Body, "added") {
		t.Errorf("got %s", a.Body)
	}
	for range 2 {
		if a := r.Post("k", "x"); a.Status != http.StatusNoContent {
			t.Errorf("got %+v, want 204", a)
		}
	}
}

// What is not guarded is gin's alone: a request that a handler has put there stays.
func TestUnguardedLeavesTheRequest(t *testing.T) {
	var inner *http.Request
	seen := false
	r := newRig(t, semelhttp.Config{Optional: true}, []gin.HandlerFunc{func(c *gin.Context) {
		c.Next()
		seen = c.Request == inner
		c.String(http.StatusOK, "added") // and may still be answered outside
	}}, func(c *gin.Context) {
		inner = c.Request.Clone(c.Request.Context())
		c.Request = inner
	})
	if a := r.Post("", "x"); !seen || a.Body != "added" {
		t.Errorf("got %+v, the handler's request %v", a, seen)
	}
}
