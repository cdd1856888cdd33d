package semelgin_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelgin"
	"github.com/semel-go/semel/internal/frameworktest"
	"github.com/semel-go/semel/semelhttp"
)

// newGlobal starts a router that is guarded as a whole.
func newGlobal(t *testing.T, build func(*gin.Engine)) *frameworktest.Rig {
	t.Helper()
	f := frameworktest.Framework{ByUser: semelgin.ByKey("user"), New: func(app frameworktest.App) http.Handler {
		router := gin.New()
		router.HandleMethodNotAllowed = true
		router.Use(authenticate, semelgin.Wrap(app.Guards[0]))
		build(router)
		return router
	}}
	return frameworktest.NewRig(t, f, semelhttp.Config{}, nil, nil)
}

// I3, I14: what is forwarded goes past the middleware, so nobody may take an answer of the
// middleware for the one that the client saw.
func TestForwarded(t *testing.T) {
	for name, before := range map[string]func(*gin.Context){
		"at once":             func(*gin.Context) {},
		"with an answer half": func(c *gin.Context) { c.String(http.StatusOK, "half") },
		"settled": func(c *gin.Context) {
			_ = semel.FromContext(c.Request.Context()).Complete(c.Request.Context(), semel.Response{Status: 200, Body: []byte("kept")})
		},
	} {
		t.Run(name, func(t *testing.T) {
			var router *gin.Engine
			runs := 0
			outside := func(c *gin.Context) { c.Set("user", c.GetHeader("Authorization")) }
			r := newGlobal(t, func(e *gin.Engine) {
				router = e
				e.POST("/payments/:id", func(c *gin.Context) {
					before(c)
					c.Request.URL.Path = "/moved"
					router.HandleContext(c)
				})
				e.POST("/moved", outside, func(c *gin.Context) {
					runs++
					c.String(http.StatusCreated, "forwarded")
				})
			})
			if a := r.Post("k", "x"); a.Status != http.StatusCreated || a.Body != "forwarded" {
				t.Errorf("got %+v, want 201 forwarded", a)
			}
			if name != "settled" {
				r.WantProblem(r.Post("k", "x"), http.StatusConflict, semelhttp.ProblemOutcomeUnknown)
			}
			if runs != 1 {
				t.Errorf("the handler ran %d times, want 1", runs)
			}
		})
	}
}

// What compresses outside does not know what is written past it.
func TestForwardedPastAnother(t *testing.T) {
	var router *gin.Engine
	r := newRig(t, semelhttp.Config{}, []gin.HandlerFunc{func(c *gin.Context) {
		c.Writer = &unwritten{c.Writer}
		router = gin.New()
		c.Next()
	}}, func(c *gin.Context) {
		router.POST("/payments/:id", func(c *gin.Context) { c.String(http.StatusCreated, "forwarded") })
		router.HandleContext(c)
	})
	if a := r.Post("k", "x"); a.Status != http.StatusCreated || a.Body != "forwarded" {
		t.Errorf("got %+v, want 201 forwarded", a)
	}
	r.WantProblem(r.Post("k", "x"), http.StatusConflict, semelhttp.ProblemOutcomeUnknown)
}

// unwritten holds back what is written, and so has a size of its own.
type unwritten struct{ gin.ResponseWriter }

func (unwritten) Written() bool { return false }
func (unwritten) Size() int     { return -1 }

// Where gin has no route, nothing happens: gin answers, and nothing is kept.
func TestNoRoute(t *testing.T) {
	for status, build := range map[int]func(*gin.Engine){
		http.StatusNotFound:         func(*gin.Engine) {},
		http.StatusMethodNotAllowed: func(e *gin.Engine) { e.GET("/payments/:id", func(*gin.Context) {}) },
	} {
		r := newGlobal(t, build)
		for range 2 {
			if a := r.Post("k", "x"); a.Status != status || a.Body == "" || a.Replayed() {
				t.Errorf("got %+v, want gin's %d", a, status)
			}
		}
		n := 0
		for rec, err := range r.Store.List(t.Context(), semel.Filter{}) {
			if err != nil || rec.State != semel.StateFree {
				n++
			}
		}
		if n != 0 {
			t.Errorf("%d: got %d records, want none", status, n)
		}
	}
}

