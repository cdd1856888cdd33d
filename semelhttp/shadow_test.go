package semelhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
	"github.com/semel-go/semel/store/storetest"
)

// reports collects what a shadow says.
type reports struct {
	mu  sync.Mutex
	all []semelhttp.Shadowed
}

func (s *reports) add(_ *http.Request, would semelhttp.Shadowed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, would)
}

// last is what was said since the last time.
func (s *reports) last() (all []semelhttp.Shadowed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, s.all = s.all, nil
	return all
}

// A shadow lets everything through as it came, and says what would have become of it.
func TestShadowReports(t *testing.T) {
	var said reports
	echo := func(w http.ResponseWriter, q *http.Request) {
		b, err := io.ReadAll(q.Body)
		_, _ = fmt.Fprint(w, len(b), err)
	}
	r := newRig(t, echo, func(c *semelhttp.Config) { c.Shadow, c.MaxBody, c.KeyMember = said.add, 100, "/id" })
	for _, c := range []struct {
		what, key, body string
		tenant          string
		kind            semel.Kind
		problem         semelhttp.Problem
		ref             bool
	}{
		{"first", secretKey, "{}", "alice", semel.Reserved, "", true},
		{"again", secretKey, "{}", "alice", semel.Replay, "", true},
		{"another request", secretKey, "[]", "alice", 0, semelhttp.ProblemKeyInvalid, false}, // of no object
		{"another request", secretKey, `{"a":1}`, "alice", semel.Conflict, semelhttp.ProblemKeyConflict, true},
		{"key in the body", "", `{"id":"` + secretKey + `"}`, "alice", semel.Conflict, semelhttp.ProblemKeyConflict, true},
		{"another caller", secretKey, "{}", "bob", semel.Reserved, "", true},
		{"no key", "", "{}", "alice", 0, semelhttp.ProblemKeyMissing, false},
		{"bad key", "a b", "{}", "alice", 0, semelhttp.ProblemKeyInvalid, false},
		{"no scope", secretKey, "{}", "", 0, semelhttp.ProblemScopeMissing, false},
		{"large body", secretKey, strings.Repeat("x", 3000), "alice", 0, semelhttp.ProblemBodyTooLarge, false},
	} {
		runs := r.runs.Load()
		q := r.request(http.MethodPost, "/payments", c.key, c.body)
		if q.Header.Del("X-Tenant"); c.tenant != "" {
			q.Header.Set("X-Tenant", c.tenant)
		}
		a := r.do(q)
		if want := fmt.Sprint(len(c.body), nil); a.status != 200 || a.body != want || r.runs.Load() != runs+1 {
			t.Errorf("%s: got %d %q, %d runs, want the handler's answer %q", c.what, a.status, a.body, r.runs.Load()-runs, want)
		}
		for name := range a.header {
			if strings.HasPrefix(name, "Semel") || strings.HasPrefix(name, "Idempotent") {
				t.Errorf("%s: got the field %s", c.what, name)
			}
		}
		got := said.last()
		if len(got) != 1 || got[0].Kind != c.kind || got[0].Problem != c.problem || (got[0].Ref != "") != c.ref {
			t.Errorf("%s: got %+v", c.what, got)
		}
	}
}

// What a shadow has recorded is never replayed, and what is guarded is not seen by it.
func TestShadowIsApart(t *testing.T) {
	var said reports
	shadow := newRig(t, ok, func(c *semelhttp.Config) { c.Shadow = said.add })
	shadow.post("k", "{}")
	guarded := newRigOn(t, shadow.store, semel.Config{}, ok, nil)
	if a := guarded.post("k", "{}"); a.header.Get("Idempotent-Replayed") != "" {
		t.Error("a shadow's record is replayed")
	}
	guarded.wantRuns(1)
}

// A shadow does not need its store.
func TestShadowWithoutStore(t *testing.T) {
	var said reports
	down := &storetest.Faulty{Store: memstore.New(memstore.Config{}), Before: func(semel.Step) error { return errors.New("down") }}
	r := newRigOn(t, down, semel.Config{}, ok, func(c *semelhttp.Config) { c.Shadow = said.add })
	if a := r.post("k", "{}"); a.status != 200 || a.body != "done" {
		t.Errorf("got %d %q", a.status, a.body)
	}
	if got := said.last(); len(got) != 1 || got[0].Problem != semelhttp.ProblemStoreUnavailable || got[0].Err == nil {
		t.Errorf("got %+v", got)
	}
}

