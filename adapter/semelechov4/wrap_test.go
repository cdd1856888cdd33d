package semelechov4_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelechov4"
	"github.com/semel-go/semel/semelhttp"
)

// I3: whatever way echo has of making an answer, a replay is that answer.
func TestReplayIsTheAnswer(t *testing.T) {
	for name, h := range map[string]echo.HandlerFunc{
		"json": func(c echo.Context) error {
			c.Response().Header().Set("Location", "/payments/7")
			c.Response().Header().Add("Set-Cookie", "a=1")
			c.Response().Header().Add("Set-Cookie", "b=2")
			return c.JSON(http.StatusCreated, map[string]string{"id": c.Param("id")})
		},
		"declined":    func(echo.Context) error { return echo.NewHTTPError(http.StatusPaymentRequired, "declined") },
		"other error": func(echo.Context) error { return errors.New("broken") },
		"written, then error": func(c echo.Context) error {
			_ = c.String(http.StatusConflict, "sold out")
			return errors.New("sold out")
		},
		"status alone": func(c echo.Context) error { return c.NoContent(http.StatusNoContent) },
		"nothing":      func(echo.Context) error { return nil },
		"redirect":     func(c echo.Context) error { return c.Redirect(http.StatusSeeOther, "/payments/7") },
		"large": func(c echo.Context) error {
			return c.Blob(http.StatusOK, "text/plain", []byte(strings.Repeat("x", 200<<10)))
		},
		"reader": func(c echo.Context) error {
			return c.Stream(http.StatusOK, "text/plain", strings.NewReader("paid"))
		},
		"trailer": func(c echo.Context) error {
			c.Response().Header().Set("Trailer", "Checksum")
			err := c.String(http.StatusOK, "paid")
			c.Response().Header().Set("Checksum", "abc")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, h)
			first, second := r.pay("k1"), r.pay("k1")
			r.wantReplay(first, second)
			r.wantRuns(1)
			bare := newRigOn(t, func(r *rig, e *echo.Echo) { e.POST("/pay/:id", h, authenticate) }).pay("k1")
			if bare.status != first.status || bare.body != first.body || bare.header.Get("Content-Type") != first.header.Get("Content-Type") {
				t.Errorf("got %d %.80q, and without Semel %d %.80q", first.status, first.body, bare.status, bare.body)
			}
		})
	}
}

// The application's own HTTPErrorHandler makes the answer, once.
func TestErrorHandlerOfTheApplication(t *testing.T) {
	handled := 0
	r := newRigOn(t, func(r *rig, e *echo.Echo) {
		e.HTTPErrorHandler = func(err error, c echo.Context) { // which does not ask what is committed
			handled++
			_ = c.String(http.StatusTeapot, err.Error())
		}
		e.Use(authenticate, semelechov4.Wrap(newMiddleware(t, semelhttp.Config{Optional: true})))
		e.POST("/pay/:id", r.counted(func(echo.Context) error { return errors.New("no tea") }))
	})
	first := r.pay("k1")
	if first.status != 418 || first.body != "no tea" {
		t.Errorf("got %+v", first)
	}
	r.wantReplay(first, r.pay("k1"))
	if handled != 1 {
		t.Errorf("handled %d times, want 1", handled)
	}
	if got := r.pay(""); got.status != 418 || got.body != "no tea" || handled != 2 { // not guarded
		t.Errorf("without a key: got %+v, handled %d times", got, handled)
	}
}

func TestRefusals(t *testing.T) {
	started, goOn := make(chan struct{}), make(chan struct{})
	r := newRig(t, func(c echo.Context) error {
		if c.Request().Header.Get("Idempotency-Key") == "slow" {
			close(started)
			<-goOn
		}
		return c.String(http.StatusOK, "paid")
	})
	r.wantProblem(r.pay(""), 400, semelhttp.ProblemKeyMissing)
	r.pay("k1")
	r.wantProblem(r.send(http.MethodPost, "/pay/7", "alice", "k1", `{"amount":2}`), 422, semelhttp.ProblemKeyConflict)
	if got := r.send(http.MethodPost, "/pay/7", "bob", "k1", `{"amount":1}`); got.header.Get("Idempotent-Replayed") != "" || got.status != 200 {
		t.Errorf("another account's key: got %+v, want an answer of its own", got) // I11
	}
	done := make(chan answer)
	go func() { done <- r.pay("slow") }()
	<-started
	r.wantProblem(r.send(http.MethodPost, "/pay/7", "alice", "slow", `{"amount":1}`), 409, semelhttp.ProblemInFlight)
	close(goOn)
	if got := <-done; got.status != 200 {
		t.Errorf("got %+v, want 200", got)
	}
	r.wantRuns(3)
}

