package semelprom_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelprom"
	"github.com/semel-go/semel/problem"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// exported is what a scraper would get.
func exported(t testing.TB, c *semelprom.Collector) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(c); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("scrape: %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func wantLines(t *testing.T, c *semelprom.Collector, lines ...string) {
	t.Helper()
	text := exported(t, c)
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line+"\n") {
			name, _, _ := strings.Cut(line, "{")
			var have []string
			for got := range strings.Lines(text) {
				if strings.HasPrefix(got, name) && !strings.Contains(got, "_bucket") {
					have = append(have, got)
				}
			}
			t.Errorf("%s is missing, there is\n%s", line, strings.Join(have, ""))
		}
	}
}

func newEngine(t testing.TB, store semel.Store, cfg semel.Config) *semel.Engine {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	e, err := semel.New(store, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e
}

func begin(t testing.TB, e *semel.Engine, call semel.Call) *semel.Claim {
	t.Helper()
	out, err := e.Begin(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	return out.Claim
}

// Each thing that an engine does is counted once, under the route of its call.
func TestCountsWhatAnEngineDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := semelprom.New(semelprom.Config{Version: `1"2`})
		e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{Observe: c.Observe, Lapsed: semel.Rerun})
		c.Watch(e)
		pay := semel.Call{Key: semel.Key{Scope: "scope-secret", ID: "key-secret"}, Route: "POST /payments"}
		first := begin(t, e, pay)
		begin(t, e, pay)
		time.Sleep(3 * time.Second)
		wantLines(t, c, "semel_inflight_attempts 1", "semel_oldest_inflight_seconds 3")
		first.Abandon(t.Context())
		hold := pay
		hold.Lapsed = semel.Hold
		time.Sleep(5 * time.Second) // over the margin
		begin(t, e, hold)
		second := begin(t, e, pay) // takes over
		_ = second.Release(t.Context())
		third := begin(t, e, pay)
		if err := third.Complete(t.Context(), semel.Response{Status: 200, Body: make([]byte, 1000)}); err != nil {
			t.Fatal(err)
		}
		begin(t, e, pay)
		begin(t, e, semel.Call{Key: pay.Key, Fingerprint: semel.Fingerprint{1}})
		wantLines(
			t, c,
			`semel_requests_total{outcome="executed",route="POST /payments"} 3`,
			`semel_requests_total{outcome="replayed",route="POST /payments"} 1`,
			`semel_requests_total{outcome="in_flight",route="POST /payments"} 1`,
			`semel_requests_total{outcome="outcome_unknown",route="POST /payments"} 1`,
			`semel_requests_total{outcome="store_failed",route="POST /payments"} 0`,
			`semel_requests_total{outcome="conflict",route="none"} 1`,
			`semel_lease_takeovers_total{route="POST /payments"} 1`,
			`semel_handler_duration_seconds_sum{route="POST /payments",settle="hold"} 3`,
			`semel_handler_duration_seconds_count{route="POST /payments",settle="release"} 1`,
			`semel_handler_duration_seconds_count{route="POST /payments",settle="keep"} 1`,
			`semel_record_bytes_bucket{le="256"} 0`,
			`semel_record_bytes_bucket{le="1024"} 1`,
			`semel_store_operation_duration_seconds_count{step="reserve"} 7`,
			`semel_store_operation_duration_seconds_count{step="renew"} 0`,
			`semel_store_operation_failures_total{step="reserve"} 0`,
			"semel_inflight_attempts 0",
			"semel_oldest_inflight_seconds 0",
		)
		if text := exported(t, c); strings.Contains(text, "secret") || !strings.Contains(text, `version="1\"2"`) {
			t.Errorf("got a secret, or not the version:\n%s", text)
		}
	})
}

