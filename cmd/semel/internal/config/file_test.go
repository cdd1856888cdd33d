package config

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

func sprint(v any) string { return fmt.Sprintf("%+v", v) }

// Whatever the file says wrongly is an error with its line, never ignored.
func TestFileIsStrict(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{"unknown name", "listen: :1\nlese: 3s\n", `2: unknown setting "lese", did you mean "lease"?`},
		{"unknown name, far from all", "zzzzzzzz: 3s\n", `1: unknown setting "zzzzzzzz"`},
		{"name twice", "lease: 3s\nlisten: :1\nlease: 4s\n", "3: lease is set again, after line 1"},
		{"no value", "lease:\n", "1: lease has no value"},
		{"null", "lease: ~\n", "1: lease has no value"},
		{"empty text", "store: ''\n", "1: store: the value is empty"},
		{"list for one", "lease: [1s, 2s]\n", "1: lease: want one value, not a list"},
		{"empty list", "methods: []\n", "1: methods: the list is empty"},
		{"nested list", "methods: [[POST]]\n", "1: methods: want one value"},
		{"mapping for one", "lease: {a: b}\n", "1: lease: want one value"},
		{"no mapping", "- lease\n", "1: want a mapping, as in listen: 127.0.0.1:8080"},
		{"a word", "lease\n", "1: want a mapping, as in listen: 127.0.0.1:8080"},
		{"yes is not true", "optional: yes\n", `1: optional: "yes" is neither true nor false`},
		{"anchor", "lease: &a 3s\n", "1: anchors are not allowed"},
		{"alias", "store: a\nlease: *b\n", "unknown anchor 'b' referenced"},
		{"tag", "lease: !!str 3s\n", "1: tags are not allowed"},
		{"merge", "<<: {lease: 3s}\n", "1: <<: want one value"},
		{"two documents", "lease: 3s\n---\nlease: 4s\n", "2: a second document begins"},
		{"value that ends with a colon", "store: memory:\n", `put a value with a colon at its end into quotes, as in name: "value:"`},
		{"strange method", "methods: [purge]\n", `1: methods: "purge" is not a method: they are written in upper case`},
		{"route with a strange method", "routes:\n  - match: purge /x\n", `2: match: "purge" is not a method`},
		{"broken", "lease: 'x\n", "found unexpected end of stream"},
		{"tab", "lease:\n\t- 3s\n", "found character that cannot start any token"},
		{"name that is a list", "[a]: b\n", "1: a name must be one word"},
		{"routes are no list", "routes: {match: x}\n", "1: routes: want a list of mappings, each with match"},
		{"route is a word", "routes: [x]\n", "1: want a mapping, as in listen: 127.0.0.1:8080"},
		{"route without match", "routes:\n  - lapsed: hold\n", `2: routes: a route needs match`},
		{"route with unknown name", "routes:\n  - match: /\n    laps: hold\n", `3: unknown setting "laps", did you mean "lapsed"?`},
		{"route with a name of the whole", "routes:\n  - match: /\n    margin: 3s\n", "3: margin: a route cannot have its own"},
		{"route with name twice", "routes:\n  - match: /\n    match: /a\n", "3: match is set again, after line 2"},
		{"route with a bad value", "routes:\n  - match: /\n    retention: x\n", `3: retention: "x" is not a duration`},
		{"route with a list", "routes:\n  - match: [/a, /b]\n", "2: match: want one value, not a list"},
		{"route that is bypassed and changed", "routes:\n  - match: /\n    bypass: true\n    preset: stripe\n", "2: bypass: a route that is bypassed has no other settings"},
		{"route with a bad URL", "routes:\n  - match: /\n    recover_url: http://h/{id}\n", `3: recover_url: unknown placeholder {id}`},
		{"route that is bypassed and recovers", "routes:\n  - match: /\n    bypass: true\n    recover_url: http://h\n", "2: bypass: a route that is bypassed has no other settings"},
	} {
		_, _, err := Load(Input{Path: writeFile(t, row.text)})
		if err == nil || !strings.Contains(err.Error(), "semel.yaml:") || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v, want %s", row.name, err, row.want)
		}
	}
}

