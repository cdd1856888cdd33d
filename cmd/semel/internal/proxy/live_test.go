package proxy

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
	"github.com/semel-go/semel/store/storetest"
)

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, text) }
}

func parsed(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// A reload changes where the next request goes and how it is judged, while those under way
// end as they began; none fails, and a key means what it meant.
func TestReloadDropsNothing(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			began, finish := make(chan struct{}), make(chan struct{})
			old, _ := testUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/slow" {
					close(began)
					<-finish
				}
				_, _ = fmt.Fprint(w, "old")
			})
			next, _ := testUpstream(t, says("new"))
			to := func(addr string) *url.URL { return parsed(t, strings.Replace(addr, "http", scheme, 1)) }
			c := newSidecar(t, to(old).String(), nil)

			slow := make(chan answer, 1)
			go func() { slow <- c.send(t, "POST", "/slow", "slow", "") }()
			<-began
			var failed atomic.Int64
			stop := make(chan struct{})
			var traffic sync.WaitGroup
			for i := range 4 {
				traffic.Go(func() {
					for n := 0; ; n++ {
						select {
						case <-stop:
							return
						default:
						}
						if a, err := c.try(t, "POST", "/", fmt.Sprint(i, "-", n), ""); err != nil || a.StatusCode != 200 {
							failed.Add(1)
						}
					}
				})
			}
			cfg := c.cfg
			for range 20 {
				for _, addr := range []string{old, next} {
					cfg.Upstream = to(addr)
					if err := c.server.Reload(semelhttp.Global(), cfg); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(time.Millisecond)
			}
			close(stop)
			traffic.Wait()
			if n := failed.Load(); n > 0 {
				t.Errorf("%d requests failed\n%s", n, c.logs)
			}
			if a := c.send(t, "POST", "/", "after", ""); a.body != "new" {
				t.Errorf("got %q after the reload", a.body)
			}
			close(finish)
			if a := <-slow; a.body != "old" {
				t.Errorf("the request from before got %q", a.body)
			}
			if a := c.send(t, "POST", "/slow", "slow", ""); a.body != "old" || !a.replayed() {
				t.Errorf("got %q, replayed %v, want what was kept before the reload", a.body, a.replayed())
			}
			users := 0
			c.server.mu.Lock()
			users = c.server.live.users
			c.server.mu.Unlock()
			if users != 0 {
				t.Errorf("%d requests have not left", users)
			}
		})
	}
}

// What cannot change, or is wrong, changes nothing.
func TestReloadRefuses(t *testing.T) {
	up, _ := testUpstream(t, says("old"))
	c := newSidecar(t, up, nil)
	other, _ := testUpstream(t, says("new"))
	for name, change := range map[string]func(*Config){
		"Listen":      func(cfg *Config) { cfg.Listen = "127.0.0.1:1" },
		"Admin":       func(cfg *Config) { cfg.Admin = "" },
		"TLS":         func(cfg *Config) { cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12} },
		"ReadTimeout": func(cfg *Config) { cfg.ReadTimeout = time.Hour },
		"Sweep":       func(cfg *Config) { cfg.Sweep = time.Hour },
		"Purging":     func(cfg *Config) { cfg.Purging.Batch = 17 },
		"upstream":    func(cfg *Config) { cfg.Upstream = parsed(t, "ftp://a") },
		"route":       func(cfg *Config) { cfg.Routes = []Route{{Pattern: "/{"}} },
		"field":       func(cfg *Config) { cfg.HTTP.Headers = []string{"Host"} },
	} {
		cfg := c.cfg
		cfg.Upstream = parsed(t, other)
		change(&cfg)
		if err := c.server.Reload(semelhttp.Global(), cfg); err == nil {
			t.Errorf("%s: the reload is accepted", name)
		}
		if a := c.send(t, "POST", "/", name, ""); a.body != "old" {
			t.Errorf("%s: got %q after a reload that was refused", name, a.body)
		}
	}
}