// A handler for what has no route is guarded as any other, if it answers.
func TestNoRouteHandler(t *testing.T) {
	for name, row := range map[string]struct {
		handler gin.HandlerFunc
		status  int
		body    string
	}{
		"body":   {func(c *gin.Context) { c.String(http.StatusNotFound, "nobody here") }, http.StatusNotFound, "nobody here"},
		"header": {func(c *gin.Context) { c.Writer.WriteHeaderNow() }, http.StatusNotFound, ""},
		"status": {func(c *gin.Context) { c.Status(http.StatusNoContent) }, http.StatusNoContent, ""},
	} {
		t.Run(name, func(t *testing.T) {
			runs := 0
			r := newGlobal(t, func(e *gin.Engine) {
				e.NoRoute(func(c *gin.Context) {
					runs++
					row.handler(c)
				})
			})
			for i := range 2 {
				if a := r.Post("k", "x"); a.Status != row.status || a.Body != row.body || a.Replayed() != (i == 1) {
					t.Errorf("got %+v, want %d %q", a, row.status, row.body)
				}
			}
			if runs != 1 {
				t.Errorf("the handler ran %d times, want 1", runs)
			}
		})
	}
}

// I9: a client that has left before anything was sent does not end a stream.
func TestStreamBegins(t *testing.T) {
	begun, done := make(chan struct{}), make(chan int, 1)
	left := make(chan struct{}, 2) // the retry leaves, too
	r := newRig(t, semelhttp.Config{}, []gin.HandlerFunc{func(c *gin.Context) {
		context.AfterFunc(c.Request.Context(), func() { left <- struct{}{} })
	}}, func(c *gin.Context) {
		close(begun)
		<-left
		n := 0
		c.Stream(func(w io.Writer) bool {
			n++
			_, _ = io.WriteString(w, "tick")
			return n < 3
		})
		done <- n
	})
	ctx, hangUp := context.WithCancel(t.Context())
	go func() {
		<-begun
		hangUp()
	}()
	r.Send(r.Request(ctx, http.MethodPost, "k", "x"))
	if n := <-done; n == 0 {
		t.Error("the stream ended before it began")
	}
	// It is recorded before it leaves, so a retry need not wait for its end.
	r.WantProblem(r.Post("k", "x"), http.StatusGone, semelhttp.ProblemResponseNotKept)
	r.WantRuns(1)
}

// A stream that has begun ends with its client.
func TestStreamEnds(t *testing.T) {
	begun, done := make(chan struct{}), make(chan bool, 1)
	r := newRig(t, semelhttp.Config{}, nil, func(c *gin.Context) {
		n := 0
		done <- c.Stream(func(w io.Writer) bool {
			if n++; n == 2 { // the first part has left
				close(begun)
			}
			_, _ = io.WriteString(w, "tick")
			time.Sleep(time.Millisecond)
			return n < 3000
		})
	})
	ctx, hangUp := context.WithCancel(t.Context())
	go func() {
		<-begun
		hangUp()
	}()
	r.Send(r.Request(ctx, http.MethodPost, "k", "x"))
	if !<-done {
		t.Error("the stream went on without its client")
	}
}

// The end of the attempt is told at any time.
func TestCloseNotifyOfTheAttempt(t *testing.T) {
	told := make(chan bool, 1)
	var r *frameworktest.Rig
	r = newRig(t, semelhttp.Config{}, nil, func(c *gin.Context) {
		gone := c.Writer.CloseNotify()
		go func() { _ = r.Engine.Close(c.Request.Context()) }()
		select {
		case <-gone:
			told <- true
		case <-time.After(5 * time.Second):
			told <- false
		}
	})
	r.Post("k", "x")
	if !<-told {
		t.Error("the handler was not told that its attempt is over")
	}
}
