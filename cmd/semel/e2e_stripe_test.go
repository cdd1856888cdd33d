package main

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v82"
)

// A client and an upstream that we did not write, with the sidecar between
// them: stripe-go against stripe-mock, which gives every charge that it makes a
// fresh id. So the same id twice is a replay, and two ids are two charges.

func newStripe(t *testing.T, url string) *stripe.Client {
	t.Helper()
	backend := stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{
		URL:               new(url),
		MaxNetworkRetries: new(int64(2)),
		LeveledLogger:     &stripe.LeveledLogger{Level: stripe.LevelNull},
	})
	return stripe.NewClient("sk_test_123", stripe.WithBackends(&stripe.Backends{API: backend, Connect: backend, Uploads: backend}))
}

func charge(ctx context.Context, c *stripe.Client, key string, amount int64) (string, error) {
	params := &stripe.ChargeCreateParams{
		Amount: new(amount), Currency: new("usd"),
		Source: &stripe.PaymentSourceSourceParams{Token: new("tok_visa")},
	}
	params.SetIdempotencyKey(key)
	made, err := c.V1Charges.Create(ctx, params)
	if err != nil {
		return "", err
	}
	return made.ID, nil
}

func mustCharge(t *testing.T, c *stripe.Client, key string, amount int64) string {
	t.Helper()
	id, err := charge(t.Context(), c, key, amount)
	if err != nil {
		t.Fatalf("charge: %v", err)
	}
	return id
}

// stripeRig is client → way → sidecar → gate → stripe-mock.
type stripeRig struct {
	mock    *stripeMock
	gate    *gate
	sidecar *sidecar
	way     *way
	client  *stripe.Client
}

func newStripeRig(t *testing.T, args ...string) *stripeRig {
	t.Helper()
	r := &stripeRig{mock: startStripeMock(t)}
	r.gate = newGate(t, r.mock.url)
	args = append(args, "--preset", "stripe", "--store", "sqlite:"+t.TempDir()+"/semel.db")
	r.sidecar = startSidecar(t, r.gate.url, args...)
	r.way = newWay(t, r.sidecar)
	r.client = newStripe(t, r.way.url)
	return r
}

// wantCharges checks how many requests came to the upstream, and that it made a
// charge of each. Its own count comes through a pipe and may lag behind.
func (r *stripeRig) wantCharges(t *testing.T, want int64) {
	t.Helper()
	if got := r.gate.requests.Load(); got != want {
		t.Errorf("%d requests came to stripe-mock, want %d", got, want)
	}
	for deadline := time.Now().Add(10 * time.Second); r.mock.charges.Load() < want && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if got := r.mock.charges.Load(); got != want {
		t.Errorf("stripe-mock made %d charges, want %d", got, want)
	}
}

// I3: the same key twice is the same charge.
func TestStripeSameKeyTwice(t *testing.T) {
	r := newStripeRig(t)
	first, second := mustCharge(t, r.client, "order-1", 2000), mustCharge(t, r.client, "order-1", 2000)
	if first != second {
		t.Errorf("got %s, then %s", first, second)
	}
	if other := mustCharge(t, r.client, "order-2", 2000); other == first {
		t.Errorf("another key got the same charge %s", other)
	}
	r.wantCharges(t, 2)
}

// An answer lost on its way: the SDK tries again by itself, with the same key.
func TestStripeLostAnswer(t *testing.T) {
	r := newStripeRig(t)
	r.way.lose.Store(1)
	id := mustCharge(t, r.client, "order-1", 2000)
	if got := r.way.requests.Load(); got != 2 {
		t.Errorf("the client sent %d requests, want 2", got)
	}
	if again := mustCharge(t, r.client, "order-1", 2000); again != id {
		t.Errorf("got %s, then %s", id, again)
	}
	r.wantCharges(t, 1)
}

// I2: an answer lost between the upstream and the sidecar. The charge was made
// and nobody knows it, so nobody makes another: the SDK gets a final error, and
// so does every retry until an operator has looked.
func TestStripeLostBehindTheSidecar(t *testing.T) {
	r := newStripeRig(t)
	r.gate.lose.Store(1)
	for _, status := range []int{http.StatusGatewayTimeout, http.StatusConflict} {
		before := r.way.requests.Load()
		_, err := charge(t.Context(), r.client, "order-1", 2000)
		var typed *stripe.Error
		if !errors.As(err, &typed) || typed.HTTPStatusCode != status || typed.Type != stripe.ErrorTypeAPI || typed.Code != "outcome_unknown" {
			t.Errorf("got %v, want an api_error with %d and outcome_unknown", err, status)
		}
		if got := r.way.requests.Load() - before; got != 1 {
			t.Errorf("%d: the client sent %d requests, want 1", status, got)
		}
	}
	r.wantCharges(t, 1)
}

