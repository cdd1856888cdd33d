package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

// scrape returns what m would answer to Prometheus.
func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.handler(func(context.Context) bool { return true }).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// scraped returns the value of one series, such as name{label="value"}.
func scraped(t *testing.T, m *Metrics, series string) float64 {
	t.Helper()
	_, rest, found := strings.Cut("\n"+scrape(t, m), "\n"+series+" ")
	text, _, _ := strings.Cut(rest, "\n")
	value, err := strconv.ParseFloat(text, 64)
	if !found || err != nil {
		t.Fatalf("there is no %s", series)
	}
	return value
}

// TestMetrics: what happened is counted by route, the process is there too, and
// nothing of a request is in it.
func TestMetrics(t *testing.T) {
	up, _ := testUpstream(t, new(seen).handler)
	s := newSidecar(t, up, func(s *setup) {
		s.Metrics = NewMetrics(`1"2\3`)
		s.engine.Observe = s.Metrics.Observe
		s.Routes = []Route{{Pattern: "POST /path-secret/{id}"}, {Pattern: "POST /other"}, {Pattern: "/pass", Bypass: true}}
	})
	s.send(t, "POST", "/path-secret/1", "key-secret", "x", "Authorization", "scope-secret")
	s.send(t, "POST", "/path-secret/1", "key-secret", "x", "Authorization", "scope-secret")
	s.send(t, "POST", "/path-secret/1", "key-secret", "other", "Authorization", "scope-secret")
	s.send(t, "POST", "/path-secret/1", "", "x")
	s.send(t, "POST", "/", "key-secret-2", "x")
	s.send(t, "GET", "/", "", "")
	for step, event := range map[semel.Step]semel.Event{
		semel.StepPurge:    {Count: 5},
		semel.StepRenew:    {Count: 9, Lost: 2},
		semel.StepComplete: {Err: semel.ErrLost},
		semel.StepRelease:  {Err: errors.New("down")},
		semel.StepReserve:  {Err: errors.New("down")},
	} {
		_, end := s.metrics.Observe(t.Context(), semel.Op{Step: step})
		end(event)
	}
	a := get(t, s.admin+"/metrics")
	want(t, a, 200, "")
	if got := a.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4; charset=utf-8") {
		t.Errorf("Content-Type %q", got)
	}
	const route = `route="POST /path-secret/{id}"`
	for _, line := range []string{
		`semel_requests_total{outcome="executed",` + route + `} 1`,
		`semel_requests_total{outcome="replayed",` + route + `} 1`,
		`semel_requests_total{outcome="conflict",` + route + `} 1`,
		`semel_requests_total{outcome="executed",route="none"} 1`,
		`semel_requests_total{outcome="executed",route="POST /other"} 0`,
		`semel_requests_total{outcome="store_failed",route="none"} 1`,
		`semel_refusals_total{code="idempotency_key_conflict",` + route + `} 1`,
		`semel_refusals_total{code="key_missing",` + route + `} 1`,
		`semel_handler_duration_seconds_count{` + route + `,settle="keep"} 1`,
		`semel_store_operation_duration_seconds_count{step="reserve"} 5`,
		`semel_store_operation_duration_seconds_bucket{step="reserve",le="+Inf"} 5`,
		`semel_store_operation_duration_seconds_count{step="complete"} 3`,
		`semel_store_operation_failures_total{step="complete"} 0`,
		`semel_store_operation_failures_total{step="release"} 1`,
		`semel_inflight_attempts 0`,
		`semel_purged_records_total 5`,
		`semel_leases_lost_total{by="renew"} 2`,
		`semel_leases_lost_total{by="complete"} 1`,
		`semel_upstream_unknown_total 0`,
	} {
		if !strings.Contains(a.body, "\n"+line+"\n") {
			t.Errorf("%s is missing", line)
		}
	}
	for _, part := range []string{`version="1\"2\\3"`, "\ngo_goroutines ", "\nprocess_resident_memory_bytes "} {
		if !strings.Contains(a.body, part) {
			t.Errorf("%q is missing", part)
		}
	}
	for _, secret := range []string{"key-secret", "scope-secret", "path-secret/1", "/pass"} {
		if strings.Contains(a.body, secret) {
			t.Errorf("%s is in the metrics", secret)
		}
	}
}

