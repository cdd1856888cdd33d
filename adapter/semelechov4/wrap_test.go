package semelechov4_test

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/semel-go/semel/adapter/semelechov4"
	"github.com/semel-go/semel/internal/frameworktest"
	"github.com/semel-go/semel/semelhttp"
)

// newRig starts an Echo that change may change, with middlewares outside of the guard and
// the handler in it.
func newRig(t *testing.T, change func(*echo.Echo), outside []echo.MiddlewareFunc, handler echo.HandlerFunc) *frameworktest.Rig {
	t.Helper()
	f := frameworktest.Framework{ByUser: semelechov4.ByKey("user"), New: func(app frameworktest.App) http.Handler {
		e := newEcho()
		if change != nil {
			change(e)
		}
		e.Use(outside...)
		e.POST("/payments/:id", func(c echo.Context) error { return app.Handler(echoContext{c}) }, authenticate, semelechov4.Wrap(app.Guards[0]))
		return e
	}}
	return frameworktest.NewRig(t, f, semelhttp.Config{}, func(c frameworktest.Context) error {
		return handler(c.(echoContext).c) //nolint:forcetypeassert // it is
	}, nil)
}

func decline(echo.Context) error { return echo.NewHTTPError(http.StatusPaymentRequired, "declined") }

// I3: what the application makes of an error is the answer, and it is made once, inside.
func TestErrorHandler(t *testing.T) {
	handled := 0
	r := newRig(t, func(e *echo.Echo) {
		e.HTTPErrorHandler = func(err error, c echo.Context) { // as people write it, without a look at Committed
			handled++
			_ = c.String(http.StatusPaymentRequired, "sorry: "+err.Error())
		}
	}, []echo.MiddlewareFunc{func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			request, response := c.Request(), c.Response()
			err := next(c)
			if err != nil || c.Request() != request || c.Response() != response {
				t.Errorf("outside: got %v, the same request %v, the same response %v", err, c.Request() == request, c.Response() == response)
			}
			return err
		}
	}}, decline)
	for i := range 2 {
		if a := r.Post("k", "x"); a.Status != http.StatusPaymentRequired || a.Body != "sorry: code=402, message=declined" || a.Replayed() != (i == 1) {
			t.Errorf("got %+v", a)
		}
	}
	if handled != 1 {
		t.Errorf("handled %d times, want once", handled)
	}
	r.WantRuns(1)
}

// I7: an error that the application does not answer is no answer: middlewares outside get
// it, and the key is held.
func TestErrorUnanswered(t *testing.T) {
	errGone := errors.New("gone")
	r := newRig(t, func(e *echo.Echo) {
		e.HTTPErrorHandler = func(error, echo.Context) {}
	}, []echo.MiddlewareFunc{func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if err := next(c); err == errGone { //nolint:errorlint // the very value
				return c.String(http.StatusBadGateway, "answered outside")
			}
			return nil
		}
	}}, func(echo.Context) error { return errGone })
	if a := r.Post("k", "x"); a.Status != http.StatusBadGateway || a.Body != "answered outside" {
		t.Errorf("got %+v", a)
	}
	r.WantProblem(r.Post("k", "x"), http.StatusConflict, semelhttp.ProblemOutcomeUnknown)
	r.WantRuns(1)
}

// What a handler has answered before it failed is the answer.
func TestErrorAfterAnswer(t *testing.T) {
	r := newRig(t, nil, nil, func(c echo.Context) error {
		_ = c.String(http.StatusCreated, "paid")
		return frameworktest.ErrPlain
	})
	for range 2 {
		if a := r.Post("k", "x"); a.Status != http.StatusCreated || a.Body != "paid" {
			t.Errorf("got %+v", a)
		}
	}
	r.WantRuns(1)
}

// Nobody outside gets the error, so one that says more than its status is logged.
func TestErrorIsLogged(t *testing.T) {
	for want, handler := range map[string]echo.HandlerFunc{
		"the ledger has vanished": func(echo.Context) error { return frameworktest.ErrPlain },
		"":                        decline,
	} {
		var log bytes.Buffer
		r := newRig(t, func(e *echo.Echo) { logTo(e, &log) }, nil, handler)
		r.Post("k", "x")
		if got := log.String(); !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Hooks of a Response run where it is: those of the handler before the answer is kept,
// those outside for each answer.
func TestHooks(t *testing.T) {
	var outside []int
	r := newRig(t, nil, []echo.MiddlewareFunc{func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			response := responseOf(c)
			response.Before(func() { outside = append(outside, response.Status) })
			return next(c)
		}
	}}, func(c echo.Context) error {
		response := responseOf(c)
		response.Before(func() { response.Header().Set("X-Inside", "hook") })
		if response.Committed || response.Status != http.StatusOK {
			t.Errorf("a Response begins with %v %d", response.Committed, response.Status)
		}
		return c.String(http.StatusCreated, "paid")
	})
	for range 2 {
		if a := r.Post("k", "x"); a.Header.Get("X-Inside") != "hook" {
			t.Errorf("got %v", a.Header)
		}
	}
	if !slices.Equal(outside, []int{201, 201}) {
		t.Errorf("outside: got %v, want 201 twice", outside)
	}
}

