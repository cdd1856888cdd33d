package semelhttp_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/problem"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// refStore fails a reserve when it is told to.
type refStore struct {
	semel.Store
	fail error
}

func (s *refStore) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	if s.fail != nil {
		return semel.Record{}, s.fail
	}
	return s.Store.Reserve(ctx, r)
}

// TestRefusalsNameTheRecord: whoever reads that a request was refused finds the record that
// it is about, as soon as scope and key are known, and nothing where there is none.
func TestRefusalsNameTheRecord(t *testing.T) {
	for name, hashed := range map[string]bool{"plain": false, "hashed": true} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { refusalsNameTheRecord(t, hashed) }) })
	}
}

func refusalsNameTheRecord(t *testing.T, hashed bool) {
	t.Helper()
	store := &refStore{Store: memstore.New(memstore.Config{})}
	e, err := semel.New(store, semel.Config{HashKeys: hashed, Secret: []byte("sixteen bytes...")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close(context.Background()) }()
	var got problem.Details
	release := make(chan struct{})
	mw, err := semelhttp.New(e, semelhttp.ByHeader("X-Tenant"), semelhttp.Config{
		KeyMember: "/key", MaxBody: 100, MaxResponse: 4,
		OnRefuse: func(_ *http.Request, p problem.Details) { got = p },
		OnReplay: func(r *http.Request, _ semel.Record) error {
			if r.Header.Get("X-Denied") != "" {
				return errors.New("not yours")
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	h := mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/wait":
			<-release
		case "/large":
			_, _ = w.Write([]byte("too large"))
		}
	}))
	send := func(path, key, body string, fields ...string) problem.Details {
		got = problem.Details{}
		q := newRequest(t, path, key, body, fields...)
		h.ServeHTTP(httptest.NewRecorder(), q)
		return got
	}
	scope, err := semelhttp.ByHeader("X-Tenant")(newRequest(t, "/", "k", ""))
	if err != nil {
		t.Fatal(err)
	}
	want := func(d problem.Details, code, id string) {
		t.Helper()
		ref := any(e.Ref(e.StoredKey(semel.Key{Scope: scope, ID: id})))
		if id == "" {
			ref = nil
		}
		if d.Code != code || d.Extra["ref"] != ref {
			t.Errorf("got %s with the reference %v, want %s with %v", d.Code, d.Extra["ref"], code, ref)
		}
	}
	go h.ServeHTTP(httptest.NewRecorder(), newRequest(t, "/wait", "k-1", "{}"))
	synctest.Wait()
	want(send("/wait", "k-1", "{}"), "in_flight", "k-1")
	want(send("/wait", "k-1", `{"amount":2}`), "idempotency_key_conflict", "k-1")
	want(send("/wait", "", `{"key":"k-1"}`), "idempotency_key_conflict", "k-1")
	close(release)
	synctest.Wait()
	want(send("/wait", "k-1", "{}", "X-Denied", "1"), "replay_refused", "k-1")
	send("/large", "k-2", "{}")
	want(send("/large", "k-2", "{}"), "response_not_kept", "k-2")
	want(send("/", "k-3", strings.Repeat("x", 101)), "body_too_large", "k-3")
	want(send("/", "", strings.Repeat("x", 101)), "body_too_large", "")
	want(send("/", "", "{}"), "key_missing", "")
	want(send("/", "k 3", "{}"), "key_invalid", "")
	want(send("/", "k-3", "{}", "X-Tenant", ""), "scope_missing", "")
	store.fail = errors.New("down")
	want(send("/", "k-4", "{}"), "store_unavailable", "k-4")
	time.Sleep(time.Minute) // what is taken back in the background
}

func newRequest(t *testing.T, path, key, body string, fields ...string) *http.Request {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("X-Tenant", "alice")
	q.Header.Set("Content-Type", "application/json")
	if key != "" {
		q.Header.Set("Idempotency-Key", key)
	}
	for i := 0; i < len(fields); i += 2 {
		q.Header.Set(fields[i], fields[i+1])
	}
	return q
}
