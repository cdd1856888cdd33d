package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/semel-go/semel"
)

func get(t *testing.T, url string) answer {
	t.Helper()
	return ask(t, "GET", url)
}

func ask(t *testing.T, method, url string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := newClient(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res, string(body)}
}

// waitStatus asks until the answer has the status; the test's deadline ends it.
func waitStatus(t *testing.T, url string, status int) {
	t.Helper()
	for get(t, url).StatusCode != status {
		if t.Context().Err() != nil {
			t.Fatal(t.Context().Err())
		}
	}
}

// waitRefused dials until nobody listens.
func waitRefused(t *testing.T, url string) {
	t.Helper()
	for {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			return
		}
		conn.Close()
	}
}

// purgeWatch tells of every purge.
type purgeWatch struct {
	semel.Store
	purged chan struct{}
}

func (p purgeWatch) Purge(context.Context, int) (int, error) {
	select {
	case p.purged <- struct{}{}:
	default:
	}
	return 0, nil
}

// pinged is a store whose ping is the test's.
type pinged struct {
	unwrapper
	ping func() error
}

func (p pinged) Ping(context.Context) error { return p.ping() }

func TestReadyz(t *testing.T) {
	up, _ := testUpstream(t, new(seen).handler)
	var failure error
	s := newSidecar(t, up, func(s *setup) {
		s.store = pinged{unwrapper{s.store}, func() error { return failure }}
	})
	a := get(t, s.admin+"/readyz")
	want(t, a, 200, "")
	if a.body != "ok\n" {
		t.Errorf("got %q", a.body)
	}
	failure = errors.New("disk full")
	want(t, get(t, s.admin+"/readyz"), 503, "")
	a = get(t, s.admin+"/readyz?verbose")
	want(t, a, 503, "")
	if a.body != "store: disk full\ntraffic: ok\n" {
		t.Errorf("got %q", a.body)
	}
	want(t, get(t, s.admin+"/livez"), 200, "")
}

// TestPingOfAStoreThatHangs: it is never cancelled and never piled up, and
// those who ask may leave.
func TestPingOfAStoreThatHangs(t *testing.T) {
	hang, started := make(chan struct{}), make(chan struct{}, 10)
	p := newProber(pinged{unwrapper{newStore()}, func() error {
		started <- struct{}{}
		<-hang
		return errors.New("late")
	}})
	left, leave := context.WithCancel(t.Context())
	leave()
	for range 3 {
		if err := p.ping(left); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want canceled", err)
		}
	}
	<-started
	waiting := make(chan error, 1)
	go func() { waiting <- p.ping(t.Context()) }()
	close(hang)
	if err := <-waiting; err == nil || err.Error() != "late" {
		t.Errorf("got %v, want late", err)
	}
	p.wait(t.Context())
	if got := len(started); got > 1 { // the waiting caller may have come too late for the first
		t.Errorf("%d pings more, want at most 1", got)
	}
}

func TestAdminRefusesChanges(t *testing.T) {
	up, _ := testUpstream(t, new(seen).handler)
	s := newSidecar(t, up, nil)
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/version"} {
		want(t, ask(t, "HEAD", s.admin+path), 200, "")
		want(t, ask(t, "POST", s.admin+path), 405, "")
	}
	want(t, get(t, s.admin+"/"), 404, "")
	if a := get(t, s.admin+"/version"); !strings.Contains(a.body, `"version":"unknown"`) {
		t.Errorf("got %q", a.body)
	}
}

func TestNoAdmin(t *testing.T) {
	up, _ := testUpstream(t, new(seen).handler)
	s := newSidecar(t, up, func(s *setup) { s.Admin = "" })
	if s.admin != "" {
		t.Errorf("admin at %s, want none", s.admin)
	}
	want(t, s.send(t, "POST", "/", "k", "x"), 200, "")
}

// TestMetrics: what happened is counted, the format is that of Prometheus, and
// nothing of a request is in it.
func TestMetrics(t *testing.T) {
	up, _ := testUpstream(t, new(seen).handler)
	s := newSidecar(t, up, func(s *setup) { s.Version = `1"2\3` })
	s.send(t, "POST", "/path-secret", "key-secret", "x", "Authorization", "scope-secret")
	s.send(t, "POST", "/path-secret", "key-secret", "x", "Authorization", "scope-secret")
	s.send(t, "POST", "/path-secret", "key-secret", "other", "Authorization", "scope-secret")
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
	if got := a.Header.Get("Content-Type"); got != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("Content-Type %q", got)
	}
	for _, line := range []string{
		`semel_requests_total{outcome="executed"} 1`,
		`semel_requests_total{outcome="replayed"} 1`,
		`semel_requests_total{outcome="conflict"} 1`,
		`semel_requests_total{outcome="in_flight"} 0`,
		`semel_store_operation_duration_seconds_count{step="reserve"} 4`,
		`semel_store_operation_duration_seconds_bucket{step="reserve",le="+Inf"} 4`,
		`semel_store_operation_duration_seconds_count{step="complete"} 2`,
		`semel_store_operation_failures_total{step="complete"} 0`,
		`semel_inflight_attempts 0`,
		`semel_purged_records_total 5`,
		`semel_leases_lost_total 3`,
		`semel_requests_total{outcome="store_failed"} 1`,
		`semel_store_operation_failures_total{step="release"} 1`,
		`semel_upstream_unknown_total 0`,
	} {
		if !strings.Contains(a.body, "\n"+line+"\n") {
			t.Errorf("%s is missing", line)
		}
	}
	if !strings.Contains(a.body, `semel_build_info{version="1\"2\\3",goversion="go`) {
		t.Errorf("the build is missing")
	}
	if strings.Contains(a.body, "secret") {
		t.Error("a secret is in the metrics")
	}
	lineForm := regexp.MustCompile(`^(# (HELP|TYPE) semel_[a-z_]+ .+|semel_[a-z_]+(\{([a-z]+="([^"\\]|\\.)*",?)+\})? [0-9.e+-]+)$`)
	for line := range strings.Lines(a.body) {
		if line = strings.TrimSuffix(line, "\n"); !lineForm.MatchString(line) {
			t.Errorf("not the text format: %q", line)
		}
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
		"semel_upstream_unknown_total 1":                    s,
		"semel_upstream_unreachable_total 0":                s,
		`semel_requests_total{outcome="outcome_unknown"} 1`: s,
		"semel_upstream_unreachable_total 1":                s2,
		"semel_upstream_unknown_total 0":                    s2,
		`semel_requests_total{outcome="executed"} 1`:        s2,
	} {
		if a := get(t, s.admin+"/metrics"); !strings.Contains(a.body, "\n"+line+"\n") {
			t.Errorf("%s is missing", line)
		}
	}
}
