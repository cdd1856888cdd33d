package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

func TestParseRecoverURL(t *testing.T) {
	for _, text := range []string{
		"http://127.0.0.1:3000/operations/{key}", "https://api.example/{key}/state?of={key}", "h2c://[::1]:1", "http://h?key={key}",
	} {
		if got, err := parseRecoverURL(text); err != nil || got != text {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                         "is not a URL that begins with",
		"/operations/{key}":        "is not a URL that begins with",
		"127.0.0.1:3000/ops/{key}": `did you mean "http://127.0.0.1:3000/ops/{key}"?`,
		"localhost:3000":           `did you mean "http://localhost:3000"?`,
		"ftp://h/{key}":            "is not a URL that begins with",
		"http:///{key}":            "names no host",
		"http://h/{KEY}":           "unknown placeholder {KEY}: there is only {key}",
		"http://h/{}":              "unknown placeholder {}",
		"http://{key}.example/":    "has its {key} in the host",
		"http://h:{key}/":          "has its {key} in the host",
		"http://h/#{key}":          "has a fragment",
		"http://u:hunter2@h/":      "has a user or password",
		"http://u:hunter2@h/%zz":   "not a URL: invalid URL escape",
		"http://h:0/{key}":         "no port from 1 to 65535",
		"http://h:70000/x":         "no port from 1 to 65535",
		"http://h/?of={key} x":     "needs as % and two digits",
		"http://h/é":               "needs as % and two digits",
		"{key}://h/":               "not a URL",
		"http://h/{key}\r\nX: y":   "not a URL",
		"http://u:hunter2@:80/ab":  "has a user or password",
	} {
		got, err := parseRecoverURL(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %q, %v, want an error with %q", text, got, err, want)
		}
	}
}

// Whoever recovers says whom to ask, and who is to be asked is asked: in the
// routes, too, which may have an address of their own or share one.
func TestRecoverNeedsURL(t *testing.T) {
	const asked = "recover_url: http://h/{key}\n"
	for _, row := range []struct{ text, want string }{
		{"", ""},
		{"lapsed: recover\n" + asked, ""},
		{"lapsed: recover\n", "semel.yaml:2: lapsed: recover needs a recover_url to ask"},
		{asked, "semel.yaml:2: recover_url: nobody asks it: it needs lapsed to be recover"},
		{"lapsed: rerun\n" + asked, "semel.yaml:3: recover_url: nobody asks it"},

		{asked + "routes:\n  - match: /a\n    lapsed: recover\n", ""},
		{"lapsed: recover\n" + asked + "routes:\n  - match: /a\n    lapsed: hold\n", ""},
		{"lapsed: recover\n" + asked + "routes:\n  - match: /a\n    recover_url: http://other\n", ""},
		{"lapsed: recover\n" + asked + "routes:\n  - match: /a\n    bypass: true\n", ""},
		{"routes:\n  - match: /a\n    lapsed: recover\n    " + asked, ""},
		{"routes:\n  - match: /a\n    lapsed: recover\n", "semel.yaml:3: lapsed: recover needs a recover_url to ask"},
		{"routes:\n  - match: /a\n    " + asked, "semel.yaml:3: recover_url: nobody asks it"},
		{"lapsed: recover\n" + asked + "routes:\n  - match: /a\n    lapsed: hold\n    " + asked, "semel.yaml:5: recover_url: nobody asks it"},
		{asked + "routes:\n  - match: /a\n    lapsed: recover\n    " + asked, "semel.yaml:2: recover_url: nobody asks it"},
		{asked + "routes:\n  - match: /a\n    bypass: true\n", "semel.yaml:2: recover_url: nobody asks it"},
		{"lapsed: recover\nroutes:\n  - match: /a\n    preset: stripe\n", "semel.yaml:2: lapsed: recover needs a recover_url to ask"},

		{"lapsed: recover\nlease: 5s\n" + asked, "the default: recover_timeout: 5s is not less than the lease of 5s from"},
		{"lapsed: recover\nlease: 5s\nrecover_timeout: 4s\n" + asked, ""},
		{"lapsed: recover\n" + asked + "routes:\n- match: /a\n  lease: 3s\n", "the default: recover_timeout: 5s is not less than the lease of 3s from"},
		{"lease: 5s\n", ""},

		{"lapsed: recover\nsweep: 1m\n" + asked + "routes:\n  - match: /a\n    preset: stripe\n  - match: /b\n    bypass: true\n", ""},
		{"sweep: 1m\n", "semel.yaml:2: sweep: it asks recover_url, so it needs lapsed to be recover"},
		{"lapsed: recover\nsweep: 1m\n", "semel.yaml:2: lapsed: recover needs a recover_url to ask"},
		{"lapsed: recover\nsweep: 1m\n" + asked + "routes:\n  - match: /a\n    " + asked, ""},
		{"lapsed: recover\nsweep: 1m\n" + asked + "routes:\n  - match: /a\n    lapsed: hold\n", ""},
		{"lapsed: recover\nsweep: 1m\n" + asked + "routes:\n  - match: /a\n    recover_url: http://other\n", ""},
		{"sweep: 1m\nroutes:\n  - match: /a\n    lapsed: recover\n    recover_url: http://other\n", ""},

		{"lapsed: recover\nrecover_url: http://localhost:8080/{key}\n", "semel.yaml:3: recover_url: it leads to the address of listen from the default: the proxy would ask itself"},
		{"lapsed: recover\nadmin: :9\nrecover_url: http://127.0.0.1:9\n", "semel.yaml:4: recover_url: it leads to the address of admin from"},
		{"routes:\n  - match: /a\n    lapsed: recover\n    recover_url: http://127.0.0.1:8080\n", "semel.yaml:3: recover_url: it leads to the address of listen"},
	} {
		cfg, _, err := Load(Input{Path: writeFile(t, "upstream: http://127.0.0.1:3000\n"+row.text)})
		if err != nil {
			t.Fatalf("%s: %v", row.text, err)
		}
		got := fmt.Sprint(cfg.CheckProxy())
		if row.want == "" && got != "<nil>" || !strings.Contains(got, row.want) || strings.Contains(got, "\n") {
			t.Errorf("%s\ngot  %s\nwant %s", row.text, got, row.want)
		}
	}
}

// The hints hang on these.
func TestRecoveryErrorsCanBeTold(t *testing.T) {
	for _, row := range []struct {
		flags map[string][]string
		want  error
	}{
		{map[string][]string{"lapsed": {"recover"}}, ErrNoRecoverURL},
		{map[string][]string{"recover_url": {"http://h"}}, ErrNotRecover},
		{map[string][]string{"sweep": {"1m"}}, ErrNoSweep},
		{map[string][]string{"lapsed": {"recover"}, "recover_url": {"http://127.0.0.1:8080"}}, ErrAsksItself},
	} {
		row.flags["upstream"] = []string{"http://127.0.0.1:1"}
		cfg, _, err := Load(Input{Flags: row.flags})
		if err != nil {
			t.Fatal(err)
		}
		if err := cfg.CheckProxy(); !errors.Is(err, row.want) {
			t.Errorf("got %v, want %v", err, row.want)
		}
	}
}

func TestParseSweep(t *testing.T) {
	for text, want := range map[string]time.Duration{"off": 0, "1s": time.Second, "1d": 24 * time.Hour} {
		if got, err := parseSweep(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "on", "0s", "999ms", "-1s"} {
		if got, err := parseSweep(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestRouteRecovers(t *testing.T) {
	cfg, _, err := Load(Input{Path: writeFile(t, `
upstream: http://127.0.0.1:3000
routes:
  - match: /pay
    lapsed: recover
    recover_url: http://127.0.0.1:3000/payments?key={key}
`)})
	if err != nil {
		t.Fatal(err)
	}
	route := cfg.Routes[0]
	var h semelhttp.Config
	route.Change(&h)
	if route.RecoverURL != "http://127.0.0.1:3000/payments?key={key}" || h.Lapsed != semel.Recover || cfg.RecoverURL != "" {
		t.Errorf("got %q, %v, and %q for all", route.RecoverURL, h.Lapsed, cfg.RecoverURL)
	}
}
