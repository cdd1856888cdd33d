package semelhttp

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/problem"
	"github.com/semel-go/semel/store/memstore"
)

// what a Middleware goes by, column by column. Funcs are told apart by what they do.
type effective struct {
	header    string
	maxKey    int
	method    string
	retention time.Duration
	settle    semel.Disposition // of a 402
	status    int               // of a conflict
}

func effectOf(m *Middleware) effective {
	w := &statusOnly{h: make(http.Header)}
	m.cfg.Render(w, httptest.NewRequest(http.MethodPost, "/", nil), ProblemKeyConflict.Details())
	return effective{m.cfg.Headers[0], m.cfg.MaxKey, m.cfg.Methods[0], m.cfg.Retention, m.cfg.Settle(402, nil), w.status}
}

type statusOnly struct {
	h      http.Header
	status int
}

func (s *statusOnly) Header() http.Header         { return s.h }
func (s *statusOnly) Write(p []byte) (int, error) { return len(p), nil }
func (s *statusOnly) WriteHeader(status int)      { s.status = status }

// TestPresetColumns checks every column four ways: a preset fills in what is not set; what
// is set wins; a route with another preset gets that one's; and what is set, by the route
// or around it, wins there too, also where it is the default of the preset before.
func TestPresetColumns(t *testing.T) {
	const day = 24 * time.Hour
	ietf := effective{"Idempotency-Key", 255, "POST", 0, semel.Keep, 422}
	v2 := effective{"Idempotency-Key", 255, "POST", 30 * day, semel.Free, 400}
	paypal := effective{"Paypal-Request-Id", 108, "POST", 45 * day, semel.Keep, 422}
	for name, c := range map[string]struct {
		preset Preset
		want   effective
	}{
		"ietf":             {IETF, ietf},
		"stripe":           {Stripe, effective{"Idempotency-Key", 255, "POST", 0, semel.Keep, 400}},
		"success-only":     {SuccessOnly, effective{"Idempotency-Key", 255, "POST", 0, semel.Free, 422}},
		"freeze-all":       {FreezeAll, ietf},
		"stripe-v2":        {StripeV2, v2},
		"adyen":            {Adyen, effective{"Idempotency-Key", 64, "POST", 7 * day, semel.Keep, 422}},
		"paypal":           {PayPal, paypal},
		"openbanking-uk":   {OpenBankingUK, effective{"X-Idempotency-Key", 40, "POST", 0, semel.Keep, 400}},
		"connect":          {Connect, effective{"Idempotency-Key", 255, "POST", 0, semel.Keep, 400}},
		"grpc":             {GRPC, ietf},
		"oasis-repeatable": {OASISRepeatable, effective{"Repeatability-Request-Id", 255, "POST", day, semel.Keep, 400}},
	} {
		if got := effectOf(withConfig(t, Config{Preset: c.preset})); got != c.want || c.preset.String() != name {
			t.Errorf("%v: got %+v, want %+v", c.preset, got, c.want)
		}
	}

	mine := effective{"X-Key", 30, "PUT", time.Hour, semel.Unknown, 418}
	set := map[string]struct {
		change func(*Config)
		only   func(*effective, effective)
	}{
		"Headers":   {func(c *Config) { c.Headers = []string{"x-key"} }, func(e *effective, m effective) { e.header = m.header }},
		"MaxKey":    {func(c *Config) { c.MaxKey = 30 }, func(e *effective, m effective) { e.maxKey = m.maxKey }},
		"Methods":   {func(c *Config) { c.Methods = []string{"PUT"} }, func(e *effective, m effective) { e.method = m.method }},
		"Retention": {func(c *Config) { c.Retention = time.Hour }, func(e *effective, m effective) { e.retention = m.retention }},
		"Settle": {
			func(c *Config) {
				c.Settle = func(int, http.Header) semel.Disposition { return semel.Unknown }
			},
			func(e *effective, m effective) { e.settle = m.settle },
		},
		"Render": {
			func(c *Config) {
				c.Render = func(w http.ResponseWriter, _ *http.Request, _ problem.Details) { w.WriteHeader(418) }
			},
			func(e *effective, m effective) { e.status = m.status },
		},
	}
	for name, column := range set {
		t.Run(name, func(t *testing.T) {
			want := paypal
			column.only(&want, mine)
			cfg := Config{Preset: PayPal}
			column.change(&cfg)
			if got := effectOf(withConfig(t, cfg)); got != want {
				t.Errorf("set beside the preset: got %+v, want %+v", got, want)
			}
			around := Config{}
			column.change(&around)
			if got := effectOf(route(t, around, func(c *Config) { c.Preset = PayPal })); got != want {
				t.Errorf("set around a route with the preset: got %+v, want %+v", got, want)
			}
			if got := effectOf(route(t, Config{Preset: Adyen}, func(c *Config) { c.Preset = PayPal; column.change(c) })); got != want {
				t.Errorf("set by a route with the preset: got %+v, want %+v", got, want)
			}
			if got := effectOf(route(t, Config{Preset: PayPal}, column.change)); got != want {
				t.Errorf("set by a route without a preset of its own: got %+v, want %+v", got, want)
			}
		})
	}
	if got := effectOf(route(t, Config{Preset: PayPal}, func(c *Config) { c.Preset = StripeV2 })); got != v2 {
		t.Errorf("a route with another preset: got %+v, want %+v", got, v2)
	}
	if got := effectOf(route(t, Config{Preset: PayPal}, func(*Config) {})); got != paypal {
		t.Errorf("a route that changes nothing: got %+v, want %+v", got, paypal)
	}
	before := effective{"Idempotency-Key", 255, "POST", 45 * day, semel.Keep, 422}
	same := func(c *Config) {
		c.Preset, c.Headers, c.MaxKey, c.Methods = PayPal, []string{DefaultHeader}, semel.MaxKeyLen, DefaultMethods()
	}
	if got := effectOf(route(t, Config{}, same)); got != before {
		t.Errorf("set to what it was before: got %+v, want %+v", got, before)
	}
}

// The config that With hands out is nobody else's.
func TestWithSharesNothing(t *testing.T) {
	m := withConfig(t, Config{Preset: PayPal})
	if _, err := m.With(func(c *Config) {
		*c = c.WithPreset()
		c.Headers[0], c.Methods[0] = "X", "PUT"
	}); err != nil {
		t.Fatal(err)
	}
	full := Config{Preset: PayPal}.WithPreset()
	if !slices.Equal(full.Headers, m.cfg.Headers) || !slices.Equal(full.Methods, []string{"POST"}) {
		t.Errorf("got %v, %v, %v", m.cfg.Headers, full.Headers, full.Methods)
	}
}

func withConfig(t *testing.T, cfg Config) *Middleware {
	t.Helper()
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close(t.Context()) })
	m, err := New(engine, Global(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func route(t *testing.T, around Config, change func(*Config)) *Middleware {
	t.Helper()
	m, err := withConfig(t, around).With(change)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