// A route may go elsewhere, know its callers in another way, and find its key in another
// place.
func TestRouteOfItsOwn(t *testing.T) {
	up, _ := testUpstream(t, says("common"))
	own, hits := testUpstream(t, says("own"))
	c := newSidecar(t, up, func(s *setup) {
		s.Routes = []Route{
			{
				Pattern: "POST /pay", Upstream: parsed(t, own), Scope: semelhttp.ByHeader("X-Tenant"),
				Change: func(h *semelhttp.Config) { h.KeyMember = "/id" },
			},
			{Pattern: "/open", Upstream: parsed(t, own), Bypass: true},
			{Pattern: "/same", Upstream: parsed(t, own)},
		}
	})
	json := []string{"Content-Type", "application/json", "X-Tenant"}
	for i, want := range []struct {
		tenant   string
		hits     int64
		replayed bool
	}{{"a", 1, false}, {"a", 1, true}, {"b", 2, false}} {
		a := c.send(t, "POST", "/pay", "", `{"id":"k"}`, append(json, want.tenant)...)
		if a.body != "own" || hits.Load() != want.hits || a.replayed() != want.replayed {
			t.Errorf("%d: got %q, %d requests, replayed %v", i, a.body, hits.Load(), a.replayed())
		}
	}
	want(t, c.send(t, "POST", "/pay", "", `{"id":"k"}`, "Content-Type", "application/json"), 400, "scope_missing")
	for path, body := range map[string]string{"/open": "own", "/same": "own", "/else": "common"} {
		if a := c.send(t, "POST", path, "k"+path, ""); a.body != body {
			t.Errorf("%s: got %q, want %q", path, a.body, body)
		}
	}
	if n := len(c.server.current().ways); n != 2 {
		t.Errorf("got %d ways upstream, want two", n)
	}
}

// A shadow and a route that fails open say so in the log and the metrics, without the key.
func TestShadowAndFailOpen(t *testing.T) {
	const key = "sk-17954230896110"
	up, hits := testUpstream(t, says("done"))
	var down atomic.Bool
	yes := true
	c := newSidecar(t, up, func(s *setup) {
		s.store = &storetest.Faulty{Store: memstore.New(memstore.Config{}), Before: func(semel.Step) error {
			if down.Load() {
				return fmt.Errorf("down")
			}
			return nil
		}}
		s.Routes = []Route{
			{Pattern: "/shadow", Shadow: &yes},
			{Pattern: "/open", FailOpen: &yes},
		}
	})
	for range 2 {
		want(t, c.send(t, "POST", "/shadow", key, ""), 200, "")
	}
	want(t, c.send(t, "POST", "/shadow", key, "other"), 200, "")
	want(t, c.send(t, "POST", "/shadow", "", ""), 200, "")
	down.Store(true)
	want(t, c.send(t, "POST", "/open", key, ""), 200, "")
	want(t, c.send(t, "POST", "/", key, ""), 503, "store_unavailable")
	if hits.Load() != 5 {
		t.Errorf("got %d requests upstream, want 5", hits.Load())
	}
	text := scrape(t, c.cfg.Metrics)
	for _, line := range []string{
		`semel_shadowed_total{route="/shadow",would="run"} 1`, `semel_shadowed_total{route="/shadow",would="replay"} 1`,
		`semel_shadowed_total{route="/shadow",would="refuse"} 2`, `semel_failed_open_total{route="/open"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("the metrics lack %s", line)
		}
	}
	log := c.logs.String()
	for _, line := range []string{
		`what=replay code="" route=/shadow ref=`, "what=refuse code=idempotency_key_conflict route=/shadow", "what=refuse code=key_missing route=/shadow",
		"runs unguarded because the store failed", `msg="a request is refused" code=store_unavailable status=503 route=""`,
	} {
		if !strings.Contains(log, line) {
			t.Errorf("the log lacks %s:\n%s", line, log)
		}
	}
	if strings.Contains(log, key) {
		t.Error("the key is in the log")
	}
}

// Clients meet TLS and HTTP/2, the sidecar knows them by their certificates, and a reload
// shows another certificate without a restart.
func TestServesTLS(t *testing.T) {
	up, _ := testUpstream(t, says("done"))
	lend := func() (*tls.Config, *http.Client) {
		lender := httptest.NewTLSServer(nil)
		t.Cleanup(lender.Close)
		return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: lender.TLS.Certificates}, lender.Client()
	}
	first, client := lend()
	c := newSidecar(t, up, func(s *setup) { s.TLS = first })
	client.Transport.(*http.Transport).ForceAttemptHTTP2 = true
	at := strings.Replace(c.url, "http:", "https:", 1)
	ask := func(client *http.Client) (status, version int, err error) {
		client.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Idempotency-Key", "k")
		res, err := client.Do(req)
		if err != nil {
			return 0, 0, err
		}
		return res.StatusCode, res.ProtoMajor, res.Body.Close()
	}
	if status, version, err := ask(client); err != nil || status != 200 || version != 2 {
		t.Fatalf("got %d by HTTP/%d, %v", status, version, err)
	}
	plain, err := c.client.Get(c.url)
	if err == nil {
		_ = plain.Body.Close()
		if plain.StatusCode != 400 { // net/http's answer to one who speaks no TLS
			t.Errorf("a client without TLS got %d", plain.StatusCode)
		}
	}
	cfg := c.cfg
	cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: first.Certificates, ClientAuth: tls.RequireAnyClientCert}
	if err := c.server.Reload(semelhttp.ByClientCertificate(), cfg); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ask(client); err == nil {
		t.Error("a client without a certificate is served")
	}
}
