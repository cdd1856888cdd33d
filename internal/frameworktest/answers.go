package frameworktest

import (
	"compress/gzip"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

var big = strings.Repeat("0123456789abcdef", 8<<10) // 128 KiB

// I3: a replay is the answer that was sent, however the framework came to it.
func testReplay(t T, f Framework) {
	for want, handler := range map[string]func(Context) error{
		"201 {\"id\":7}": func(c Context) error {
			h := c.Writer().Header()
			h.Set("Location", "/payments/7")
			h.Add("Link", "<a>")
			h.Add("Link", "<b>")
			return c.JSON(http.StatusCreated, map[string]int{"id": 7})
		},
		"200 ok":      func(c Context) error { return c.Text(http.StatusOK, "ok") },
		"200 ":        func(Context) error { return nil },
		"204 ":        func(c Context) error { return c.NoContent(http.StatusNoContent) },
		"303 ":        func(c Context) error { return c.Redirect(http.StatusSeeOther, "/payments/8") },
		"402 decline": func(Context) error { return &StatusError{http.StatusPaymentRequired, "declined"} },
		"500 ":        func(Context) error { return ErrPlain },
		"409 taken":   func(c Context) error { return c.Text(http.StatusConflict, "taken") },
		"200 " + big:  func(c Context) error { return c.Text(http.StatusOK, big) },
		"200 body": func(c Context) error {
			body, err := io.ReadAll(c.Request().Body)
			if err != nil {
				return err
			}
			return c.Text(http.StatusOK, string(body))
		},
	} {
		r := NewRig(t, f, semelhttp.Config{}, handler, nil)
		first, again := r.Post("k", "body"), r.Post("k", "body")
		r.WantReplay(first, again)
		r.WantRuns(1)
		status, text, _ := strings.Cut(want, " ")
		if strconv.Itoa(first.Status) != status || !strings.Contains(first.Body, text) {
			t.Errorf("got %d %.80q, want %.80q", first.Status, first.Body, want)
		}
		if first.Header.Get("X-Outside") != "yes" {
			t.Errorf("what is set outside is missing in %v", first.Header)
		}
	}
}

// An answer that says "not processed" frees the key, also when it is a returned error.
func testFrees(t T, f Framework) {
	r := NewRig(t, f, semelhttp.Config{}, func(Context) error {
		return &StatusError{http.StatusServiceUnavailable, "later"}
	}, nil)
	for range 2 {
		if a := r.Post("k", "x"); a.Status != http.StatusServiceUnavailable || a.Replayed() {
			t.Errorf("got %+v, want 503 of the handler", a)
		}
	}
	r.WantRuns(2)
}

// A compressed answer is kept as the handler wrote it, and compressed again.
func testGzip(t T, f Framework) {
	r := NewRig(t, f, semelhttp.Config{}, func(c Context) error { return c.Text(http.StatusOK, big) },
		func(_ *Rig, app *App) { app.Gzip = true })
	var plain [2]string
	for i := range plain {
		req := r.Request(t.Context(), http.MethodPost, "k", "x")
		req.Header.Set("Accept-Encoding", "gzip")
		a := r.Send(req)
		if a.Header.Get("Content-Encoding") != "gzip" || a.Replayed() != (i == 1) {
			t.Fatalf("got %d %v", a.Status, a.Header)
		}
		unzip, err := gzip.NewReader(strings.NewReader(a.Body))
		if err != nil {
			t.Fatalf("%v", err)
		}
		text, err := io.ReadAll(unzip)
		if err != nil {
			t.Fatalf("%v", err)
		}
		plain[i] = string(text)
	}
	if plain[0] != big || plain[1] != big {
		t.Errorf("got %d and %d bytes, want %d", len(plain[0]), len(plain[1]), len(big))
	}
	a := r.Post("k", "x") // without
	if a.Header.Get("Content-Encoding") != "" && !strings.Contains(a.Header.Get("Content-Encoding"), "gzip") || a.Status != http.StatusOK {
		t.Errorf("got %d %v", a.Status, a.Header)
	}
	r.WantRuns(1)
}

// I14: what leaves before it is kept is recorded first, and never runs again.
func testStream(t T, f Framework) {
	r := NewRig(t, f, semelhttp.Config{}, func(c Context) error {
		for range 3 {
			if _, err := io.WriteString(c.Writer(), "tick "); err != nil {
				return err
			}
			c.Writer().(http.Flusher).Flush() //nolint:errcheck,forcetypeassert // a Flusher in each framework
		}
		return nil
	}, nil)
	if a := r.Post("k", "x"); a.Status != http.StatusOK || a.Body != "tick tick tick " {
		t.Errorf("got %+v", a)
	}
	r.WantProblem(r.Post("k", "x"), http.StatusGone, semelhttp.ProblemResponseNotKept)
	r.WantRuns(1)
}

func testTooLarge(t T, f Framework) {
	r := NewRig(t, f, semelhttp.Config{MaxResponse: 1000}, func(c Context) error { return c.Text(http.StatusOK, big) }, nil)
	if a := r.Post("k", "x"); a.Status != http.StatusOK || a.Body != big {
		t.Errorf("got %d and %d bytes", a.Status, len(a.Body))
	}
	r.WantProblem(r.Post("k", "x"), http.StatusGone, semelhttp.ProblemResponseNotKept)
	r.WantRuns(1)
}

// A trailer is kept, and is none of the header.
func testTrailer(t T, f Framework) {
	for _, text := range []string{"", "text"} {
		r := NewRig(t, f, semelhttp.Config{}, func(c Context) error {
			c.Writer().Header().Set("Trailer", "X-Sum")
			if err := c.Text(http.StatusOK, text); err != nil {
				return err
			}
			c.Writer().Header().Set("X-Sum", "42")
			return nil
		}, nil)
		for _, a := range []Answer{r.Post("k", "x"), r.Post("k", "x")} {
			if a.Trailer.Get("X-Sum") != "42" || a.Header.Get("X-Sum") != "" || a.Body != text {
				t.Errorf("%q: got trailer %v, header %v, body %q", text, a.Trailer, a.Header, a.Body)
			}
		}
		r.WantRuns(1)
	}
}

// What was taken back by Reset is forgotten by the framework, too.
func testReset(t T, f Framework) {
	r := NewRig(t, f, semelhttp.Config{}, func(c Context) error {
		if err := c.JSON(http.StatusCreated, "paid"); err != nil {
			return err
		}
		if err := semelhttp.Reset(c.Writer()); err != nil {
			return err
		}
		return c.Text(http.StatusConflict, "no")
	}, nil)
	first, again := r.Post("k", "x"), r.Post("k", "x")
	if first.Status != http.StatusConflict || first.Body != "no" {
		t.Errorf("got %d %q, want 409 no", first.Status, first.Body)
	}
	r.WantReplay(first, again)
}

// The record names the route as the framework has it, unless the program does.
func testRoute(t T, f Framework) {
	for configured, want := range map[string]string{"": "POST /payments/:id", "pay": "pay"} {
		r := NewRig(t, f, semelhttp.Config{Route: configured}, func(c Context) error {
			if c.User() != "alice" || semel.FromContext(c.Request().Context()) == nil {
				return &StatusError{http.StatusTeapot, "the context is not that of the attempt"}
			}
			return c.NoContent(http.StatusNoContent)
		}, nil)
		if a := r.Post("k", "x"); a.Status != http.StatusNoContent {
			t.Errorf("got %+v", a)
		}
		n := 0
		for rec, err := range r.Store.List(t.Context(), semel.Filter{}) {
			n++
			if err != nil || rec.Route != want {
				t.Errorf("got route %q, %v, want %q", rec.Route, err, want)
			}
		}
		if n != 1 {
			t.Errorf("got %d records, want 1", n)
		}
	}
}