// What befalls a program later is counted by what the events say.
func TestCountsByEvent(t *testing.T) {
	c := semelprom.New(semelprom.Config{})
	failed := errors.New("down")
	for _, row := range []struct {
		step  semel.Step
		event semel.Event
	}{
		{semel.StepReserve, semel.Event{Err: failed}},
		{semel.StepRenew, semel.Event{Count: 9, Lost: 2}},
		{semel.StepComplete, semel.Event{Err: semel.ErrLost}},
		{semel.StepComplete, semel.Event{Err: failed}},
		{semel.StepPurge, semel.Event{Count: 5, More: true}},
		{semel.StepPurge, semel.Event{Err: failed}},
		{semel.StepCommit, semel.Event{}},
		{semel.StepCommit, semel.Event{Bytes: 300}},
		{semel.StepSeal, semel.Event{Took: time.Millisecond}},
		{semel.StepPoll + 7, semel.Event{}},
	} {
		if _, end := c.Observe(t.Context(), semel.Op{Step: row.step}); end != nil {
			end(row.event)
		}
	}
	wantLines(
		t, c,
		`semel_requests_total{outcome="store_failed",route="none"} 1`,
		`semel_store_operation_failures_total{step="reserve"} 1`,
		`semel_store_operation_failures_total{step="complete"} 1`,
		`semel_leases_lost_total{by="renew"} 2`,
		`semel_leases_lost_total{by="complete"} 1`,
		"semel_purged_records_total 5",
		"semel_purge_caught_up_timestamp_seconds 0",
		`semel_record_bytes_count 1`,
		`semel_handler_duration_seconds_count{route="none",settle="keep"} 2`,
		`semel_store_operation_duration_seconds_count{step="commit"} 2`,
		`semel_store_operation_duration_seconds_bucket{step="seal",le="0.001"} 1`,
	)
	_, end := c.Observe(t.Context(), semel.Op{Step: semel.StepPurge})
	end(semel.Event{Count: 1})
	if strings.Contains(exported(t, c), "semel_purge_caught_up_timestamp_seconds 0\n") {
		t.Error("a purge that left nothing is not seen")
	}
}

// Ended sees each event, those of a sweep too, after it was counted.
func TestEnded(t *testing.T) {
	var got []semel.Step
	c := semelprom.New(semelprom.Config{Ended: func(step semel.Step, e semel.Event) {
		if e.Count == 7 {
			got = append(got, step)
		}
	}})
	ctx, end := c.Observe(t.Context(), semel.Op{Step: semel.StepSweep})
	_, inner := c.Observe(ctx, semel.Op{Step: semel.StepReserve})
	inner(semel.Event{Count: 7})
	end(semel.Event{Count: 7})
	_, end = c.Observe(t.Context(), semel.Op{Step: semel.StepRenew})
	end(semel.Event{Count: 7})
	if want := []semel.Step{semel.StepReserve, semel.StepSweep, semel.StepRenew}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A sweep asks about records: what it does is no request and has no handler.
func TestASweepIsNoRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := semelprom.New(semelprom.Config{})
		e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{Observe: c.Observe})
		begin(t, e, semel.Call{Key: semel.Key{Scope: "s", ID: "k"}}).Abandon(t.Context())
		ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute)
		defer stop()
		_ = e.RunSweep(ctx, semel.Sweeping{Every: time.Minute, Recover: func(context.Context, semel.Record) (semel.Recovery, error) {
			return semel.Recovery{}, nil
		}})
		wantLines(
			t, c,
			`semel_requests_total{outcome="executed",route="none"} 1`,
			`semel_lease_takeovers_total{route="none"} 0`,
			`semel_handler_duration_seconds_count{route="none",settle="hold"} 1`,
			`semel_handler_duration_seconds_count{route="none",settle="release"} 0`, // the turn of the sweep
		)
	})
}