func TestFileThatIsTooLong(t *testing.T) {
	_, _, err := Load(Input{Path: writeFile(t, strings.Repeat("#\n", maxFile/2+1))})
	if err == nil || !strings.HasSuffix(err.Error(), "semel.yaml: more than 1048576 bytes") {
		t.Errorf("got %v", err)
	}
}

func TestFileWithoutSettings(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "---\n", "{}\n", "~\n"} {
		cfg, _, err := Load(Input{Path: writeFile(t, text)})
		if err != nil || cfg.Lease != semel.DefaultLease {
			t.Errorf("%q: lease %v, %v", text, cfg.Lease, err)
		}
	}
}

func TestRoutes(t *testing.T) {
	cfg, _, err := Load(Input{Path: writeFile(t, `
upstream: http://127.0.0.1:3000
optional: true
methods: [POST, PUT]
routes:
  - match: "POST /v1/payments"
    retention: 3d
    lapsed: rerun
    preset: stripe
    optional: false
    max_run: 1m
    max_body: 2MiB
  - match: /health
    bypass: true
`)})
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.CheckProxy(); err != nil {
		t.Fatal(err)
	}
	if len(cfg.Routes) != 2 {
		t.Fatalf("got %d routes", len(cfg.Routes))
	}
	pay, health := cfg.Routes[0], cfg.Routes[1]
	if pay.Pattern != "POST /v1/payments" || pay.Bypass || health.Pattern != "/health" || !health.Bypass {
		t.Errorf("got %+v and %+v", pay, health)
	}
	got := semelhttp.Config{Optional: true, MaxResponse: 7, Methods: []string{http.MethodPost}}
	pay.Change(&got)
	if got.Retention != 72*time.Hour || got.Lapsed != semel.Rerun || got.Preset != semelhttp.Stripe ||
		got.Optional || got.MaxRun != time.Minute || got.MaxBody != 2<<20 {
		t.Errorf("the route does not change what it says: %+v", got)
	}
	if got.MaxResponse != 7 || len(got.Methods) != 1 {
		t.Errorf("the route changes what it does not say: %+v", got)
	}
}

// What an operator resolves is kept as long as what its route answers.
func TestRetentionOfRoutes(t *testing.T) {
	cfg := mustLoad(t, "store: memory\nretention: 2h\nroutes:\n  - match: /pay\n    retention: 72h\n  - match: /see\n    bypass: true\n")
	for route, want := range map[string]time.Duration{"/pay": 72 * time.Hour, "/see": 2 * time.Hour, "/other": 2 * time.Hour, "": 2 * time.Hour} {
		if got := cfg.RetentionOf(route); got != want {
			t.Errorf("%q: got %v, want %v", route, got, want)
		}
	}
}

// L3: whoever takes scope or key from another place is told that retries run again.
func TestReidentifies(t *testing.T) {
	const head = "store: memory\nroutes:\n"
	for _, c := range []struct{ before, after, want string }{
		{"store: memory\n", "store: memory\nretention: 2h\n", ""},
		{"store: memory\n", "store: memory\nkey_query: k\nscope: header:X-Account\n", "scope,key_query"},
		{head + "  - match: /a\n", head + "  - match: /a\n    retention: 2h\n  - match: /b\n", ""},
		{head + "  - match: /a\n", head + "  - match: /a\n    scope: global\n", "match /a"},
		{head + "  - match: /a\n    bypass: true\n", "store: memory\n", "match /a"},
		{head + "  - match: /a\n    scope: global\n", head + "  - match: /a\n    scope: global\n  - match: /a/b\n", "match /a/b"},
		{"store: memory\n", "store: memory\nshadow: true\n", "shadow"},
		{"store: memory\n", "store: memory\npreset: freeze-all\n", ""},
		{"store: memory\n", "store: memory\npreset: paypal\n", "key_header"},
		{head + "  - match: /a\n", head + "  - match: /a\n    preset: success-only\n", ""},
		{head + "  - match: /a\n", head + "  - match: /a\n    preset: oasis-repeatable\n", "match /a"},
		{head + "  - match: /a\n    preset: paypal\n", head + "  - match: /a\n    preset: paypal\n    retention: 2h\n", ""},
	} {
		before, after := mustLoad(t, c.before), mustLoad(t, c.after)
		if got := strings.Join(before.Reidentifies(after), ","); got != c.want {
			t.Errorf("%q to %q: got %q, want %q", c.before, c.after, got, c.want)
		}
		if got := after.Reidentifies(after); len(got) != 0 {
			t.Errorf("%q: got %q for no change", c.after, got)
		}
	}
}