// A body over the limit outside is one that is too large, whether it says so or not.
func TestBodyLimit(t *testing.T) {
	r := newRig(t, nil, []echo.MiddlewareFunc{bodyLimit(10)}, func(c echo.Context) error { return c.NoContent(http.StatusNoContent) })
	for _, row := range []struct {
		body string
		want int
	}{{"ten bytes.", http.StatusNoContent}, {"more than ten", http.StatusRequestEntityTooLarge}} {
		for _, length := range []int64{int64(len(row.body)), -1} {
			req := r.Request(t.Context(), http.MethodPost, "k", row.body)
			req.ContentLength = length
			if a := r.Send(req); a.Status != row.want {
				t.Errorf("%s, length %d: got %+v, want %d", row.body, length, a, row.want)
			}
		}
	}
	req := r.Request(t.Context(), http.MethodPost, "k", "more than ten")
	req.ContentLength = -1
	r.WantProblem(r.Send(req), http.StatusRequestEntityTooLarge, semelhttp.ProblemBodyTooLarge)
}

// What CORS says belongs to each request, and a replay has its own.
func TestCORS(t *testing.T) {
	r := newRig(t, nil, []echo.MiddlewareFunc{allow("https://a.example", "https://b.example")}, decline)
	for _, origin := range []string{"https://a.example", "https://b.example"} {
		req := r.Request(t.Context(), http.MethodPost, "k", "x")
		req.Header.Set("Origin", origin)
		if a := r.Send(req); a.Status != http.StatusPaymentRequired || a.Header.Get("Access-Control-Allow-Origin") != origin {
			t.Errorf("%s: got %d %v", origin, a.Status, a.Header)
		}
	}
	r.WantRuns(1)
}

// I14: Stream is kept whole if it ends; Flush and Hijack let an answer go early.
func TestStream(t *testing.T) {
	r := newRig(t, nil, nil, func(c echo.Context) error {
		return c.Stream(http.StatusOK, "text/plain", strings.NewReader("all of it"))
	})
	for i := range 2 {
		if a := r.Post("k", "x"); a.Body != "all of it" || a.Replayed() != (i == 1) {
			t.Errorf("got %+v", a)
		}
	}
	hijack := newRig(t, nil, nil, func(c echo.Context) error {
		conn, rw, err := responseOf(c).Hijack()
		if err != nil {
			return err
		}
		_, _ = rw.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nraw")
		_ = rw.Flush()
		return conn.Close()
	})
	if a := hijack.Post("k", "x"); a.Body != "raw" {
		t.Errorf("got %+v", a)
	}
	hijack.WantProblem(hijack.Post("k", "x"), http.StatusGone, semelhttp.ProblemResponseNotKept)
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "receipt.txt"), []byte("receipt"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(e *echo.Echo) { e.Filesystem = os.DirFS(dir) }, nil, func(c echo.Context) error { return c.Attachment("receipt.txt", "receipt.txt") })
	first := r.Post("k", "x")
	_ = os.Remove(filepath.Join(dir, "receipt.txt"))
	again := r.Post("k", "x")
	if first.Body != "receipt" || again.Body != "receipt" || again.Header.Get("Content-Disposition") != first.Header.Get("Content-Disposition") {
		t.Errorf("got %+v, then %+v", first, again)
	}
}

// A panic leaves the real writer to what is outside.
func TestPanicLeavesTheResponse(t *testing.T) {
	r := newRig(t, nil, []echo.MiddlewareFunc{func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) (err error) {
			request, response := c.Request(), c.Response()
			defer func() {
				p := recover()
				if p == nil { // the retry
					return
				}
				if p != "boom" || c.Request() != request || c.Response() != response {
					t.Errorf("got panic %v, the same request %v, the same response %v", p, c.Request() == request, c.Response() == response)
				}
				err = c.String(http.StatusInternalServerError, "sorry")
			}()
			return next(c)
		}
	}}, func(echo.Context) error { panic("boom") })
	if a := r.Post("k", "x"); a.Status != http.StatusInternalServerError || a.Body != "sorry" {
		t.Errorf("got %+v", a)
	}
	r.WantProblem(r.Post("k", "x"), http.StatusConflict, semelhttp.ProblemOutcomeUnknown)
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
		scope := semelechov4.ByKey("user")
		f := frameworktest.Framework{ByUser: func(r *http.Request) (string, error) {
			text, err := scope(r)
			got = text
			return text, err
		}, New: func(app frameworktest.App) http.Handler {
			e := newEcho()
			e.POST("/payments/:id", func(c echo.Context) error { return nil }, func(next echo.HandlerFunc) echo.HandlerFunc {
				return func(c echo.Context) error {
					c.Set("user", row.user)
					return next(c)
				}
			}, semelechov4.Wrap(app.Guards[0]))
			return e
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
			t.Error("a request that is not echo's has a scope")
		}
	}
}

// Mistakes of the program show when it starts.
func TestMistakes(t *testing.T) {
	defer func() {
		if text, _ := recover().(string); !strings.HasPrefix(text, "semelechov4: ") {
			t.Errorf("got %q, want a panic that says why", text)
		}
	}()
	semelechov4.Wrap(nil)
}
