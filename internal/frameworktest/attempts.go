package frameworktest

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/semel-go/semel/semelhttp"
)

func created(c Context) error { return c.JSON(http.StatusCreated, "paid") }

// A refusal keeps the handler from running, and the logger outside sees it.
func testRefusals(t T, f Framework) {
	r := NewRig(t, f, semelhttp.Config{MaxBody: 10}, created, nil)
	r.WantProblem(r.Post("", "x"), http.StatusBadRequest, semelhttp.ProblemKeyMissing)
	r.WantProblem(r.Post("a b", "x"), http.StatusBadRequest, semelhttp.ProblemKeyInvalid)
	r.WantProblem(r.Post("k", "more than ten"), http.StatusRequestEntityTooLarge, semelhttp.ProblemBodyTooLarge)
	r.WantRuns(0)
	r.Post("k", "x")
	r.WantProblem(r.Post("k", "y"), http.StatusUnprocessableEntity, semelhttp.ProblemKeyConflict)
	r.WantRuns(1)
	for _, want := range []int{400, 400, 413, 201, 422} {
		if got := <-r.Seen; got != want {
			t.Errorf("the logger outside has seen %d, want %d", got, want)
		}
	}
}

// What authentication refuses reserves nothing.
func testAuthentication(t T, f Framework) {
	r := NewRig(t, f, semelhttp.Config{}, created, nil)
	req := r.Request(t.Context(), http.MethodPost, "k", "x")
	req.Header.Del("Authorization")
	if a := r.Send(req); a.Status != http.StatusUnauthorized {
		t.Errorf("got %+v, want 401", a)
	}
	if a := r.Post("k", "x"); a.Status != http.StatusCreated || a.Replayed() {
		t.Errorf("got %+v, want 201", a)
	}
	r.WantRuns(1)
}

// I10: nobody sees the answer of another caller.
func testScopes(t T, f Framework) {
	r := NewRig(t, f, semelhttp.Config{}, func(c Context) error { return c.Text(http.StatusOK, c.User()) }, nil)
	for _, user := range []string{"alice", "bob", "alice"} {
		req := r.Request(t.Context(), http.MethodPost, "k", "x")
		req.Header.Set("Authorization", user)
		if a := r.Send(req); a.Body != user {
			t.Errorf("%s: got %+v", user, a)
		}
	}
	r.WantRuns(2)
}

func testInFlight(t T, f Framework) {
	begun, end := make(chan struct{}), make(chan struct{})
	r := NewRig(t, f, semelhttp.Config{}, func(c Context) error {
		close(begun)
		<-end
		return created(c)
	}, nil)
	first := make(chan Answer)
	go func() { first <- r.Post("k", "x") }()
	<-begun
	duplicate := r.Post("k", "x")
	close(end)
	r.WantProblem(duplicate, http.StatusConflict, semelhttp.ProblemInFlight)
	if a := <-first; a.Status != http.StatusCreated {
		t.Errorf("got %+v", a)
	}
	r.WantRuns(1)
}

// I7: a panic holds the key, and becomes the framework's 500.
func testPanic(t T, f Framework) {
	r := NewRig(t, f, semelhttp.Config{}, func(c Context) error {
		_ = c.JSON(http.StatusCreated, "paid") // is not sent
		panic("boom")
	}, nil)
	if a := r.Post("k", "x"); a.Status != http.StatusInternalServerError || strings.Contains(a.Body, "paid") {
		t.Errorf("got %+v, want 500", a)
	}
	r.WantProblem(r.Post("k", "x"), http.StatusConflict, semelhttp.ProblemOutcomeUnknown)
	r.WantRuns(1)
	if got := <-r.Seen; got != http.StatusInternalServerError {
		t.Errorf("the logger outside has seen %d, want 500", got)
	}
}

// An answer that is shorter than it says is never taken for an answer.
func testShortAnswer(t T, f Framework) {
	r := NewRig(t, f, semelhttp.Config{}, func(c Context) error {
		c.Writer().Header().Set("Content-Length", "100")
		return c.Text(http.StatusOK, "short")
	}, nil)
	if a := r.Post("k", "x"); a.Err == nil {
		t.Errorf("got %+v, want a broken answer", a)
	}
	r.WantProblem(r.Post("k", "x"), http.StatusConflict, semelhttp.ProblemOutcomeUnknown)
	r.WantRuns(1)
}