func mustLoad(t *testing.T, text string) Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "semel.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := Load(Input{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestRoutesThatCannotStandTogether(t *testing.T) {
	const head = "upstream: http://127.0.0.1:3000\nroutes:\n"
	for _, row := range []struct{ text, want string }{
		{"  - match: \"POST\"\n", "semel.yaml:3: match: parsing"},
		{"  - match: /a\n  - match: /a\n", `semel.yaml:4: match: "/a" and "/a" from`},
		{"  - match: /a/{x}/b\n  - match: /a/b/{y}\n", `semel.yaml:3 match the same requests, and neither is the more specific`},
		{"  - match: /a\n    max_run: 2s\n", "semel.yaml:3: max_run: 2s is less than the lease of 30s from the default"},
		{"  - match: /a\n    lease: 6m\n", "semel.yaml:3: max_run: 5m0s is less than the lease of 6m0s from"},
		{"  - match: /a\n    lease: 6m\n    max_run: 6m\n    wait: 5s\n", ""},
		{"  - match: POST v1/payments\n", `semel.yaml:3: match: "POST v1/payments" names the host v1: write /v1/payments for a path; a host has a dot`},
		{"  - match: v1/a/b\n", `"v1/a/b" names the host v1: write /v1/a/b`},
		{"  - match: /v1/mails/*\n", `semel.yaml:3: match: "/v1/mails/*" has a *, which is no wildcard`},
		{"  - match: POST api.example.com/a/{rest...}\n", ""},
		{"  - match: GET localhost/a/\n", ""},
		{"  - match: /a\n    lease: 1ms\n", "semel.yaml:3: lease: 1ms is less than 1s"},
		{"  - match: /a\n    retention: 4m\n", "semel.yaml:3: retention: 4m0s is less than the max_run of 5m0s"},
		{"  - match: /a\n    max_run: 48h\n", "semel.yaml:3: retention: 24h0m0s is less than the max_run of 48h0m0s"},
	} {
		cfg, _, err := Load(Input{Path: writeFile(t, head+row.text)})
		if err != nil {
			t.Fatal(err)
		}
		err = cfg.CheckProxy()
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("got %v, want %s", err, row.want)
		}
		if strings.Contains(fmt.Sprint(err), ".go:") || strings.Contains(fmt.Sprint(err), "\n") {
			t.Errorf("the message has a place in the code, or more than one line: %v", err)
		}
	}
}

// The first route is right by itself: only the second one is told about, once.
func TestRouteConflictIsToldOnce(t *testing.T) {
	cfg, _, err := Load(Input{Path: writeFile(t, "upstream: http://127.0.0.1:3000\nroutes:\n  - match: \"{\"\n  - match: /a\n  - match: post /a\n  - match: POST /a\n")})
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(cfg.CheckProxy())
	if strings.Count(text, "\n") != 1 || !strings.Contains(text, `semel.yaml:3: match: parsing "{"`) ||
		!strings.Contains(text, `semel.yaml:6: match: "POST /a" and "POST /a" from`) {
		t.Errorf("got %s", text)
	}
}

// A file never makes the parser panic, and what it accepts has no name twice.
func FuzzFile(f *testing.F) {
	for _, text := range []string{
		"lease: 3s\n", "methods: [POST]\nroutes:\n  - match: /\n", "a: &x [*x]\n", "---\n...\n---\n", "? [a]\n: b\n",
		"lease: 1s\nlease: 2s\n", "<<: *a\n", "%YAML 1.1\n---\na: b\n", "\xff\xfe", "routes: [{match: /, match: /}]\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := parseFile("f", text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f:") {
				t.Fatalf("an error without the file: %v", err)
			}
			return
		}
		checkUnique(t, file.values)
		for _, r := range file.routes {
			checkUnique(t, r.values)
			_, _ = newRoute("f", r)
		}
	})
}

func checkUnique(t *testing.T, values []rawValue) {
	t.Helper()
	seen := make(map[string]bool)
	for _, v := range values {
		if seen[v.name] || len(v.texts) == 0 || v.line == 0 {
			t.Fatalf("accepted %+v", v)
		}
		seen[v.name] = true
	}
}