// However many routes there are, no more than MaxRoutes have series, and what is no text is
// made one.
func TestRoutesAreBounded(t *testing.T) {
	c := semelprom.New(semelprom.Config{MaxRoutes: 2})
	c.Expect("GET /a")
	for i := range 1000 {
		_, end := c.Observe(t.Context(), semel.Op{Step: semel.StepReserve, Route: fmt.Sprintf("POST /%d\xff", i)})
		end(semel.Event{Kind: semel.Reserved})
	}
	wantLines(
		t, c,
		`semel_requests_total{outcome="executed",route="GET /a"} 0`,
		"semel_requests_total{outcome=\"executed\",route=\"POST /0\uFFFD\"} 1",
		`semel_requests_total{outcome="executed",route="other"} 999`,
		`semel_requests_total{outcome="executed",route="none"} 0`,
	)
	if n := strings.Count(exported(t, c), `semel_requests_total{outcome="executed"`); n != 4 {
		t.Errorf("got %d routes, want 2, other and none", n)
	}
}

// The hooks count what only the middleware knows, and call those that were there.
func TestHTTPHooks(t *testing.T) {
	c := semelprom.New(semelprom.Config{})
	down := &downStore{Store: memstore.New(memstore.Config{})}
	e := newEngine(t, down, semel.Config{Observe: c.Observe, ReserveTimeout: time.Second})
	var refused, opened, shadowed int
	cfg := c.HTTP(semelhttp.Config{
		Route:    "all",
		Logger:   slog.New(slog.DiscardHandler),
		OnRefuse: func(*http.Request, problem.Details) { refused++ },
		FailOpen: func(r *http.Request, _ error) bool { opened++; return r.URL.Path != "/closed" },
	})
	shadow := cfg
	shadow.OnRefuse, shadow.FailOpen = nil, nil
	shadow.Shadow = func(*http.Request, semelhttp.Shadowed) { shadowed++ }
	shadow = c.HTTP(shadow)
	mux := http.NewServeMux()
	handle := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	guard := func(cfg semelhttp.Config) http.Handler {
		mw, err := semelhttp.New(e, semelhttp.Global(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		return mw.Wrap(handle)
	}
	mux.Handle("POST /open/{id}", guard(cfg))
	mux.Handle("POST /shadow/{id}", guard(shadow))
	mux.Handle("/", guard(cfg))
	send := func(h http.Handler, path, key, body string) {
		r := httptest.NewRequest("POST", path, strings.NewReader(body))
		if key != "" {
			r.Header.Set("Idempotency-Key", key)
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	send(mux, "/open/7", "", "x")
	send(guard(cfg), "/open/7", "", "x") // no mux around it
	send(mux, "/shadow/7", "k", "x")
	send(mux, "/shadow/7", "k", "x")
	send(mux, "/shadow/7", "k", "other")
	down.set(true)
	send(mux, "/open/7", "k", "x")
	send(mux, "/closed", "k", "x")
	wantLines(
		t, c,
		`semel_refusals_total{code="key_missing",route="POST /open/{id}"} 1`,
		`semel_refusals_total{code="key_missing",route="all"} 1`,
		`semel_refusals_total{code="store_unavailable",route="/"} 1`,
		`semel_failed_open_total{route="POST /open/{id}"} 1`,
		`semel_shadowed_total{route="POST /shadow/{id}",would="run"} 1`,
		`semel_shadowed_total{route="POST /shadow/{id}",would="replay"} 1`,
		`semel_shadowed_total{route="POST /shadow/{id}",would="refuse"} 1`,
	)
	if refused != 3 || opened != 2 || shadowed != 3 {
		t.Errorf("the hooks before were called %d, %d and %d times, want 3, 2 and 3", refused, opened, shadowed)
	}
	if strings.Contains(exported(t, c), "/7") {
		t.Error("a path is in the metrics")
	}
}

// downStore fails while it is told to.
type downStore struct {
	semel.Store
	mu   sync.Mutex
	down bool
}

func (s *downStore) set(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *downStore) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return semel.Record{}, errors.New("down")
	}
	return s.Store.Reserve(ctx, r)
}

// A step allocates nothing, once its route is known.
func TestObserveAllocatesNothing(t *testing.T) {
	c := semelprom.New(semelprom.Config{})
	ctx := t.Context()
	if got := testing.AllocsPerRun(100, func() {
		for _, step := range []semel.Step{semel.StepReserve, semel.StepComplete} {
			_, end := c.Observe(ctx, semel.Op{Step: step, Route: "POST /payments"})
			end(semel.Event{Kind: semel.Reserved, Took: time.Millisecond, Bytes: 7, Age: time.Millisecond})
		}
	}); got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}

// Many may observe and scrape at once.
func TestConcurrentUse(t *testing.T) {
	c := semelprom.New(semelprom.Config{MaxRoutes: 3})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 100 {
				_, end := c.Observe(t.Context(), semel.Op{Step: semel.StepReserve, Route: fmt.Sprint(i)})
				end(semel.Event{Kind: semel.Replay})
			}
		})
	}
	wg.Go(func() { exported(t, c) })
	wg.Wait()
	sum := 0
	for line := range strings.Lines(exported(t, c)) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), "} "); strings.HasPrefix(name, `semel_requests_total{outcome="replayed"`) {
			var n int
			_, _ = fmt.Sscan(value, &n)
			sum += n
		}
	}
	if sum != 800 {
		t.Errorf("counted %d, want 800", sum)
	}
}

