package semelgin_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelgin"
	"github.com/semel-go/semel/internal/frameworktest"
	"github.com/semel-go/semel/semelhttp"
)

// newRig starts a router with the middlewares outside of the guard, and the handler in it.
func newRig(t *testing.T, cfg semelhttp.Config, outside []gin.HandlerFunc, handler gin.HandlerFunc) *frameworktest.Rig {
	t.Helper()
	f := frameworktest.Framework{ByUser: semelgin.ByKey("user"), New: func(app frameworktest.App) http.Handler {
		router := gin.New()
		router.Use(outside...)
		router.Use(authenticate, semelgin.Wrap(app.Guards[0]))
		router.POST("/payments/:id", func(c *gin.Context) { _ = app.Handler(ginContext{c}) })
		return router
	}}
	return frameworktest.NewRig(t, f, cfg, func(c frameworktest.Context) error {
		handler(c.(ginContext).c) //nolint:forcetypeassert // it is
		return nil
	}, nil)
}

func decline(c *gin.Context) {
	_ = c.Error(&frameworktest.StatusError{Status: 402, Message: "declined"})
}

// Nothing is kept that is rendered outside: the client sees it, and the key is held (I7).
func TestErrorRenderedOutside(t *testing.T) {
	for name, status := range map[string]int{"no status": 0, "a status that is not sent": http.StatusPaymentRequired} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, semelhttp.Config{}, []gin.HandlerFunc{renderErrors}, func(c *gin.Context) {
				if status != 0 {
					c.Status(status)
				}
				decline(c)
			})
			if a := r.Post("k", "x"); a.Status != http.StatusPaymentRequired || !strings.Contains(a.Body, "declined") {
				t.Errorf("got %+v, want 402 declined", a)
			}
			r.WantProblem(r.Post("k", "x"), http.StatusConflict, semelhttp.ProblemOutcomeUnknown)
			r.WantRuns(1)
		})
	}
}

// Nobody renders it: the status is the one that gin would have sent.
func TestErrorRenderedNowhere(t *testing.T) {
	r := newRig(t, semelhttp.Config{}, nil, func(c *gin.Context) {
		c.Status(http.StatusPaymentRequired)
		decline(c)
	})
	if a := r.Post("k", "x"); a.Status != http.StatusPaymentRequired || a.Body != "" {
		t.Errorf("got %+v, want 402", a)
	}
	r.WantProblem(r.Post("k", "x"), http.StatusConflict, semelhttp.ProblemOutcomeUnknown)
}

// A handler that says that nothing has happened is believed.
func TestErrorRenderedOutsideFrees(t *testing.T) {
	r := newRig(t, semelhttp.Config{}, []gin.HandlerFunc{renderErrors}, func(c *gin.Context) {
		semel.FromContext(c.Request.Context()).Settle(semel.Free)
		decline(c)
	})
	for range 2 {
		if a := r.Post("k", "x"); a.Status != http.StatusPaymentRequired {
			t.Errorf("got %+v, want 402", a)
		}
	}
	r.WantRuns(2)
}

// What the handler has answered is the answer: nothing is added to it outside (I3).
func TestAnswerIsWhole(t *testing.T) {
	for name, handler := range map[string]gin.HandlerFunc{
		"status": func(c *gin.Context) { _ = c.AbortWithError(http.StatusPaymentRequired, errors.New("declined")) },
		"body": func(c *gin.Context) {
			_ = c.Error(errors.New("declined"))
			c.String(http.StatusPaymentRequired, "no")
		},
	} {
		t.Run(name, func(t *testing.T) {
			var late error
			written := false
			r := newRig(t, semelhttp.Config{}, []gin.HandlerFunc{func(c *gin.Context) {
				c.Next()
				written = c.Writer.Written()
				c.Writer.WriteHeader(http.StatusTeapot)
				_, late = c.Writer.WriteString("added")
				if n, err := c.Writer.Write([]byte("added")); n != 0 || !errors.Is(err, semelgin.ErrAnswered) {
					t.Errorf("got %d, %v, want ErrAnswered", n, err)
				}
			}}, handler)
			first, again := r.Post("k", "x"), r.Post("k", "x")
			if first.Status != http.StatusPaymentRequired || first.Status != again.Status || strings.Contains(first.Body, "added") || first.Body != again.Body || !again.Replayed() {
				t.Errorf("got %+v, then %+v", first, again)
			}
			if !written || !errors.Is(late, semelgin.ErrAnswered) {
				t.Errorf("outside: got written %v and %v, want true and ErrAnswered", written, late)
			}
		})
	}
}

// A panic leaves the real writer to what is outside.
func TestPanicLeavesTheWriter(t *testing.T) {
	r := newRig(t, semelhttp.Config{}, []gin.HandlerFunc{func(c *gin.Context) {
		request, writer := c.Request, c.Writer
		defer func() {
			p := recover()
			if p == nil { // the retry
				return
			}
			if p != "boom" || c.Request != request || c.Writer != writer {
				t.Errorf("got panic %v, the same request %v, the same writer %v", p, c.Request == request, c.Writer == writer)
			}
			c.String(http.StatusInternalServerError, "sorry")
		}()
		c.Next()
	}}, func(*gin.Context) { panic("boom") })
	if a := r.Post("k", "x"); a.Status != http.StatusInternalServerError || a.Body != "sorry" {
		t.Errorf("got %+v", a)
	}
	r.WantProblem(r.Post("k", "x"), http.StatusConflict, semelhttp.ProblemOutcomeUnknown)
}

// Mistakes of the program show when it starts.
func TestMistakes(t *testing.T) {
	for _, wrap := range []func(){
		func() { semelgin.Wrap(nil) },
		func() { semelgin.Handle(nil, decline) },
	} {
		func() {
			defer func() {
				if text, _ := recover().(string); !strings.HasPrefix(text, "semelgin: ") {
					t.Errorf("got %q, want a panic that says why", text)
				}
			}()
			wrap()
		}()
	}
}
