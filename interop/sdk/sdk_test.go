package sdk

import (
	"os"
	"testing"

	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/interop/internal/command"
)

func TestMain(m *testing.M) {
	code := command.Main(m)
	for _, cmd := range shared.cmds {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	servertest.Close()
	os.Exit(code)
}

// sdk is one that is tested, with what it makes of each refusal.
type sdk struct {
	preset   string
	upstream func(*testing.T) string
	client   func(*testing.T, string) client
	// What it reports.
	inFlight, conflict, unknown, unavailable, invalid outcome
	// How many requests it sends while a call runs elsewhere, and while the store is away.
	busy, away int64
}

var sdks = map[string]sdk{
	"stripe-go": {
		preset: "stripe", upstream: stripeMock, client: stripeGo,
		inFlight:    outcome{Failed: "invalid_request_error", Status: 409, Code: "idempotency_key_in_use"},
		conflict:    outcome{Failed: "idempotency_error", Status: 400, Code: "idempotency_key_conflict"},
		unknown:     outcome{Failed: "api_error", Status: 504, Code: "outcome_unknown"},
		unavailable: outcome{Failed: "api_error", Status: 503, Code: "store_unavailable"},
		invalid:     outcome{Failed: "invalid_request_error", Status: 400},
		busy:        1, away: 1,
	},
	"stripe": {
		preset: "stripe", upstream: stripeMock, client: stripeNode,
		inFlight:    outcome{Failed: "StripeAPIError", Status: 409, Code: "idempotency_key_in_use"},
		conflict:    outcome{Failed: "StripeIdempotencyError", Status: 400, Code: "idempotency_key_conflict"},
		unknown:     outcome{Failed: "StripeAPIError", Status: 504, Code: "outcome_unknown"},
		unavailable: outcome{Failed: "StripeAPIError", Status: 503, Code: "store_unavailable"},
		invalid:     outcome{Failed: "StripeInvalidRequestError", Status: 400},
		busy:        3, away: 3,
	},
	"modern-treasury": {
		preset: "ietf", upstream: startTreasury, client: treasuryNode,
		inFlight:    outcome{Failed: "ConflictError", Status: 409, Code: "in_flight"},
		conflict:    outcome{Failed: "UnprocessableEntityError", Status: 422, Code: "idempotency_key_conflict"},
		unknown:     outcome{Failed: "InternalServerError", Status: 504, Code: "outcome_unknown"},
		unavailable: outcome{Failed: "InternalServerError", Status: 503, Code: "store_unavailable"},
		invalid:     outcome{Failed: "UnprocessableEntityError", Status: 422},
		busy:        3, away: 3,
	},
}

// rig is client → way → sidecar → gate → upstream.
type rig struct {
	sdk
	pay       client
	way, gate *relay
}

func newRig(t *testing.T, s sdk, store string) *rig {
	t.Helper()
	r := &rig{sdk: s, gate: newRelay(t, s.upstream(t))}
	addr := command.Proxy(t, r.gate.url, "--preset", s.preset, "--store", store, "--scope", "header:Authorization")
	r.way = newRelay(t, "http://"+addr)
	r.pay = s.client(t, r.way.url)
	return r
}

// each runs a test with every SDK, at once: they mostly wait before they try again.
func each(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	for name, s := range sdks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newRig(t, s, "memory:"))
		})
	}
}

// wantRefused checks what the SDK reports, and how many requests it sent for it.
func (r *rig) wantRefused(t *testing.T, key string, amount int, want outcome, requests int64) outcome {
	t.Helper()
	before := r.way.requests.Load()
	got := r.pay(key, amount)
	if got.ID != "" || got.Failed != want.Failed || got.Status != want.Status || want.Code != "" && got.Code != want.Code {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if sent := r.way.requests.Load() - before; sent != requests {
		t.Errorf("the SDK sent %d requests, want %d", sent, requests)
	}
	return got
}

func (r *rig) wantPaid(t *testing.T, key string, amount int) string {
	t.Helper()
	got := r.pay(key, amount)
	if got.ID == "" || got.Failed != "" {
		t.Errorf("got %+v, want an id", got)
	}
	return got.ID
}

func (r *rig) wantUpstream(t *testing.T, want int64) {
	t.Helper()
	if got := r.gate.requests.Load(); got != want {
		t.Errorf("%d requests came to the upstream, want %d", got, want)
	}
}

// I3: the same key twice is the same payment.
func TestReplay(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		first := r.wantPaid(t, "order-1", 2000)
		if again := r.wantPaid(t, "order-1", 2000); again != first {
			t.Errorf("got %s, then %s", first, again)
		}
		if other := r.wantPaid(t, "order-2", 2000); other == first {
			t.Errorf("another key got the same payment %s", other)
		}
		r.wantUpstream(t, 2)
	})
}

// An answer lost on its way: the SDK tries again by itself, under the key that it was given and
// under its own.
func TestLostAnswer(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		for i, key := range []string{"order-1", ""} {
			before := r.way.requests.Load()
			r.way.lose.Store(1)
			r.wantPaid(t, key, 2000)
			if got := r.way.requests.Load() - before; got != 2 {
				t.Errorf("key %q: %d requests, want 2", key, got)
			}
			r.wantUpstream(t, int64(i)+1)
		}
	})
}

// I1: while a payment is under way a duplicate is refused, comes again for a while, and ends with
// an error of its type. Afterwards the key gives the one payment.
func TestInFlight(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		open := r.gate.shut()
		first := make(chan outcome, 1)
		go func() { first <- r.pay("order-1", 2000) }()
		<-r.gate.arrived
		r.wantRefused(t, "order-1", 2000, r.inFlight, r.busy)
		open()
		paid := <-first
		if again := r.wantPaid(t, "order-1", 2000); again != paid.ID {
			t.Errorf("got %+v, then %s", paid, again)
		}
		r.wantUpstream(t, 1)
	})
}

// I5: another amount under the same key is final at once.
func TestConflict(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.wantPaid(t, "order-1", 2000)
		r.wantRefused(t, "order-1", 2001, r.conflict, 1)
		r.wantUpstream(t, 1)
	})
}

// I2: the upstream has paid and nobody knows it. The SDK asks once, and so does every later call,
// and none of them succeeds.
func TestOutcomeUnknown(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.gate.lose.Store(1)
		r.wantRefused(t, "order-1", 2000, r.unknown, 1)
		later := r.unknown
		later.Status = 409
		if r.preset == "ietf" {
			later.Failed = r.inFlight.Failed // it names errors by their status
		}
		r.wantRefused(t, "order-1", 2000, later, 1)
		r.wantUpstream(t, 1)
	})
}

// Without the store nothing is paid, and the SDK gives up with an error of its type.
func TestStoreUnavailable(t *testing.T) {
	for name, s := range sdks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redis := servertest.NewRedis(t)
			r := newRig(t, s, redis.DSN())
			r.wantPaid(t, "order-1", 2000)
			redis.Kill(t)
			r.wantRefused(t, "order-2", 2000, r.unavailable, r.away)
			r.wantUpstream(t, 1)
		})
	}
}

// A refusal of the upstream's own is an outcome: it is replayed, and the same key with a better
// payment is a conflict, never a success.
func TestKeyAfterARefusal(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		first := r.wantRefused(t, "order-1", 0, r.invalid, 1)
		if again := r.wantRefused(t, "order-1", 0, r.invalid, 1); again != first {
			t.Errorf("got %+v, then %+v", first, again)
		}
		r.wantRefused(t, "order-1", 2000, r.conflict, 1)
		r.wantUpstream(t, 1)
		r.wantPaid(t, "order-2", 2000)
	})
}
