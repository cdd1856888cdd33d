package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
)

// TestRecoverStillUnknown: whatever is not a whole answer that settles leaves
// the attempt as it was: nothing runs (I2), the log says why, and the next retry
// asks again.
func TestRecoverStillUnknown(t *testing.T) {
	answer := func(status int, fields ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(fields); i += 2 {
				w.Header().Add(fields[i], fields[i+1])
			}
			w.WriteHeader(status)
			if status != http.StatusNoContent {
				_, _ = io.WriteString(w, "secret")
			}
		}
	}
	gone := make(chan struct{})
	silent := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(HeaderSettle, "release")
		if r.URL.Query().Has("begin") {
			_ = http.NewResponseController(w).Flush()
		}
		select {
		case <-r.Context().Done():
		case <-gone:
		}
	}
	t.Cleanup(func() { close(gone) })
	for name, row := range map[string]struct {
		answer http.HandlerFunc
		says   string
		query  string
	}{
		"hold":                  {answer(200, HeaderSettle, "hold"), "settle=hold", ""},
		"says nothing":          {answer(200), "it has no Semel-Settle", ""},
		"404":                   {answer(404), "answered 404, and only a 2xx settles", ""},
		"500":                   {answer(500), "answered 500", ""},
		"404 that releases":     {answer(404, HeaderSettle, "release"), "answered 404", ""},
		"503 that releases":     {answer(503, HeaderSettle, "release"), "answered 503", ""},
		"500 that keeps":        {answer(500, HeaderSettle, "keep"), "answered 500", ""},
		"redirect":              {answer(307, "Location", "/ops/elsewhere?settle=release"), "answered 307", ""},
		"redirect that settles": {answer(302, "Location", "/ops/elsewhere", HeaderSettle, "release"), "answered 302", ""},
		"another word":          {answer(200, HeaderSettle, "free"), "is not keep, release or hold", ""},
		"no word":               {answer(200, HeaderSettle, ""), "is not keep, release or hold", ""},
		"contradiction":         {answer(200, HeaderSettle, "keep", HeaderSettle, "release"), "is not keep, release or hold", ""},
		"too large to keep":     {answer(200, HeaderSettle, "keep"), "is larger than 5 bytes", "small"},
		"too large to release":  {answer(200, HeaderSettle, "release"), "is larger than 5 bytes", "small"},
		"status 199":            {answer(200, HeaderSettle, "keep", HeaderStatus, "199"), "Semel-Status is not one status", ""},
		"status 600":            {answer(200, HeaderSettle, "keep", HeaderStatus, "600"), "Semel-Status is not one status", ""},
		"status +201":           {answer(200, HeaderSettle, "keep", HeaderStatus, "+201"), "Semel-Status is not one status", ""},
		"status 0201":           {answer(200, HeaderSettle, "keep", HeaderStatus, "0201"), "Semel-Status is not one status", ""},
		"status Created":        {answer(200, HeaderSettle, "keep", HeaderStatus, "Created"), "Semel-Status is not one status", ""},
		"no status":             {answer(200, HeaderSettle, "keep", HeaderStatus, ""), "Semel-Status is not one status", ""},
		"two statuses":          {answer(200, HeaderSettle, "keep", HeaderStatus, "201", HeaderStatus, "202"), "Semel-Status is not one status", ""},
		"no answer in time":     {silent, errRecoverTimeout.Error(), "hurry"},
		"half an answer":        {silent, errRecoverTimeout.Error(), "hurry&begin"},
		"cut short": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(HeaderSettle, "release")
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, "cut short after 4 bytes", ""},
		"no answer": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "gave no answer", ""},
	} {
		t.Run(name, func(t *testing.T) {
			up := newService(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Has("settle") || r.Header.Get(HeaderAttempt) == "3" {
					settles("release")(w, r)
					return
				}
				row.answer(w, r)
			})
			s := newSidecar(t, up.url, func(c *setup) {
				up.recovers(c)
				c.RecoverURL = up.url + "/ops/{key}?" + row.query
				if strings.Contains(row.query, "small") {
					c.HTTP.MaxResponse = 5
				}
				if strings.Contains(row.query, "hurry") {
					c.RecoverTimeout = 50 * time.Millisecond
					c.engine.Lease, c.engine.MaxRun = 2*time.Second, 2*time.Second // ends what does not end by itself
				}
			})
			want(t, s.send(t, "POST", "/", "k", "x"), 504, "outcome_unknown")
			want(t, s.send(t, "POST", "/", "k", "x"), 409, "outcome_unknown")
			up.wantCounts(t, 1, 1)
			if logs := s.logs.String(); !strings.Contains(logs, row.says) || strings.Contains(logs, "secret") || strings.Contains(logs, up.keys()[0]) {
				t.Errorf("the log must have %q and nothing secret:\n%s", row.says, logs)
			}
			if got := scraped(t, s.metrics, `semel_recoveries_total{settle="hold"}`); got != 1 {
				t.Errorf("counted %v, want 1", got)
			}
			want(t, s.send(t, "POST", "/", "k", "x"), 201, "")
			up.wantCounts(t, 2, 2)
		})
	}
}

// TestRecoverNobodyThere: neither a closed port nor a server that is not trusted
// knows anything.
func TestRecoverNobodyThere(t *testing.T) {
	stranger := httptest.NewUnstartedServer(settles("release"))
	stranger.Config.ErrorLog = quiet()
	stranger.StartTLS()
	defer stranger.Close()
	for _, url := range []string{refusedAddr(t), stranger.URL} {
		up := newService(t, nil)
		s := newSidecar(t, up.url, func(c *setup) { c.HTTP.Lapsed, c.RecoverURL = semel.Recover, url })
		want(t, s.send(t, "POST", "/", "k", "x"), 504, "outcome_unknown")
		want(t, s.send(t, "POST", "/", "k", "x"), 409, "outcome_unknown")
		up.wantCounts(t, 1, 0)
		if !strings.Contains(s.logs.String(), "the recovery URL gave no answer") {
			t.Errorf("the log does not say why:\n%s", s.logs)
		}
	}
}

// TestRecoverTLS: the roots of the upstream hold for the question too.
func TestRecoverTLS(t *testing.T) {
	books := httptest.NewTLSServer(settles("release"))
	defer books.Close()
	roots := &tls.Config{RootCAs: x509.NewCertPool()}
	roots.RootCAs.AddCert(books.Certificate())
	up := newService(t, nil)
	s := newSidecar(t, up.url, func(c *setup) {
		c.HTTP.Lapsed, c.RecoverURL, c.UpstreamTLS = semel.Recover, books.URL, roots
	})
	want(t, s.send(t, "POST", "/", "k", "x"), 504, "outcome_unknown")
	want(t, s.send(t, "POST", "/", "k", "x"), 201, "")
}

// TestRecoverTrailer: the word may come at the end, and one that contradicts
// the header settles nothing.
func TestRecoverTrailer(t *testing.T) {
	for header, status := range map[string]int{"": 201, "release": 201, "keep": 409} {
		up := newService(t, func(w http.ResponseWriter, _ *http.Request) {
			if header != "" {
				w.Header().Set(HeaderSettle, header)
			}
			_ = http.NewResponseController(w).Flush()
			w.Header().Set(http.TrailerPrefix+HeaderSettle, "release")
		})
		s := newSidecar(t, up.url, up.recovers)
		want(t, s.send(t, "POST", "/", "k", "x"), 504, "outcome_unknown")
		want(t, s.send(t, "POST", "/", "k", "x"), status, "")
	}
}
