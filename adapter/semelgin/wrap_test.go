package semelgin_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelgin"
	"github.com/semel-go/semel/semelhttp"
)

// I3: whatever way gin has of making an answer, a replay is that answer.
func TestReplayIsTheAnswer(t *testing.T) {
	for name, h := range map[string]gin.HandlerFunc{
		"json": func(c *gin.Context) {
			c.Header("Location", "/payments/7")
			c.Writer.Header().Add("Set-Cookie", "a=1")
			c.Writer.Header().Add("Set-Cookie", "b=2")
			c.JSON(http.StatusCreated, gin.H{"id": c.Param("id")})
		},
		"declined":            func(c *gin.Context) { c.AbortWithStatusJSON(http.StatusPaymentRequired, gin.H{"error": "declined"}) },
		"declined and logged": func(c *gin.Context) { _ = c.Error(errors.New("no money")); c.JSON(402, gin.H{"error": "declined"}) },
		"error with status":   func(c *gin.Context) { _ = c.AbortWithError(http.StatusConflict, errors.New("sold out")) },
		"status alone":        func(c *gin.Context) { c.Status(http.StatusNoContent) },
		"accepted alone":      func(c *gin.Context) { c.Status(http.StatusAccepted) },
		"nothing":             func(*gin.Context) {},
		"redirect":            func(c *gin.Context) { c.Redirect(http.StatusSeeOther, "/payments/7") },
		"text":                func(c *gin.Context) { c.String(http.StatusOK, "paid %s", c.Param("id")) },
		"file":                func(c *gin.Context) { c.File("doc.go") },
		"large": func(c *gin.Context) {
			c.Data(http.StatusOK, "text/plain", []byte(strings.Repeat("x", 200<<10)))
		},
		"trailer": func(c *gin.Context) {
			c.Header("Trailer", "Checksum")
			c.String(http.StatusOK, "paid")
			c.Header("Checksum", "abc")
		},
		"server error": func(c *gin.Context) { c.String(http.StatusInternalServerError, "oops") },
		"copied context": func(c *gin.Context) {
			text := make(chan string)
			go func(cp *gin.Context) { text <- cp.Param("id") + cp.GetString("account") }(c.Copy())
			c.String(http.StatusOK, <-text)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, h)
			first, second := r.pay("k1"), r.pay("k1")
			r.wantReplay(first, second)
			r.wantRuns(1)
			bare := newRigOn(t, func(r *rig, e *gin.Engine) { e.POST("/pay/:id", authenticate, h) }).pay("k1")
			if bare.status != first.status || bare.body != first.body || bare.header.Get("Content-Length") != first.header.Get("Content-Length") {
				t.Errorf("got %d %q, and without Semel %d %q", first.status, first.body, bare.status, bare.body)
			}
		})
	}
}

// A refusal and a replay end the chain; what stands before goes on.
func TestRefusals(t *testing.T) {
	started, goOn := make(chan struct{}), make(chan struct{})
	var after []bool
	r := newRig(t, func(c *gin.Context) {
		if c.GetHeader("Idempotency-Key") == "slow" {
			close(started)
			<-goOn
		}
		c.String(http.StatusOK, "paid")
	}, func(c *gin.Context) {
		c.Next()
		if c.GetHeader("Idempotency-Key") != "slow" {
			after = append(after, c.IsAborted())
		}
	})
	r.wantProblem(r.pay(""), 400, semelhttp.ProblemKeyMissing)
	r.wantProblem(r.pay("not a key\t"), 400, semelhttp.ProblemKeyInvalid)
	r.pay("k1")
	r.wantProblem(r.send(http.MethodPost, "/pay/7", "alice", "k1", `{"amount":2}`), 422, semelhttp.ProblemKeyConflict)
	r.pay("k1")
	if got := r.send(http.MethodPost, "/pay/7", "bob", "k1", `{"amount":1}`); got.header.Get("Idempotent-Replayed") != "" || got.status != 200 {
		t.Errorf("another account's key: got %+v, want an answer of its own", got) // I11
	}
	if want := []bool{true, true, false, true, true, false}; len(after) != len(want) {
		t.Errorf("aborted: got %v, want %v", after, want)
	} else {
		for i := range want {
			if after[i] != want[i] {
				t.Errorf("aborted: got %v, want %v", after, want)
				break
			}
		}
	}
	done := make(chan answer)
	go func() { done <- r.pay("slow") }()
	<-started
	r.wantProblem(r.pay("slow"), 409, semelhttp.ProblemInFlight)
	close(goOn)
	if got := <-done; got.status != 200 {
		t.Errorf("got %+v, want 200", got)
	}
	r.wantRuns(3)
}

// What authentication refuses is no attempt: the key is free.
func TestAuthenticationComesFirst(t *testing.T) {
	r := newRig(t, func(c *gin.Context) { c.Status(http.StatusCreated) })
	if got := r.send(http.MethodPost, "/pay/7", "", "k1", `{"amount":1}`); got.status != 401 {
		t.Fatalf("got %d, want 401", got.status)
	}
	if got := r.pay("k1"); got.status != 201 || got.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("got %+v, want a first answer", got)
	}
	r.wantRuns(1)
}