// I9: a client who hangs up does not end the attempt, and finds its answer later.
func testDisconnect(t T, f Framework) {
	begun, gone, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	r := NewRig(t, f, semelhttp.Config{}, func(c Context) error {
		close(begun)
		<-gone
		select {
		case <-c.Request().Context().Done():
			done <- c.Request().Context().Err()
		case <-time.After(50 * time.Millisecond): // a hang-up takes less to be seen
			done <- nil
		}
		return created(c)
	}, nil)
	ctx, hangUp := context.WithCancel(t.Context())
	go func() {
		<-begun
		hangUp()
		close(gone)
	}()
	if a := r.Send(r.Request(ctx, http.MethodPost, "k", "x")); a.Err == nil {
		t.Errorf("got %+v, want an error", a)
	}
	if err := <-done; err != nil {
		t.Errorf("the handler was told %v", err)
	}
	<-r.Seen // it has ended
	if a := r.Post("k", "x"); a.Status != http.StatusCreated || !a.Replayed() {
		t.Errorf("got %+v, want the answer", a)
	}
	r.WantRuns(1)
}

// Methods that are safe pass, with and without a key.
func testUnguarded(t T, f Framework) {
	r := NewRig(t, f, semelhttp.Config{}, func(c Context) error { return c.Text(http.StatusOK, "status") }, nil)
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		for range 2 {
			if a := r.Send(r.Request(t.Context(), method, "k", "")); a.Status != http.StatusOK || a.Replayed() {
				t.Errorf("%s: got %+v", method, a)
			}
		}
	}
	r.WantRuns(4)
	failing := NewRig(t, f, semelhttp.Config{}, func(Context) error { return &StatusError{http.StatusNotFound, "none"} }, nil)
	if a := failing.Send(failing.Request(t.Context(), http.MethodGet, "", "")); a.Status != http.StatusNotFound || !strings.Contains(a.Body, "none") {
		t.Errorf("got %+v", a)
	}
}

func testOptional(t T, f Framework) {
	r := NewRig(t, f, semelhttp.Config{Optional: true}, func(c Context) error {
		body, err := io.ReadAll(c.Request().Body)
		if err != nil {
			return err
		}
		return c.Text(http.StatusOK, string(body))
	}, nil)
	for range 2 {
		if a := r.Post("", "x"); a.Status != http.StatusOK || a.Body != "x" {
			t.Errorf("got %+v", a)
		}
	}
	r.WantRuns(2)
}

// I1: of fifty duplicates at once one runs, and all get its answer or are told to wait.
func testDuplicates(t T, f Framework) {
	r := NewRig(t, f, semelhttp.Config{Wait: 10 * time.Second}, func(c Context) error {
		time.Sleep(20 * time.Millisecond) // so that most of them meet
		return created(c)
	}, nil)
	var group sync.WaitGroup
	answers := make([]Answer, 50)
	for i := range answers {
		group.Go(func() { answers[i] = r.Post("k", "x") })
	}
	group.Wait()
	originals := 0
	for _, a := range answers {
		switch {
		case a.Status == http.StatusCreated && !a.Replayed():
			originals++
		case a.Status == http.StatusCreated && strings.TrimSpace(a.Body) == `"paid"`:
		case a.Status == http.StatusConflict: // more wait than may
		default:
			t.Errorf("got %+v", a)
		}
	}
	if originals != 1 {
		t.Errorf("got %d answers that are no replay, want 1", originals)
	}
	r.WantRuns(1)
}

// I1: a guard of the group and one of the route are one attempt.
func testNested(t T, f Framework) {
	r := NewRig(t, f, semelhttp.Config{}, func(Context) error { return &StatusError{http.StatusPaymentRequired, "declined"} },
		func(r *Rig, app *App) {
			route, err := r.Guard.With(func(c *semelhttp.Config) { c.MaxBody = 100 })
			if err != nil {
				t.Fatalf("%v", err)
			}
			app.Guards = append(app.Guards, route)
		})
	first, again := r.Post("k", "x"), r.Post("k", "x")
	if first.Status != http.StatusPaymentRequired || !strings.Contains(first.Body, "declined") {
		t.Errorf("got %+v, want 402", first)
	}
	r.WantReplay(first, again)
	r.WantRuns(1)
}
