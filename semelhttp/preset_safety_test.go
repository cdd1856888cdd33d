package semelhttp_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// I9: no preset runs a handler twice for one key, whatever it answered, unless its answer
// says that nothing happened; and an answer that says so by its status frees the key only
// where the preset's table does.
func TestPresetsRunOnce(t *testing.T) {
	for _, preset := range semelhttp.Presets() {
		full := semelhttp.Config{Preset: preset}.WithPreset()
		for _, status := range []int{200, 201, 302, 400, 402, 404, 409, 422, 429, 500, 501, 502, 503, 504, 505} {
			runs := 0
			send := guard(t, semelhttp.Config{Preset: preset}, memstore.New(memstore.Config{}), func(w http.ResponseWriter, _ *http.Request) {
				runs++
				w.WriteHeader(status)
			})
			first, again := send("key", "x"), send("key", "x")
			want := 1
			if full.Settle(status, nil) == semel.Free {
				want = 2
			}
			if runs != want || first.Code != status {
				t.Errorf("%v: %d: got %d runs, answers %d and %d, want %d runs", preset, status, runs, first.Code, again.Code, want)
			}
			if semelhttp.Settle(status, nil) == semel.Unknown && want == 2 {
				t.Errorf("%v frees a key by %d, which says that something may have happened", preset, status)
			}
		}
	}
}

// A failure under stripe-v2 whose effects nobody knows holds the key, and a handler that
// can go on is asked again under the policy rerun.
func TestStripeV2DrivesOn(t *testing.T) {
	for policy, want := range map[semel.Policy][]int{semel.Hold: {500, 409, 409}, semel.Rerun: {500, 200, 200}} {
		synctest.Test(t, func(t *testing.T) {
			runs := 0
			cfg := semelhttp.Config{Preset: semelhttp.StripeV2, Lapsed: policy}
			send := guard(t, cfg, memstore.New(memstore.Config{}), func(w http.ResponseWriter, _ *http.Request) {
				if runs++; runs == 1 {
					w.WriteHeader(http.StatusInternalServerError)
				}
			})
			var got []int
			for range 3 {
				got = append(got, send("key", "x").Code)
				time.Sleep(time.Minute)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%v: got %v, want %v", policy, got, want)
			}
		})
	}
}

func TestSettleAdyen(t *testing.T) {
	for _, c := range []struct {
		status int
		said   []string
		want   semel.Disposition
	}{
		{500, []string{"true"}, semel.Free},
		{502, []string{" TRUE "}, semel.Free},
		{503, []string{"false"}, semel.Keep},
		{504, []string{"false"}, semel.Keep},
		{201, []string{"true"}, semel.Keep}, // a success is one
		{500, []string{"true", "true"}, semel.Keep},
		{500, []string{"yes"}, semel.Keep},
		{500, nil, semel.Keep},
		{503, nil, semel.Free},
		{502, nil, semel.Unknown},
	} {
		if got := semelhttp.SettleAdyen(c.status, http.Header{"Transient-Error": c.said}); got != c.want {
			t.Errorf("%d %q: got %v, want %v", c.status, c.said, got, c.want)
		}
	}
}

// The key that Adyen and Stripe give back is told to the request that brought it, and to
// nobody else: it is not kept, no refusal has it, and no request that ran unguarded.
func TestEchoIsNotKept(t *testing.T) {
	for _, preset := range []semelhttp.Preset{semelhttp.Stripe, semelhttp.StripeV2, semelhttp.Adyen} {
		for _, inTx := range []bool{false, true} {
			db := newTxStore()
			var store semel.Store = db.base
			looked := false
			cfg := semelhttp.Config{Preset: preset, OnReplay: func(_ *http.Request, rec semel.Record) error {
				if looked = true; strings.Contains(string(rec.Response.Header), secretKey) {
					t.Errorf("%v, in a transaction %v: the key is kept: %q", preset, inTx, rec.Response.Header)
				}
				return nil
			}}
			if inTx {
				store, cfg.Tx = db, transactions{db, semel.ClaimTx}
			}
			send := guard(t, cfg, store, func(w http.ResponseWriter, q *http.Request) {
				if w.Header().Get("Idempotency-Key") != secretKey {
					t.Errorf("%v: the handler sees %v", preset, w.Header())
				}
				w.WriteHeader(http.StatusCreated)
			})
			for range 2 {
				if a := send(secretKey, "x"); a.Code != 201 || a.Header().Get("Idempotency-Key") != secretKey {
					t.Errorf("%v, in a transaction %v: got %d %v, want the key back", preset, inTx, a.Code, a.Header())
				}
			}
			if a := send(secretKey, "y"); a.Header().Get("Idempotency-Key") != "" {
				t.Errorf("%v, in a transaction %v: a refusal has the key: %v", preset, inTx, a.Header())
			}
			if !looked {
				t.Errorf("%v, in a transaction %v: nothing was replayed", preset, inTx)
			}
		}
		open := semelhttp.Config{Preset: preset, FailOpen: func(*http.Request, error) bool { return true }}
		send := guard(t, open, &outage{Store: memstore.New(memstore.Config{}), down: true}, func(http.ResponseWriter, *http.Request) {})
		if a := send(secretKey, "x"); a.Code != 200 || a.Header().Get("Idempotency-Key") != "" || a.Header().Get("Semel-Stored") != "false" {
			t.Errorf("%v: an unguarded answer: got %d %v, want no key", preset, a.Code, a.Header())
		}
	}
}

