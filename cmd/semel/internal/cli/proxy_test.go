package cli

import (
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/cmd/semel/internal/config"
	"github.com/semel-go/semel/cmd/semel/internal/proxy"
	"github.com/semel-go/semel/cmd/semel/internal/stores"
)

// perRoute has a value that is not the default for every setting that a route may have.
var perRoute = map[string]string{
	"upstream": "http://127.0.0.1:2", "scope": "header:X-Tenant", "preset": "stripe", "settle": "404=release", "lapsed": "rerun",
	"recover_url": "http://127.0.0.1:1/ask", "key_header": "X-Request-Id", "max_key": "99", "key_query": "key", "key_member": "/key", "optional": "true",
	"fail_open": "true", "shadow": "true", "methods": "PUT", "max_body": "2KiB", "max_response": "3KiB",
	"lease": "7s", "max_run": "6m", "retention": "25h", "wait": "8s",
}

// TestWholeAsRoute: what a route may have does the same when it is set for the whole.
func TestWholeAsRoute(t *testing.T) {
	before := effectOf(t, loaded(t, "match: /x"))
	for _, s := range config.Settings() {
		value, known := perRoute[s.Name]
		if !s.PerRoute() {
			continue
		}
		if !known {
			t.Errorf("%s: a route may have it: give the test a value", s.Name)
			continue
		}
		route := effectOf(t, loaded(t, "match: /x\n    "+s.Name+": "+value))
		whole := effectOf(t, loaded(t, "match: /x", "--"+s.Flag(), value))
		none := effectOf(t, loaded(t, "", "--"+s.Flag(), value))
		if route == before {
			t.Errorf("%s of a route has no effect", s.Name)
		}
		if whole != route {
			t.Errorf("%s for the whole, seen from a route:\ngot  %s\nwant %s", s.Name, whole, route)
		}
		if none != route {
			t.Errorf("%s for the whole:\ngot  %s\nwant %s", s.Name, none, route)
		}
	}
}

// loaded gathers settings from a file with at most one route, and from flags.
func loaded(t *testing.T, route string, flags ...string) config.Config {
	t.Helper()
	in := config.Input{Path: filepath.Join(t.TempDir(), "semel.yaml"), Flags: map[string][]string{"upstream": {"http://127.0.0.1:1"}}}
	text := ""
	if route != "" {
		text = "routes:\n  - " + route + "\n"
	}
	if err := os.WriteFile(in.Path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(flags); i += 2 {
		for _, s := range config.Settings() {
			if "--"+s.Flag() == flags[i] {
				in.Flags[s.Name] = flags[i+1 : i+2]
			}
		}
	}
	cfg, _, err := config.Load(in)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// effectOf tells what the request of a route meets, or of the whole when there is none.
func effectOf(t *testing.T, cfg config.Config) string {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	p, err := proxyConfig(cfg, &stores.Opened{}, proxy.NewMetrics(""), log)
	if err != nil {
		t.Fatal(err)
	}
	h, upstream, scope, recoverURL, failOpen, shadow := p.HTTP, p.Upstream, cfg.Scope.Func(), p.RecoverURL, p.FailOpen, p.Shadow
	for _, r := range p.Routes {
		r.Change(&h)
		if r.Upstream != nil {
			upstream = r.Upstream
		}
		if r.Scope != nil {
			scope = r.Scope
		}
		if r.RecoverURL != "" {
			recoverURL = r.RecoverURL
		}
		if r.FailOpen != nil {
			failOpen = *r.FailOpen
		}
		if r.Shadow != nil {
			shadow = *r.Shadow
		}
	}
	if h.Lease == 0 {
		h.Lease = serving(semel.Config{}, cfg).Lease
	}
	settle := h.Settle
	if settle == nil {
		settle = h.Preset.Settle()
	}
	req := httptest.NewRequestWithContext(t.Context(), "POST", "/x", nil)
	req.Header.Set("Authorization", "alice")
	req.Header.Set("X-Tenant", "acme")
	who, err := scope(req)
	h.Settle = nil
	return fmt.Sprintf("%+v %v %v %v %v %v %v %v", h, settle(404, nil), upstream, who, err, recoverURL, failOpen, shadow)
}