// That hints are heard can be seen, and what they are good for.
func TestCountsHints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		c := semelprom.New(semelprom.Config{})
		e := newEngine(t, store, semel.Config{Observe: c.Observe, Hints: true})
		other := newEngine(t, store, semel.Config{Hints: true})
		c.Watch(e)
		for i := range 10 { // a poll may be faster, but not each time
			call := semel.Call{Key: semel.Key{Scope: "s", ID: fmt.Sprint(i)}, Wait: semel.MaxWait}
			claim := begin(t, other, call)
			done := make(chan struct{})
			go func() { defer close(done); begin(t, e, call) }()
			time.Sleep(2 * time.Second)
			if err := claim.Complete(t.Context(), semel.Response{Status: 200}); err != nil {
				t.Error(err)
			}
			<-done
		}
		wantLines(t, c, "semel_hints_heard 1", `semel_waits_total{woken_by="none"} 0`)
		if strings.Contains(exported(t, c), `semel_waits_total{woken_by="hint"} 0`) {
			t.Error("no wait is counted that a hint has ended")
		}
	})
}

// A request that waits has one outcome: that of its wait. Its polls are steps of the store.
func TestCountsAWaitOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := semelprom.New(semelprom.Config{})
		e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{Observe: c.Observe})
		c.Watch(e)
		call := semel.Call{Key: semel.Key{Scope: "s", ID: "k"}, Route: "POST /pay", Wait: semel.MaxWait}
		claim := begin(t, e, call)
		done := make(chan struct{})
		go func() { defer close(done); begin(t, e, call) }()
		time.Sleep(2 * time.Second)
		wantLines(t, c, "semel_waiters 1", "semel_hints_heard 0")
		if err := claim.Complete(t.Context(), semel.Response{Status: 200}); err != nil {
			t.Error(err)
		}
		<-done
		wantLines(
			t, c,
			`semel_requests_total{outcome="executed",route="POST /pay"} 1`,
			`semel_requests_total{outcome="in_flight",route="POST /pay"} 0`,
			`semel_requests_total{outcome="replayed",route="POST /pay"} 1`,
			`semel_wait_duration_seconds_sum{outcome="replayed"} 2`,
			`semel_wait_duration_seconds_count{outcome="replayed"} 1`,
			`semel_store_operation_duration_seconds_count{step="reserve"} 2`,
			`semel_waits_total{woken_by="local"} 1`,
			`semel_waits_total{woken_by="hint"} 0`,
			"semel_waiters 0",
		)
		if text := exported(t, c); strings.Contains(text, `step="wait"`) || !strings.Contains(text, `semel_store_operation_duration_seconds_count{step="poll"}`) {
			t.Error("a wait is counted as a step of the store, or its polls are not")
		}
	})
}