// L1: a hook that panics leaves no claim behind that renews its lease.
func TestShadowHookPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var renewals atomic.Int64
		store := &storetest.Faulty{Store: memstore.New(memstore.Config{}), Before: func(step semel.Step) error {
			if step == semel.StepRenew {
				renewals.Add(1)
			}
			return nil
		}}
		engine, err := semel.New(store, semel.Config{})
		must(err)
		defer func() { must(engine.Close(context.Background())) }()
		mw, err := semelhttp.New(engine, semelhttp.ByHeader("X-Tenant"), semelhttp.Config{
			Shadow: func(*http.Request, semelhttp.Shadowed) { panic(http.ErrAbortHandler) },
		})
		must(err)
		func() {
			defer func() { _ = recover() }()
			mw.Wrap(http.HandlerFunc(ok)).ServeHTTP(httptest.NewRecorder(), keyed())
		}()
		time.Sleep(semel.DefaultLease)
		if n := renewals.Load(); n != 0 {
			t.Errorf("the lease of what nobody runs was renewed %d times", n)
		}
	})
}

// keyed is a request of alice with a key.
func keyed() *http.Request {
	q := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}"))
	q.Header.Set("Idempotency-Key", secretKey)
	q.Header.Set("X-Tenant", "alice")
	return q
}

// I2: a shadow inside a guarded request leaves its handler the outer claim.
func TestShadowInside(t *testing.T) {
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	must(err)
	scope := semelhttp.ByHeader("X-Tenant")
	var said reports
	outer, err := semelhttp.New(engine, scope, semelhttp.Config{})
	must(err)
	inner, err := semelhttp.New(engine, scope, semelhttp.Config{Shadow: said.add})
	must(err)
	var before, inside *semel.Claim
	h := outer.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		before = semel.FromContext(r.Context())
		inner.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { inside = semel.FromContext(r.Context()) })).ServeHTTP(w, r)
	}))
	h.ServeHTTP(httptest.NewRecorder(), keyed())
	if before == nil || inside != before || len(said.last()) != 0 {
		t.Errorf("got the claims %p and %p", before, inside)
	}
}

// Concurrent requests with one key all run in a shadow, and one is the first.
func TestShadowTogether(t *testing.T) {
	var said reports
	r := newRig(t, ok, func(c *semelhttp.Config) { c.Shadow = said.add })
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if a := r.post("k", "{}"); a.status != 200 {
				t.Errorf("got %d", a.status)
			}
		})
	}
	wg.Wait()
	r.wantRuns(8)
	first := 0
	for _, would := range said.last() {
		if would.Kind == semel.Reserved {
			first++
		}
	}
	if first != 1 {
		t.Errorf("got %d requests that would have run, want 1", first)
	}
}

// A route that fails open runs while the store is down, marked, and only then.
func TestFailOpen(t *testing.T) {
	broken := errors.New("down")
	var down atomic.Bool // read by what is tried in the background too
	store := &storetest.Faulty{Store: memstore.New(memstore.Config{}), Before: func(s semel.Step) error {
		if down.Load() && s == semel.StepReserve {
			return broken
		}
		return nil
	}}
	asked := 0
	opens := true
	r := newRigOn(t, store, semel.Config{}, ok, func(c *semelhttp.Config) {
		c.FailOpen = func(_ *http.Request, err error) bool {
			asked++
			if !errors.Is(err, broken) {
				t.Errorf("got %v, want the store's error", err)
			}
			return opens
		}
	})
	down.Store(true)
	for range 2 {
		if a := r.post("k", "{}"); a.status != 200 || a.header.Get("Semel-Stored") != "false" {
			t.Errorf("got %d, Semel-Stored %q", a.status, a.header.Get("Semel-Stored"))
		}
	}
	r.wantRuns(2)
	opens = false
	if a := r.post("k", "{}"); a.status != 503 {
		t.Errorf("got %d, want 503 when the hook says no", a.status)
	}
	down.Store(false)
	if a := r.post("k", "{}"); a.status != 200 || a.header.Get("Semel-Stored") != "" {
		t.Errorf("got %d, Semel-Stored %q, want a guarded request", a.status, a.header.Get("Semel-Stored"))
	}
	if a := r.post("k", "[]"); a.status != 422 || asked != 3 {
		t.Errorf("got %d and %d questions, want a refusal that the hook is not asked about", a.status, asked)
	}
}
