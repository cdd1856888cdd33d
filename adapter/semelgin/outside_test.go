package semelgin_test

import (
	"compress/gzip"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/semel-go/semel/adapter/semelgin"
	"github.com/semel-go/semel/semelhttp"
)

// renderErrors is as gin's documentation has it.
func renderErrors(c *gin.Context) {
	c.Next()
	if len(c.Errors) > 0 {
		c.JSON(http.StatusPaymentRequired, gin.H{"error": c.Errors.Last().Error()})
	}
}

func decline(c *gin.Context) { _ = c.Error(errors.New("declined")) }

// Errors that are rendered after Wrap are kept as what the client saw.
func TestErrorsRenderedInside(t *testing.T) {
	r := newRigOn(t, func(r *rig, e *gin.Engine) {
		e.Use(authenticate, semelgin.Wrap(newMiddleware(t, semelhttp.Config{})), renderErrors)
		e.POST("/pay/:id", r.counted(decline))
	})
	first := r.pay("k1")
	if first.status != 402 || first.body != `{"error":"declined"}` {
		t.Errorf("got %+v", first)
	}
	r.wantReplay(first, r.pay("k1"))
	r.wantRuns(1)
}

// Errors that are rendered before Wrap reach the client, and nothing is kept in their
// stead: the key is held.
func TestErrorsRenderedOutside(t *testing.T) {
	r := newRig(t, decline, renderErrors)
	if got := r.pay("k1"); got.status != 402 || got.body != `{"error":"declined"}` {
		t.Errorf("got %+v, want the answer of the middleware outside", got)
	}
	r.wantProblem(r.pay("k1"), 409, semelhttp.ProblemOutcomeUnknown)
	r.wantRuns(1)
}

// With nobody to render them, the status is that of gin without Semel.
func TestErrorsRenderedNowhere(t *testing.T) {
	r := newRig(t, func(c *gin.Context) {
		c.Status(http.StatusAccepted)
		decline(c)
	})
	if got := r.pay("k1"); got.status != 202 || got.body != "" {
		t.Errorf("got %+v, want gin's empty 202", got)
	}
	r.wantProblem(r.pay("k1"), 409, semelhttp.ProblemOutcomeUnknown)
}

// What is kept is what the client saw: nobody adds to it.
func TestNothingIsAdded(t *testing.T) {
	var last error
	r := newRig(t, func(c *gin.Context) {
		decline(c)
		c.String(http.StatusPaymentRequired, "no money")
	}, func(c *gin.Context) {
		c.Next()
		if _, err := c.Writer.WriteString(""); len(c.Errors) > 0 && !errors.Is(err, semelgin.ErrComplete) {
			t.Errorf("WriteString: got %v, want ErrComplete", err)
		}
		last = c.Errors.Last()
	}, gin.ErrorLogger()) // adds the errors to whatever was written
	first := r.pay("k1")
	if first.body != "no money" {
		t.Errorf("got %q, want what the handler wrote", first.body)
	}
	if !errors.Is(last, semelgin.ErrComplete) {
		t.Errorf("the last error: got %v, want ErrComplete", last)
	}
	r.wantReplay(first, r.pay("k1"))
}

// Who stands before sees the true status and size, of answers, replays and refusals.
func TestLoggerSeesTheTruth(t *testing.T) {
	type line struct {
		status, size int
		written      bool
	}
	var got []line
	r := newRig(t, func(c *gin.Context) {
		switch c.GetHeader("Idempotency-Key") {
		case "none":
			c.Status(http.StatusNoContent)
		case "declined":
			c.AbortWithStatusJSON(http.StatusPaymentRequired, "no")
		default:
			c.String(http.StatusCreated, "paid")
		}
		if c.Writer.Size() > 4 || c.GetHeader("Idempotency-Key") == "none" && c.Writer.Written() {
			t.Errorf("in the handler: size %d, written %v", c.Writer.Size(), c.Writer.Written())
		}
	}, func(c *gin.Context) {
		before := c.Request
		c.Next()
		if c.Request != before {
			t.Error("c.Request is not what it was")
		}
		got = append(got, line{c.Writer.Status(), c.Writer.Size(), c.Writer.Written()})
	})
	keys := []string{"k1", "k1", "none", "none", "declined", "declined", ""}
	var want []line
	for _, key := range keys {
		a := r.pay(key)
		want = append(want, line{a.status, len(a.body), true})
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%q: got %+v, want %+v", keys[i], got[i], want[i])
		}
	}
}

// The status that a middleware before Wrap has set is the default, as in gin.
func TestStatusFromBefore(t *testing.T) {
	r := newRig(t, func(c *gin.Context) { _, _ = c.Writer.WriteString("paid") }, func(c *gin.Context) { c.Status(http.StatusAccepted) })
	first := r.pay("k1")
	if first.status != 202 {
		t.Errorf("got %d, want 202", first.status)
	}
	r.wantReplay(first, r.pay("k1"))
}

// zipper compresses as gin-contrib/gzip does.
type zipper struct {
	gin.ResponseWriter
	zip *gzip.Writer
}

func (z zipper) Write(p []byte) (int, error) {
	z.Header().Del("Content-Length")
	return z.zip.Write(p)
}
func (z zipper) WriteString(s string) (int, error) { return z.Write([]byte(s)) }
func (z zipper) WriteHeader(status int) {
	z.Header().Del("Content-Length")
	z.ResponseWriter.WriteHeader(status)
}

// Compression stands outside: the answer is kept once, and each replay compressed.
func TestCompressionOutside(t *testing.T) {
	r := newRig(t, func(c *gin.Context) {
		c.String(http.StatusOK, strings.Repeat("paid ", 1000))
	}, func(c *gin.Context) {
		before := c.Writer
		zip := gzip.NewWriter(before)
		before.Header().Set("Content-Encoding", "gzip")
		c.Writer = zipper{before, zip}
		defer func() {
			_ = zip.Close()
			c.Writer = before
		}()
		c.Next()
	})
	first := r.pay("k1") // http.Transport reads it
	if first.body != strings.Repeat("paid ", 1000) {
		t.Errorf("got %q", first.body)
	}
	r.wantReplay(first, r.pay("k1"))
	r.wantRuns(1)
}
