package proxy

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/semel-go/semel/semelhttp"
)

// TestSettleHeader: the upstream decides over the status, and its word is not
// for the client.
func TestSettleHeader(t *testing.T) {
	const replay, again, held = "replay", "again", "held"
	for _, c := range []struct {
		name   string
		status int
		lines  []string
		retry  string
	}{
		{"keep", 503, []string{"keep"}, replay},
		{"release", 200, []string{"release"}, again},
		{"hold", 200, []string{"hold"}, held},
		{"in capitals", 200, []string{" Release "}, again},
		{"twice the same", 200, []string{"release", "release"}, again},
		{"nothing", 200, nil, replay},
		{"nothing of a 503", 503, nil, again},
		{"unknown", 200, []string{"forget"}, held},
		{"empty", 200, []string{""}, held},
		{"contradiction", 200, []string{"keep", "release"}, held},
	} {
		for _, where := range []string{"header", "trailer"} {
			t.Run(c.name+" in the "+where, func(t *testing.T) {
				up, hits := testUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
					if where == "header" {
						w.Header()[HeaderSettle] = c.lines
					}
					w.WriteHeader(c.status)
					_, _ = io.WriteString(w, "ok")
					w.(http.Flusher).Flush()
					if where == "trailer" {
						w.Header()[http.TrailerPrefix+HeaderSettle] = c.lines
					}
				})
				s := newSidecar(t, up, nil)
				a := s.send(t, "POST", "/", "k", "x")
				want(t, a, c.status, "")
				if a.Header[HeaderSettle] != nil || a.Trailer[HeaderSettle] != nil {
					t.Errorf("it leaked: %v, %v", a.Header, a.Trailer)
				}
				a = s.send(t, "POST", "/", "k", "x")
				got := held
				switch {
				case a.replayed():
					got = replay
				case hits.Load() == 2:
					got = again
				default:
					want(t, a, 409, "outcome_unknown")
				}
				if got != c.retry {
					t.Errorf("the retry: %s, want %s", got, c.retry)
				}
				if warned := strings.Contains(s.logs.String(), "not keep, release or hold"); warned != (c.retry == held && c.name != "hold") {
					t.Errorf("warned %v", warned)
				}
			})
		}
	}
}

// TestSettleUnguarded: it is stripped where nothing is to settle, too.
func TestSettleUnguarded(t *testing.T) {
	up, _ := testUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(HeaderSettle, "keep")
		w.Header().Set("Trailer", HeaderSettle)
		_, _ = io.WriteString(w, "ok")
		w.Header().Set(http.TrailerPrefix+HeaderSettle, "hold")
	})
	s := newSidecar(t, up, nil)
	if a := s.send(t, "GET", "/", "", ""); a.Header[HeaderSettle] != nil || a.Trailer[HeaderSettle] != nil || a.body != "ok" {
		t.Errorf("it leaked: %v, %v, %q", a.Header, a.Trailer, a.body)
	}
}

// TestSettleStream: an event stream can be released, and then runs again.
func TestSettleStream(t *testing.T) {
	up, hits := testUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set(HeaderSettle, "release")
		_, _ = io.WriteString(w, "data: x\n\n")
		w.(http.Flusher).Flush()
	})
	s := newSidecar(t, up, nil)
	for range 2 {
		want(t, s.send(t, "POST", "/", "k", "x"), 200, "")
	}
	if got := hits.Load(); got != 2 {
		t.Errorf("%d hits, want 2", got)
	}
}

// TestPresets: what the route's preset says about whole answers holds here too.
func TestPresets(t *testing.T) {
	up, hits := testUpstream(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) })
	s := newSidecar(t, up, func(s *setup) {
		s.Routes = []Route{{Pattern: "/again", Change: func(h *semelhttp.Config) { h.Preset = semelhttp.SuccessOnly }}}
	})
	for path, want := range map[string]int64{"/kept": 1, "/again": 2} {
		before := hits.Load()
		for range 2 {
			s.send(t, "POST", path, "k"+path, "x")
		}
		if got := hits.Load() - before; got != want {
			t.Errorf("%s: %d hits, want %d", path, got, want)
		}
	}
}
