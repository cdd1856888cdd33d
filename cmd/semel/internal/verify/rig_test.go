package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

const (
	fast = 20 * time.Millisecond // the pace of tests
	slow = 25 * fast             // a slow payment
)

// bank is what is guarded: payments that can be told apart, counted, declined, busy and slow.
type bank struct {
	payments atomic.Int64
	busy     atomic.Bool   // said "try again" already
	alike    bool          // every answer is the same
	slow     time.Duration // of a slow payment; 0 for the usual
	header   http.Header   // of each answer, beside its own
}

func (b *bank) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	maps.Copy(w.Header(), b.header)
	if r.Method != http.MethodPost {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"payments": %d}`, b.payments.Load())
		return
	}
	body, err := io.ReadAll(r.Body)
	var order struct{ Kind string }
	if err != nil || len(body) > 0 && json.Unmarshal(body, &order) != nil {
		http.Error(w, "not an order", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	switch order.Kind {
	case "declined":
		w.WriteHeader(http.StatusPaymentRequired)
		_, _ = fmt.Fprintf(w, `{"declined": %q}`, newKey())
		return
	case "busy":
		if b.busy.CompareAndSwap(false, true) {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"busy": true}`)
			return
		}
	case "slow":
		time.Sleep(or(b.slow, slow))
	}
	n := b.payments.Add(1)
	if b.alike {
		w.WriteHeader(http.StatusCreated)
		return
	}
	w.Header().Set("Location", fmt.Sprintf("/payments/%d", n))
	w.Header().Set("Etag", fmt.Sprintf(`"%d"`, n))
	w.WriteHeader(http.StatusCreated)
	_, _ = fmt.Fprintf(w, `{"id": %d}`, n)
}

// guard is the middleware of this repository around h.
func guard(t *testing.T, h http.Handler, cfg semelhttp.Config) http.Handler {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close(t.Context()) })
	cfg.Logger = quiet
	mw, err := semelhttp.New(engine, semelhttp.ByHeader("Authorization"), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return mw.Wrap(h)
}

// serve serves payments as h does, and the number of them at /stats.
func serve(t *testing.T, b *bank, h http.Handler) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/", h)
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"payments": %d}`, b.payments.Load())
	})
	server := httptest.NewUnstartedServer(mux)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.Start()
	t.Cleanup(server.Close)
	return server
}

const secret = "Bearer alice-s3cret"

// targetOf is all that a target can have.
func targetOf(t *testing.T, server *httptest.Server) Target {
	t.Helper()
	at, err := url.Parse(server.URL + "/payments")
	if err != nil {
		t.Fatal(err)
	}
	count, err := ParseCounter(server.URL + "/stats#/payments")
	if err != nil {
		t.Fatal(err)
	}
	other := *at
	other.Path = "/refunds"
	return Target{
		URL: at, Method: http.MethodPost, OtherURL: &other, Effects: count,
		Header: http.Header{"Authorization": {secret}, "Content-Type": {"application/json"}},
		Other:  http.Header{"Authorization": {"Bearer bob-s3cret"}},
		Body:   `{"amount": 100}`, Declined: `{"kind": "declined"}`, Transient: `{"kind": "busy"}`, SlowBody: `{"kind": "slow", "amount": 1}`,
	}
}

// quick makes a run short.
func quick(profile string) Config {
	p, err := ProfileOf(profile)
	if err != nil {
		panic(err)
	}
	return Config{Profile: p, Pace: fast, RequestTimeout: 2 * time.Second, MaxRequests: 400, Timeout: 30 * time.Second}
}

func mustRun(t *testing.T, target Target, cfg Config) *Report {
	t.Helper()
	report, err := Run(t.Context(), target, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !report.Complete {
		t.Error("not every rule was tried")
	}
	return report
}

// having are the rules with a status.
func having(r *Report, s Status) []string {
	var ids []string
	for _, res := range r.Results {
		if res.Status == s {
			ids = append(ids, res.Rule.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

func tell(t *testing.T, r *Report) {
	t.Helper()
	var b bytes.Buffer
	_ = r.WriteTable(&b, nil)
	t.Log("\n" + strings.TrimSpace(b.String()))
}

func mustURL(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil {
		panic(err)
	}
	return u
}
