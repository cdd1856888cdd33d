package sdk

import "testing"

// Why there is a preset stripe: without Stripe's envelope one of its SDKs repeats what is
// final, and the other takes the refusal for a success. If this fails, the SDKs have learned
// it, and docs/integrations.md and docs/presets.md are to be changed.
func TestWithoutStripesEnvelope(t *testing.T) {
	for name, want := range map[string]struct {
		failed   bool
		requests int64
	}{"stripe-go": {true, 3}, "stripe": {false, 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it mostly waits
			s := sdks[name]
			s.preset = "ietf"
			r := newRig(t, s, "memory:")
			r.wantPaid(t, "order-1", 2000)
			before := r.way.requests.Load()
			got := r.pay("order-1", 2001)
			if sent := r.way.requests.Load() - before; (got.Failed != "") != want.failed || sent != want.requests {
				t.Errorf("a conflict in problem details: got %+v after %d requests, want a failure: %v, after %d", got, sent, want.failed, want.requests)
			}
			r.wantUpstream(t, 1)
		})
	}
}
