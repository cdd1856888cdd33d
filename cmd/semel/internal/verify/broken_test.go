package verify

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/semel-go/semel/semelhttp"
)

// A broken endpoint, and exactly the rules that it breaks.
type broken struct {
	name  string
	rules string
	make  func(t *testing.T, b *bank) http.Handler
}

// answering changes the answers of a middleware that is right.
func answering(change func(r *http.Request, w *httptest.ResponseRecorder)) func(*testing.T, *bank) http.Handler {
	return func(t *testing.T, b *bank) http.Handler {
		t.Helper()
		t.Helper()
		inner := guard(t, b, semelhttp.Config{})
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rec := httptest.NewRecorder()
			inner.ServeHTTP(rec, r)
			change(r, rec)
			write(w, rec)
		})
	}
}

func write(w http.ResponseWriter, rec *httptest.ResponseRecorder) {
	maps.Copy(w.Header(), rec.Header())
	w.Header().Del("Content-Length")
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

// asking changes the requests to a middleware that is right.
func asking(cfg semelhttp.Config, change func(r *http.Request)) func(*testing.T, *bank) http.Handler {
	return func(t *testing.T, b *bank) http.Handler {
		t.Helper()
		t.Helper()
		inner := guard(t, b, cfg)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			change(r)
			inner.ServeHTTP(w, r)
		})
	}
}

func isReplay(w *httptest.ResponseRecorder) bool {
	return w.Header().Get("Idempotent-Replayed") == "true"
}

// onReplay changes replays.
func onReplay(change func(w *httptest.ResponseRecorder)) func(*testing.T, *bank) http.Handler {
	return answering(func(_ *http.Request, w *httptest.ResponseRecorder) {
		if isReplay(w) {
			change(w)
		}
	})
}

// onRefusal changes refusals with a status, or with any.
func onRefusal(status int, change func(r *http.Request, w *httptest.ResponseRecorder)) func(*testing.T, *bank) http.Handler {
	return answering(func(r *http.Request, w *httptest.ResponseRecorder) {
		if w.Header().Get("Content-Type") == "application/problem+json" && (status == 0 || w.Code == status) {
			change(r, w)
		}
	})
}

// unguarded is no idempotency at all.
func unguarded(_ *testing.T, b *bank) http.Handler { return b }

// key is the one line that a request has.
func key(r *http.Request) string { return r.Header.Get(fieldKey) }

// content reads the body of r and leaves it to be read again.
func content(r *http.Request) []byte {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body
}

// brokenOnes break a rule each, or what hangs together.
func brokenOnes() []broken {
	return slices.Concat(brokenReplays(), brokenConflicts(), brokenKeys(), brokenWires())
}

// Each rule is seen to break, and breaks alone: what is broken on purpose is found, and
// nothing else is.
func TestEachRuleBreaks(t *testing.T) {
	rows := brokenOnes()
	reports := make([]*Report, len(rows))
	errs := make([]error, len(rows))
	var all sync.WaitGroup
	turn := make(chan struct{}, 8) // a run mostly waits
	for i, row := range rows {
		b := &bank{header: hopping}
		target := targetOf(t, serve(t, b, row.make(t, b)))
		if strings.Contains(row.rules, "key-control") {
			front(t, &target)
		}
		all.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			reports[i], errs[i] = Run(t.Context(), target, quick("ietf"))
		})
	}
	all.Wait()
	seen := make(map[string]bool)
	for i, row := range rows {
		if errs[i] != nil || !reports[i].Complete {
			t.Errorf("%s: cut short: %v", row.name, errs[i])
			continue
		}
		want, got := strings.Fields(row.rules), having(reports[i], Failed)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			tell(t, reports[i])
			t.Errorf("%s: broken are %s,\nwant %s", row.name, strings.Join(got, " "), strings.Join(want, " "))
		}
		for _, id := range got {
			seen[id] = true
		}
	}
	for _, rule := range Rules() {
		if !seen[rule.ID] && rule.Severity != Info {
			t.Errorf("%s was never seen to break", rule.ID)
		}
	}
}
