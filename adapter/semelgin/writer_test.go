package semelgin_test

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/semel-go/semel/adapter/semelgin"
	"github.com/semel-go/semel/semelhttp"
)

// gin's rules of status and size hold for the writer of a guarded handler.
func TestWriterIsGins(t *testing.T) {
	type state struct {
		status, size int
		written      bool
	}
	var steps [2][]state
	script := func(steps *[]state) gin.HandlerFunc {
		return func(c *gin.Context) {
			note := func() { *steps = append(*steps, state{c.Writer.Status(), c.Writer.Size(), c.Writer.Written()}) }
			note()
			c.Status(http.StatusAccepted)
			c.Status(-1)
			note()
			c.Writer.WriteHeaderNow()
			note()
			c.Status(http.StatusTeapot)
			note()
			_, _ = c.Writer.WriteString("abc")
			_, _ = c.Writer.Write([]byte("de"))
			note()
			if _, _, err := c.Writer.Hijack(); err == nil {
				t.Error("hijacked after a body")
			}
			c.Writer.Flush()
			note()
			if c.Writer.Pusher() != nil {
				t.Error("HTTP/1.1 has no push")
			}
		}
	}
	bare := newRigOn(t, func(_ *rig, e *gin.Engine) { e.POST("/pay/:id", script(&steps[0])) }).pay("")
	guarded := newRig(t, script(&steps[1])).pay("k1")
	if bare.status != guarded.status || bare.body != guarded.body {
		t.Errorf("got %+v, and without Semel %+v", guarded, bare)
	}
	for i := range steps[0] {
		if steps[0][i] != steps[1][i] {
			t.Errorf("step %d: got %+v, and without Semel %+v", i, steps[1][i], steps[0][i])
		}
	}
}

// A handler may take the connection, and the outcome is not kept, nor run again.
func TestHijack(t *testing.T) {
	r := newRig(t, func(c *gin.Context) {
		conn, _, err := c.Writer.Hijack()
		if err != nil || !c.Writer.Written() {
			t.Errorf("got %v, written %v", err, c.Writer.Written())
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
		_ = conn.Close()
	})
	if got := r.pay("k1"); got.status != 200 || got.body != "hi" {
		t.Errorf("got %+v", got)
	}
	r.wantProblem(r.pay("k1"), 410, semelhttp.ProblemResponseNotKept)
	r.wantRuns(1)
}

// A stream to a client that has left ends; one that has not begun to leave does not.
func TestCloseNotifyOfAStream(t *testing.T) {
	ended := make(chan bool, 1)
	var over atomic.Bool
	r := newRig(t, func(c *gin.Context) {
		ended <- c.Stream(func(w io.Writer) bool {
			_, _ = io.WriteString(w, "tick ")
			return !over.Load()
		})
	})
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.server.URL+"/pay/7", nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer alice")
	q.Header.Set("Idempotency-Key", "k1")
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close() // the connection with it
	select {
	case gone := <-ended:
		if !gone {
			t.Error("the stream ended, and not because the client has left")
		}
	case <-time.After(10 * time.Second):
		over.Store(true)
		t.Error("the stream does not end")
	}
}

// A scope that is no text is refused, and says what it found.
func TestScopeOfAnotherType(t *testing.T) {
	var found error
	r := newRigOn(t, func(r *rig, e *gin.Engine) {
		inner := semelgin.ByKey("account")
		mw, err := newMiddleware(t, semelhttp.Config{}).WithScope(func(q *http.Request) (string, error) {
			scope, err := inner(q)
			found = err
			return scope, err
		})
		if err != nil {
			t.Fatal(err)
		}
		e.Use(func(c *gin.Context) { c.Set("account", 7) }, semelgin.Wrap(mw))
		e.POST("/pay/:id", r.counted(func(*gin.Context) {}))
	})
	r.wantProblem(r.pay("k1"), 400, semelhttp.ProblemScopeMissing)
	if !errors.Is(found, semelhttp.ErrNoScope) || found.Error() == semelhttp.ErrNoScope.Error()+": the context names no principal" {
		t.Errorf("got %v, want ErrNoScope that names the type", found)
	}
	if _, err := semelgin.ByKey("account")(new(http.Request)); !errors.Is(err, semelhttp.ErrNoScope) {
		t.Errorf("without Wrap: got %v, want ErrNoScope", err)
	}
	r.wantRuns(0)
}