// What authentication refuses is no attempt: the key is free.
func TestAuthenticationComesFirst(t *testing.T) {
	r := newRig(t, func(c echo.Context) error { return c.NoContent(http.StatusCreated) })
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
	r := newRig(t, func(c echo.Context) error {
		time.Sleep(5 * time.Millisecond)
		return c.NoContent(http.StatusCreated)
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

// A panic holds the key, and Recover outside answers it.
func TestPanicHolds(t *testing.T) {
	r := newRig(t, func(c echo.Context) error {
		_ = c.String(http.StatusOK, "half")
		panic("broken")
	}, middleware.RecoverWithConfig(middleware.RecoverConfig{DisablePrintStack: true}))
	if got := r.pay("k1"); got.status != 500 || strings.Contains(got.body, "half") {
		t.Errorf("got %d %q, want the answer of Recover alone", got.status, got.body)
	}
	r.wantProblem(r.pay("k1"), 409, semelhttp.ProblemOutcomeUnknown)
	r.wantRuns(1)
}

// I7: a client that leaves ends nothing: its answer is kept.
func TestClientLeaves(t *testing.T) {
	started, left, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	r := newRig(t, func(c echo.Context) error {
		close(started)
		<-left
		ended <- c.Request().Context().Err()
		return c.String(http.StatusCreated, "paid")
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
	got := r.pay("k1")
	for got.status == 409 {
		got = r.pay("k1")
	}
	if got.status != 201 || got.body != "paid" || got.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("got %+v, want the kept answer", got)
	}
	r.wantRuns(1)
}

// A stream is sent as it is made, and not kept. No controller gets past the answer.
func TestStream(t *testing.T) {
	r := newRig(t, func(c echo.Context) error {
		for range 3 {
			_, _ = io.WriteString(c.Response(), "tick ")
			if err := http.NewResponseController(c.Response()).Flush(); err != nil {
				return err
			}
		}
		return nil
	})
	if got := r.pay("k1"); got.status != 200 || got.body != "tick tick tick " {
		t.Errorf("got %+v", got)
	}
	r.wantProblem(r.pay("k1"), 410, semelhttp.ProblemResponseNotKept)
	r.wantRuns(1)
}

// A middleware for all and another one for a route are one attempt.
func TestRouteOptions(t *testing.T) {
	r := newRigOn(t, func(r *rig, e *echo.Echo) {
		mw := newMiddleware(t, semelhttp.Config{})
		special, err := mw.With(func(c *semelhttp.Config) { c.Optional = true })
		if err != nil {
			t.Fatal(err)
		}
		h := r.counted(func(c echo.Context) error { return c.JSON(http.StatusCreated, r.runs.Load()) })
		group := e.Group("", authenticate, semelechov4.Wrap(mw))
		group.POST("/pay/:id", h, semelechov4.Wrap(special))
		group.GET("/pay/:id", h)
		e.POST("/optional", h, authenticate, semelechov4.Wrap(special))
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

// The route's pattern of echo names the route, and the handler has its claim.
func TestRouteIsNamed(t *testing.T) {
	var pattern string
	var claim *semel.Claim
	r := newRig(t, func(c echo.Context) error {
		pattern, claim = c.Request().Pattern, semel.FromContext(c.Request().Context())
		return nil
	})
	r.pay("k1")
	if pattern != "POST /pay/:id" || claim == nil {
		t.Errorf("got %q and %v, want the pattern and a claim", pattern, claim)
	}
}

// Who stands before sees the true status and size, of answers, replays and refusals, and
// finds its request and response as they were.
func TestLoggerSeesTheTruth(t *testing.T) {
	type line struct {
		status    int
		size      int64
		committed bool
	}
	var got []line
	r := newRig(t, func(c echo.Context) error {
		if c.Request().Header.Get("Idempotency-Key") == "declined" {
			return echo.NewHTTPError(http.StatusPaymentRequired, "no")
		}
		return c.String(http.StatusCreated, "paid")
	}, func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			request, response := c.Request(), c.Response()
			err := next(c)
			if c.Request() != request || c.Response() != response {
				t.Error("the context has another request or response than before")
			}
			seen := c.Response()
			got = append(got, line{seen.Status, seen.Size, seen.Committed})
			return err
		}
	})
	keys := []string{"k1", "k1", "declined", "declined", ""}
	for i, key := range keys {
		a := r.pay(key)
		if want := (line{a.status, int64(len(a.body)), true}); got[i] != want {
			t.Errorf("%q: got %+v, want %+v", key, got[i], want)
		}
	}
}

// Compression and CORS stand outside; hooks of theirs run for each replay.
func TestCompressionOutside(t *testing.T) {
	sent := 0
	r := newRig(t, func(c echo.Context) error { return c.String(http.StatusOK, strings.Repeat("paid ", 1000)) },
		middleware.Gzip(), func(next echo.HandlerFunc) echo.HandlerFunc {
			return func(c echo.Context) error {
				c.Response().Before(func() { sent++ })
				return next(c)
			}
		})
	first := r.pay("k1") // http.Transport reads it
	if first.body != strings.Repeat("paid ", 1000) {
		t.Errorf("got %q", first.body)
	}
	r.wantReplay(first, r.pay("k1"))
	r.wantRuns(1)
	if sent != 2 {
		t.Errorf("the hook before sending ran %d times, want 2", sent)
	}
}

// A scope that is no text is refused, and says what it found.
func TestScopeOfAnotherType(t *testing.T) {
	var found error
	r := newRigOn(t, func(r *rig, e *echo.Echo) {
		inner := semelechov4.ByKey("account")
		mw, err := newMiddleware(t, semelhttp.Config{Logger: slog.New(slog.DiscardHandler)}).WithScope(func(q *http.Request) (string, error) {
			scope, err := inner(q)
			found = err
			return scope, err
		})
		if err != nil {
			t.Fatal(err)
		}
		e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
			return func(c echo.Context) error {
				c.Set("account", 7)
				return next(c)
			}
		}, semelechov4.Wrap(mw))
		e.POST("/pay/:id", r.counted(func(echo.Context) error { return nil }))
	})
	r.wantProblem(r.pay("k1"), 400, semelhttp.ProblemScopeMissing)
	if !errors.Is(found, semelhttp.ErrNoScope) || !strings.Contains(found.Error(), "int") {
		t.Errorf("got %v, want ErrNoScope that names the type", found)
	}
	r.wantRuns(0)
}
