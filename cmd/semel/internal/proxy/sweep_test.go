package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// sweeps makes a sidecar ask s without being asked.
func (s *service) sweeps(c *setup) {
	s.recovers(c)
	c.Sweep = time.Millisecond
}

// until polls for something that is to happen.
func until(t *testing.T, s *sidecar, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !happened(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s\n%s", what, s.logs)
		}
	}
}

// TestSweepKeeps: what has happened is found out without a retry, which is then
// replayed, and the sweep is no request.
func TestSweepKeeps(t *testing.T) {
	up := newService(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(HeaderSettle, "keep")
		_, _ = io.WriteString(w, "charged")
	})
	s := newSidecar(t, up.url, up.sweeps)
	want(t, s.send(t, "POST", "/", "k", "x"), 504, "outcome_unknown")
	until(t, s, "the sweep has settled it", func() bool { return strings.Contains(s.logs.String(), "settle=keep") })
	until(t, s, "a round has ended after it", endOf(t, s.metrics, semel.StepSweep))
	a := s.send(t, "POST", "/", "k", "x")
	want(t, a, 200, "")
	if a.body != "charged" || !a.replayed() {
		t.Errorf("got %q, replayed %v", a.body, a.replayed())
	}
	up.wantCounts(t, 1, 1)
	executed := scraped(t, s.metrics, `semel_requests_total{outcome="executed",route="none"}`)
	replayed := scraped(t, s.metrics, `semel_requests_total{outcome="replayed",route="none"}`)
	if executed != 1 || replayed != 1 {
		t.Errorf("counted %v and %v, want one request executed and one replayed", executed, replayed)
	}
}

// endOf returns a func that tells whether a step has ended once more since now.
func endOf(t *testing.T, m *Metrics, step semel.Step) func() bool {
	t.Helper()
	count := func() float64 {
		return scraped(t, m, fmt.Sprintf("semel_store_operation_duration_seconds_count{step=%q}", step))
	}
	before := count()
	return func() bool { return count() > before }
}

// TestSweepReleases: what has not happened is free, and runs when it is sent
// again, not before.
func TestSweepReleases(t *testing.T) {
	up := newService(t, settles("release"))
	s := newSidecar(t, up.url, up.sweeps)
	want(t, s.send(t, "POST", "/", "k", "x"), 504, "outcome_unknown")
	until(t, s, "the sweep has settled it", func() bool { return strings.Contains(s.logs.String(), "settle=release") })
	until(t, s, "a round has ended after it", endOf(t, s.metrics, semel.StepSweep))
	up.wantCounts(t, 1, 1)
	want(t, s.send(t, "POST", "/", "k", "x"), 201, "")
	up.wantCounts(t, 2, 1)
}

// TestSweepHolds: what nobody knows is asked about round by round, and held.
func TestSweepHolds(t *testing.T) {
	up := newService(t, settles("hold"))
	s := newSidecar(t, up.url, up.sweeps)
	want(t, s.send(t, "POST", "/", "k", "x"), 504, "outcome_unknown")
	until(t, s, "it was asked about twice", func() bool { return up.asked.Load() > 1 })
	want(t, s.send(t, "POST", "/", "k", "x"), 409, "") // unknown, or just being asked about
	if got := up.runs.Load(); got != 1 {
		t.Errorf("%d runs, want 1", got)
	}
}

// TestNoSweep: without being told to, the sidecar asks when a retry comes.
func TestNoSweep(t *testing.T) {
	up := newService(t, settles("release"))
	s := newSidecar(t, up.url, up.recovers)
	want(t, s.send(t, "POST", "/", "k", "x"), 504, "outcome_unknown")
	if scraped(t, s.metrics, `semel_store_operation_duration_seconds_count{step="sweep"}`) != 0 {
		t.Error("it sweeps")
	}
	up.wantCounts(t, 1, 0)
}

// blind is a store that cannot list.
type blind struct{ semel.Store }