// I5: another amount under the same key is the SDK's typed error, and final.
func TestStripeOtherAmount(t *testing.T) {
	r := newStripeRig(t)
	mustCharge(t, r.client, "order-1", 2000)
	before := r.way.requests.Load()
	_, err := charge(t.Context(), r.client, "order-1", 2001)
	var typed *stripe.Error
	if !errors.As(err, &typed) || typed.Type != stripe.ErrorTypeIdempotency || typed.HTTPStatusCode != http.StatusBadRequest {
		t.Errorf("got %v, want an idempotency_error with 400", err)
	}
	if got := r.way.requests.Load() - before; got != 1 {
		t.Errorf("the client sent %d requests, want 1", got)
	}
	r.wantCharges(t, 1)
}

// I1: fifty at once make one charge. The SDK takes 409 for final, so each
// caller asks again until the charge is there.
func TestStripeFiftyAtOnce(t *testing.T) {
	const callers = 50
	r := newStripeRig(t)
	open := r.gate.shut()
	var (
		wg      sync.WaitGroup
		ids     [callers]string
		errs    [callers]error
		refused = make(chan struct{}, callers)
	)
	for i := range callers {
		wg.Go(func() {
			told := false
			for {
				ids[i], errs[i] = charge(t.Context(), r.client, "order-1", 2000)
				var typed *stripe.Error
				if !errors.As(errs[i], &typed) || typed.Code != "idempotency_key_in_use" {
					return
				}
				if !told {
					told = true
					refused <- struct{}{}
				}
			}
		})
	}
	for range callers - 1 { // all but the one that runs have been told to wait
		<-refused
	}
	open()
	wg.Wait()
	for i := range callers {
		if errs[i] != nil || ids[i] != ids[0] || ids[i] == "" {
			t.Errorf("caller %d: got %q, %v, want %q", i, ids[i], errs[i], ids[0])
		}
	}
	r.wantCharges(t, 1)
}

// I10: a kill of the sidecar forgets nothing that it has answered.
func TestStripeKillAndRestart(t *testing.T) {
	r := newStripeRig(t)
	id := mustCharge(t, r.client, "order-1", 2000)
	r.sidecar.end(t, syscall.SIGKILL)
	r.sidecar.start(t)
	if again := mustCharge(t, r.client, "order-1", 2000); again != id {
		t.Errorf("got %s, and %s after the restart", id, again)
	}
	r.wantCharges(t, 1)
}

// I7: a kill while a charge is under way leaves an outcome that nobody knows; it
// is never charged a second time.
func TestStripeKillInFlight(t *testing.T) {
	r := newStripeRig(t, "--lease", "1s", "--margin", "0s")
	open := r.gate.shut()
	done := make(chan error, 1)
	go func() {
		_, err := charge(t.Context(), r.client, "order-1", 2000)
		done <- err
	}()
	<-r.gate.arrived
	r.sidecar.end(t, syscall.SIGKILL)
	r.sidecar.start(t)
	for {
		_, err := charge(t.Context(), r.client, "order-1", 2000)
		var typed *stripe.Error
		if !errors.As(err, &typed) {
			t.Fatalf("got %v, want a refusal", err)
		}
		if typed.Code == "idempotency_key_in_use" { // until the lease is over
			continue
		}
		if typed.Code != "outcome_unknown" || typed.HTTPStatusCode != http.StatusConflict {
			t.Errorf("got %v, want outcome_unknown", err)
		}
		break
	}
	open()
	if err := <-done; err == nil {
		t.Error("the client of the killed sidecar got a charge")
	}
	if got := r.mock.charges.Load(); got > 1 {
		t.Errorf("stripe-mock made %d charges, want one at most", got)
	}
}

// A request in flight when the sidecar is told to end is answered, and kept.
func TestStripeDrain(t *testing.T) {
	r := newStripeRig(t)
	open := r.gate.shut()
	done := make(chan error, 1)
	var id string
	go func() {
		var err error
		id, err = charge(t.Context(), r.client, "order-1", 2000)
		done <- err
	}()
	<-r.gate.arrived
	r.sidecar.signal(t, syscall.SIGTERM)
	r.sidecar.waitUntilRefusing(t)
	open()
	if err := <-done; err != nil {
		t.Fatalf("the request in flight: %v", err)
	}
	r.sidecar.wait(t, true)
	r.sidecar.start(t)
	if again := mustCharge(t, r.client, "order-1", 2000); again != id {
		t.Errorf("got %s, and %s after the restart", id, again)
	}
	r.wantCharges(t, 1)
}