// A handler that refuses in Semel's words refuses in those of the preset.
func TestRefuseUnderAPreset(t *testing.T) {
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	must(err)
	defer func() { _ = engine.Close(t.Context()) }()
	for preset, want := range map[semelhttp.Preset]string{semelhttp.Adyen: "", semelhttp.OASISRepeatable: ""} {
		mw, err := semelhttp.New(engine, semelhttp.Global(), semelhttp.Config{Preset: preset})
		must(err)
		h := mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mw.Refuse(w, r, semelhttp.ProblemUpstreamUnreachable, 0)
		}))
		q := httptest.NewRequestWithContext(t.Context(), "POST", "/", nil)
		q.Header.Set("Idempotency-Key", "k")
		q.Header.Set("Repeatability-Request-ID", "k")
		q.Header.Set("Repeatability-First-Sent", time.Now().UTC().Format(http.TimeFormat))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, q)
		if got := w.Header().Get("Idempotency-Key") + w.Header().Get("Repeatability-Result"); w.Code != 502 || got != want {
			t.Errorf("%v: got %d %v", preset, w.Code, w.Header())
		}
	}
}

// PayPal repeats 201 as 200, and nothing else, also in a transaction. The bytes and the
// other fields are the first answer's.
func TestPayPalRepeats201As200(t *testing.T) {
	for status, want := range map[int]int{200: 200, 201: 200, 202: 202, 204: 204, 422: 422} {
		for _, inTx := range []bool{false, true} {
			var store semel.Store = memstore.New(memstore.Config{})
			cfg := semelhttp.Config{Preset: semelhttp.PayPal}
			if inTx {
				db := newTxStore()
				store, cfg.Tx = db, transactions{db, semel.ClaimTx}
			}
			send := guard(t, cfg, store, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "/orders/1")
				w.WriteHeader(status)
			})
			first, again := send("k", "x"), send("k", "x")
			if first.Code != status || again.Code != want || again.Header().Get("Location") != "/orders/1" || again.Body.String() != first.Body.String() {
				t.Errorf("in a transaction %v: got %d, then %d %v, want %d, then %d", inTx, first.Code, again.Code, again.Header(), status, want)
			}
			if again.Header().Get("Idempotent-Replayed") != "" {
				t.Error("PayPal marks no replay")
			}
		}
	}
}

// guard returns what sends requests with a key to a guarded handler.
func guard(t *testing.T, cfg semelhttp.Config, store semel.Store, h http.HandlerFunc) func(key, body string) *httptest.ResponseRecorder {
	t.Helper()
	engine, err := semel.New(store, semel.Config{Margin: -1})
	must(err)
	t.Cleanup(func() { _ = engine.Close(context.WithoutCancel(t.Context())) })
	mw, err := semelhttp.New(engine, semelhttp.Global(), cfg)
	must(err)
	guarded, name, sent := mw.Wrap(h), cfg.WithPreset().Headers[0], time.Now().UTC().Format(http.TimeFormat)
	return func(key, body string) *httptest.ResponseRecorder {
		q := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
		if key != "" {
			q.Header.Set(name, key)
		}
		if name == "Repeatability-Request-Id" {
			q.Header.Set("Repeatability-First-Sent", sent)
		}
		w := httptest.NewRecorder()
		guarded.ServeHTTP(w, q)
		return w
	}
}