func TestSweepNeeds(t *testing.T) {
	for _, row := range []struct {
		name   string
		store  semel.Store
		change func(*Config)
		want   string
	}{
		{"a recovery URL", newStore(), func(c *Config) { c.HTTP.Lapsed, c.RecoverURL = 0, "" }, "needs a recovery URL"},
		{"the policy", newStore(), func(c *Config) { c.HTTP.Lapsed = semel.Hold }, "needs a recovery URL"},
		{"a list", blind{memstore.New(memstore.Config{})}, nil, "can list its records"},
		{"no negative time", newStore(), func(c *Config) { c.Sweep = -1 }, "Config.Sweep"},
		{"an address", newStore(), func(c *Config) { c.RecoverURL = "ops" }, "not one of http, https or h2c"},
		{"no password", newStore(), func(c *Config) { c.RecoverURL = "http://u:hidden@h" }, "without a user"},
		{"an address in a route", newStore(), func(c *Config) { c.Routes = []Route{{Pattern: "/a", RecoverURL: "ops"}} }, `route "/a"`},
		{"a func or an address", newStore(), func(c *Config) { c.Sweep, c.RecoverURL = 0, "" }, "need one another"},
		{"nothing more", newStore(), nil, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			engine, err := semel.New(row.store, semel.Config{})
			if err != nil {
				t.Fatal(err)
			}
			cfg := Config{Upstream: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}}
			cfg.HTTP.Lapsed, cfg.RecoverURL, cfg.Sweep = semel.Recover, "http://127.0.0.1:1/{key}", time.Second
			if row.change != nil {
				row.change(&cfg)
			}
			_, err = New(engine, semelhttp.Global(), cfg)
			if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "hidden")) {
				t.Errorf("got %v, want %q", err, row.want)
			}
		})
	}
}

// byRoutes is a sidecar with three routes: two that ask one service each, and one that holds.
// Requests of no route are held.
func byRoutes(a, b *service) func(*setup) {
	return func(c *setup) {
		recovers := func(h *semelhttp.Config) { h.Lapsed = semel.Recover }
		c.Sweep = time.Millisecond
		c.Routes = []Route{
			{Pattern: "/a", Change: recovers, RecoverURL: a.url + "/ops/{key}?of={key}"},
			{Pattern: "/b", Change: recovers, RecoverURL: b.url + "/ops/{key}?of={key}"},
			{Pattern: "/held"},
		}
	}
}

// fences returns the fence of each record of the scope that tests have, by its route.
func fences(t *testing.T, s *sidecar) map[string]int64 {
	t.Helper()
	all := map[string]int64{}
	lister, _ := semel.As[semel.Lister](s.server.engine.Store())
	for rec, err := range lister.List(t.Context(), semel.Filter{States: []semel.State{semel.StateReserved}}) {
		if err != nil {
			t.Fatal(err)
		}
		all[rec.Route] = rec.Fence
	}
	return all
}

// TestSweepAsksByRoute: each service is asked about its own operations, and what nobody is to be
// asked about stays as it is (I7, I9).
func TestSweepAsksByRoute(t *testing.T) {
	a, b := newService(t, settles("hold")), newService(t, settles("keep"))
	a.dies.Store(4)
	s := newSidecar(t, a.url, byRoutes(a, b))
	for _, path := range []string{"/held", "/"} {
		want(t, s.send(t, "POST", path, "k"+path, "x"), 504, "outcome_unknown")
	}
	before := fences(t, s)
	want(t, s.send(t, "POST", "/b", "kb", "x"), 504, "outcome_unknown")
	until(t, s, "the service of the route has told it", func() bool { return strings.Contains(s.logs.String(), "settle=keep") })
	until(t, s, "a round has ended after it", endOf(t, s.metrics, semel.StepSweep))
	if got := a.asked.Load(); got != 0 {
		t.Errorf("a service was asked %d times about the operations of another", got)
	}
	want(t, s.send(t, "POST", "/a", "ka", "x"), 504, "outcome_unknown")
	until(t, s, "the other was asked too", func() bool { return a.asked.Load() > 0 })
	for route, fence := range before {
		if got := fences(t, s)[route]; got != fence {
			t.Errorf("the record of route %q has the fence %d, want %d: nobody is asked about it", route, got, fence)
		}
	}
}

// TestSweepHoldsWhatIsOfNoRoute: with one service for all it is asked about everything; with
// several nobody knows who has heard of the operations of a route that is no more (I7).
func TestSweepHoldsWhatIsOfNoRoute(t *testing.T) {
	one, other := &recovery{url: "http://one"}, &recovery{url: "http://other"}
	gone := semel.Record{Route: "/gone"}
	a := askers{routes: map[string]*recovery{"": one}, others: one}
	a.add("/a", &recovery{url: "http://one"})
	if a.of(gone) != one {
		t.Error("with one service it is not asked")
	}
	a.add("/b", other)
	a.add("/c", &recovery{url: "http://one"})
	if a.of(gone) != nil || a.of(semel.Record{Route: "/b"}) != other || a.of(semel.Record{}) != one {
		t.Error("with several a service is asked that may not know")
	}
}