// TestReadyMetric: a scraper sees what /readyz would say.
func TestReadyMetric(t *testing.T) {
	up, _ := testUpstream(t, new(seen).handler)
	var failure error
	s := newSidecar(t, up, func(s *setup) {
		s.store = pinged{unwrapper{s.store}, func() error { return failure }}
	})
	for _, row := range []struct {
		failure error
		want    string
	}{{nil, "\nsemel_ready 1\n"}, {errors.New("down"), "\nsemel_ready 0\n"}, {nil, "\nsemel_ready 1\n"}} {
		failure = row.failure
		if a := get(t, s.admin+"/metrics"); !strings.Contains(a.body, row.want) {
			t.Errorf("with %v: %q is missing", row.failure, row.want)
		}
	}
}

// TestMetricsInFlight: what runs is counted while it runs, and by its route.
func TestMetricsInFlight(t *testing.T) {
	arrived, finish := make(chan struct{}), make(chan struct{})
	up, _ := testUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-finish
		_, _ = io.WriteString(w, "done")
	})
	s := newSidecar(t, up, nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = s.try(t, "POST", "/", "k", "x")
	}()
	<-arrived
	if n, age := scraped(t, s.metrics, "semel_inflight_attempts"), scraped(t, s.metrics, "semel_oldest_inflight_seconds"); n != 1 || age <= 0 {
		t.Errorf("got %v attempts, the oldest of %v s, want 1 of some age", n, age)
	}
	close(finish)
	<-done
	if n := scraped(t, s.metrics, "semel_inflight_attempts"); n != 0 {
		t.Errorf("got %v attempts, want 0", n)
	}
}

// TestMetricsOfModes: what runs unguarded, and what a shadow sees, is counted by route.
func TestMetricsOfModes(t *testing.T) {
	up, _ := testUpstream(t, new(seen).handler)
	yes := true
	s := newSidecar(t, up, func(s *setup) {
		s.Routes = []Route{{Pattern: "/shadow", Shadow: &yes, Change: func(*semelhttp.Config) {}}}
	})
	s.send(t, "POST", "/shadow", "k", "x")
	s.send(t, "POST", "/shadow", "k", "x")
	for _, would := range []string{"run", "replay"} {
		if n := scraped(t, s.metrics, `semel_shadowed_total{route="/shadow",would="`+would+`"}`); n != 1 {
			t.Errorf("%s: got %v, want 1", would, n)
		}
	}
	if n := scraped(t, s.metrics, `semel_failed_open_total{route="/shadow"}`); n != 0 {
		t.Errorf("got %v that failed open, want 0", n)
	}
}

// TestMetricsOfFailures: the two ways to fail are told apart.
func TestMetricsOfFailures(t *testing.T) {
	up := newRaw(t, func(net.Conn, *http.Request, string, int64) bool { return false })
	s := newSidecar(t, up.url, nil)
	s.send(t, "POST", "/", "k", "x")
	s.send(t, "POST", "/", "k", "x")
	s2 := newSidecar(t, refusedAddr(t), nil)
	s2.send(t, "POST", "/", "k", "x")
	for line, s := range map[string]*sidecar{
		"semel_upstream_unknown_total 1":                                 s,
		"semel_upstream_unreachable_total 0":                             s,
		`semel_requests_total{outcome="outcome_unknown",route="none"} 1`: s,
		"semel_upstream_unreachable_total 1":                             s2,
		"semel_upstream_unknown_total 0":                                 s2,
		`semel_requests_total{outcome="executed",route="none"} 1`:        s2,
	} {
		if a := get(t, s.admin+"/metrics"); !strings.Contains(a.body, "\n"+line+"\n") {
			t.Errorf("%s is missing", line)
		}
	}
}

// TestLogsHoldAndTakeOver: an attempt that is held and one that is taken over are a line
// each, with reference, fence and route, and never the key.
func TestLogsHoldAndTakeOver(t *testing.T) {
	up, _ := testUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(HeaderAttempt) == "1" {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	s := newSidecar(t, up, func(s *setup) {
		s.engine.Margin = -1
		s.HTTP.Lapsed = semel.Rerun
		s.Routes = []Route{{Pattern: "/pay"}}
	})
	s.send(t, "POST", "/pay", "key-secret", "x")
	until(t, s, "it is taken over", func() bool { return s.send(t, "POST", "/pay", "key-secret", "x").StatusCode == 200 })
	log := s.logs.String()
	for _, msg := range []string{"an attempt is held: its outcome is not known", "a lapsed attempt is taken over"} {
		line := regexp.MustCompile(`level=WARN msg="` + msg + `" .*ref=[0-9a-f]{12} fence=[0-9]+ route=/pay\n`)
		if n := len(line.FindAllString(log, -1)); n != 1 {
			t.Errorf("got %d lines of %q, want 1:\n%s", n, msg, log)
		}
	}
	if strings.Contains(log, "secret") {
		t.Error("the key is in the log")
	}
}