// I1: of fifty duplicates at once one runs.
func TestDuplicatesRunOnce(t *testing.T) {
	r := newRig(t, func(c *gin.Context) {
		time.Sleep(5 * time.Millisecond)
		c.JSON(http.StatusCreated, gin.H{"id": 1})
	})
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if got := r.pay("k1"); got.status != 201 && got.status != 409 {
				t.Errorf("got %+v, want 201 or 409", got)
			}
		})
	}
	all.Wait()
	r.wantRuns(1)
}

// A panic holds the key, and Recovery outside answers it.
func TestPanicHolds(t *testing.T) {
	r := newRig(t, func(c *gin.Context) {
		c.String(http.StatusOK, "half")
		panic("broken")
	}, gin.CustomRecoveryWithWriter(io.Discard, func(c *gin.Context, _ any) { c.AbortWithStatusJSON(500, gin.H{"error": "sorry"}) }))
	if got := r.pay("k1"); got.status != 500 || got.body != `{"error":"sorry"}` {
		t.Errorf("got %d %q, want the answer of Recovery alone", got.status, got.body)
	}
	r.wantProblem(r.pay("k1"), 409, semelhttp.ProblemOutcomeUnknown)
	r.wantRuns(1)
}

// I7: a client that leaves ends nothing: its answer is kept.
func TestClientLeaves(t *testing.T) {
	started, left, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	r := newRig(t, func(c *gin.Context) {
		close(started)
		<-left
		select { // which c.Stream asks before each step
		case <-c.Writer.CloseNotify():
			t.Error("the handler is told of a client that left")
		case <-time.After(20 * time.Millisecond):
		}
		c.Stream(func(io.Writer) bool {
			ended <- c.Request.Context().Err()
			return false
		})
	})
	ctx, cancel := context.WithCancel(t.Context())
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, r.server.URL+"/pay/7", strings.NewReader(`{"amount":1}`))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Authorization", "Bearer alice")
	q.Header.Set("Idempotency-Key", "k1")
	go func() {
		<-started
		cancel()
	}()
	if resp, err := http.DefaultClient.Do(q); err == nil {
		_ = resp.Body.Close()
		t.Fatal("the client did not leave")
	}
	time.AfterFunc(20*time.Millisecond, func() { close(left) }) // so that the server has seen it
	if err := <-ended; err != nil {
		t.Errorf("the context of the handler: got %v, want none", err)
	}
	r.wantProblem(r.settled("k1"), 410, semelhttp.ProblemResponseNotKept)
	r.wantRuns(1)
}

// settled pays until no attempt runs any more.
func (r *rig) settled(key string) answer {
	r.t.Helper()
	for {
		got := r.pay(key)
		if got.status != 409 || !strings.Contains(got.body, semelhttp.ProblemInFlight.Details().Code) {
			return got
		}
		time.Sleep(time.Millisecond)
	}
}

// A stream is sent as it is made, and not kept.
func TestStream(t *testing.T) {
	r := newRig(t, func(c *gin.Context) {
		n := 0
		c.Stream(func(w io.Writer) bool {
			n++
			_, _ = io.WriteString(w, "tick ")
			return n < 3
		})
	})
	if got := r.pay("k1"); got.status != 200 || got.body != "tick tick tick " {
		t.Errorf("got %+v", got)
	}
	r.wantProblem(r.pay("k1"), 410, semelhttp.ProblemResponseNotKept)
	r.wantRuns(1)
}

// A middleware for the group and another one for a route in it are one attempt.
func TestRouteOptions(t *testing.T) {
	r := newRigOn(t, func(r *rig, e *gin.Engine) {
		mw := newMiddleware(t, semelhttp.Config{})
		special, err := mw.With(func(c *semelhttp.Config) { c.Optional = true })
		if err != nil {
			t.Fatal(err)
		}
		h := r.counted(func(c *gin.Context) { c.JSON(http.StatusCreated, gin.H{"run": r.runs.Load()}) })
		e.Use(authenticate)
		group := e.Group("/", semelgin.Wrap(mw))
		group.POST("/pay/:id", semelgin.Wrap(special), h)
		group.GET("/pay/:id", h)
		e.POST("/optional", semelgin.Handle(special, h))
	})
	r.wantReplay(r.pay("k1"), r.pay("k1"))
	r.wantRuns(1)
	r.wantProblem(r.pay(""), 400, semelhttp.ProblemKeyMissing) // the outer one's word
	for range 2 {
		if got := r.send(http.MethodPost, "/optional", "alice", "", "{}"); got.status != 201 || got.header.Get("Idempotent-Replayed") != "" {
			t.Errorf("without a key: got %+v", got)
		}
		if got := r.send(http.MethodGet, "/pay/7", "alice", "k1", ""); got.status != 201 || got.header.Get("Idempotent-Replayed") != "" {
			t.Errorf("GET: got %+v", got)
		}
	}
	r.wantRuns(5)
}

// The route's pattern of gin names the route, and the handler has its claim.
func TestRouteIsNamed(t *testing.T) {
	var pattern string
	var claim *semel.Claim
	r := newRig(t, func(c *gin.Context) {
		pattern, claim = c.Request.Pattern, semel.FromContext(c.Request.Context())
	})
	r.pay("k1")
	if pattern != "POST /pay/:id" || claim == nil {
		t.Errorf("got %q and %v, want the pattern and a claim", pattern, claim)
	}
}
