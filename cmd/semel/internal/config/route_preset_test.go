package config

import (
	"slices"
	"testing"
	"time"

	"github.com/semel-go/semel/semelhttp"
)

// A preset of a route brings all that belongs to it; what the route or the whole sets wins.
func TestRoutePreset(t *testing.T) {
	const day = 24 * time.Hour
	head := "store: memory\n"
	for name, c := range map[string]struct {
		file      string
		header    string
		maxKey    int
		methods   []string
		retention time.Duration
	}{
		"all that belongs to it":    {"routes:\n  - match: /a\n    preset: paypal\n", "Paypal-Request-Id", 108, []string{"POST"}, 45 * day},
		"the whole sets another":    {"key_header: X-Key\nmax_key: 30\nmethods: PUT\nretention: 2d\nroutes:\n  - match: /a\n    preset: paypal\n", "X-Key", 30, []string{"PUT"}, 2 * day},
		"the route sets another":    {"routes:\n  - match: /a\n    preset: paypal\n    key_header: X-Key\n    max_key: 30\n    methods: [PUT]\n    retention: 2d\n", "X-Key", 30, []string{"PUT"}, 2 * day},
		"the whole's preset is not": {"preset: paypal\nroutes:\n  - match: /a\n    preset: ietf\n", "Idempotency-Key", 255, semelhttp.DefaultMethods(), day},
		"one that has fewer":        {"preset: adyen\nroutes:\n  - match: /a\n    preset: openbanking-uk\n", "X-Idempotency-Key", 40, []string{"POST"}, day},
		"what is set beside it":     {"preset: paypal\nkey_header: X-Key\nmax_key: 30\nmethods: PUT\nretention: 2d\nroutes:\n  - match: /a\n", "X-Key", 30, []string{"PUT"}, 2 * day},
		"none of its own":           {"preset: adyen\nroutes:\n  - match: /a\n", "Idempotency-Key", 64, []string{"POST"}, 7 * day},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := mustLoad(t, head+c.file)
			h := semelhttp.Config{Headers: cfg.KeyHeaders, MaxKey: cfg.MaxKey, Methods: cfg.Methods, Retention: cfg.Retention}
			cfg.Routes[0].Change(&h)
			if !slices.Equal(h.Headers, []string{c.header}) || h.MaxKey != c.maxKey || !slices.Equal(h.Methods, c.methods) || h.Retention != c.retention {
				t.Errorf("got %v, %d, %v, %v, want %s, %d, %v, %v", h.Headers, h.MaxKey, h.Methods, h.Retention, c.header, c.maxKey, c.methods, c.retention)
			}
			if got := cfg.RetentionOf("/a"); got != c.retention {
				t.Errorf("operators are told %v, want %v", got, c.retention)
			}
		})
	}
}

// What a preset has as a text reads as the same: every preset, every setting.
func TestPresetTexts(t *testing.T) {
	for _, p := range semelhttp.Presets() {
		full := semelhttp.Config{Preset: p}.WithPreset()
		if full.Retention == 0 {
			full.Retention = 24 * time.Hour
		}
		cfg := mustLoad(t, "store: memory\npreset: "+p.String()+"\n")
		if !slices.Equal(cfg.KeyHeaders, full.Headers) || cfg.MaxKey != full.MaxKey || !slices.Equal(cfg.Methods, full.Methods) || cfg.Retention != full.Retention {
			t.Errorf("%v: got %v, %d, %v, %v, want %v, %d, %v, %v", p, cfg.KeyHeaders, cfg.MaxKey, cfg.Methods, cfg.Retention,
				full.Headers, full.MaxKey, full.Methods, full.Retention)
		}
	}
}
