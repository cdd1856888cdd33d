package semel_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

func TestNewRefuses(t *testing.T) {
	hook := func(context.Context, semel.Record) (semel.Recovery, error) { return semel.Recovery{}, nil }
	store := memstore.New(memstore.Config{})
	for _, tt := range []struct {
		name  string
		store semel.Store
		cfg   semel.Config
	}{
		{"no store", nil, semel.Config{}},
		{"lease under a second", store, semel.Config{Lease: time.Second - 1}},
		{"negative lease", store, semel.Config{Lease: -time.Minute}},
		{"MaxRun under the lease", store, semel.Config{Lease: time.Minute, MaxRun: time.Minute - 1}},
		{"MaxRun under the default lease", store, semel.Config{MaxRun: semel.DefaultLease - 1}},
		{"retention under MaxRun", store, semel.Config{Retention: semel.DefaultMaxRun - 1}},
		{"retention under its own MaxRun", store, semel.Config{MaxRun: time.Hour, Retention: time.Hour - 1}},
		{"negative reserve timeout", store, semel.Config{ReserveTimeout: -1}},
		{"tiny complete timeout", store, semel.Config{CompleteTimeout: time.Microsecond}},
		{"unknown policy", store, semel.Config{Lapsed: semel.Recover + 1}},
		{"recover without a hook", store, semel.Config{Lapsed: semel.Recover}},
		{"a hook without recover", store, semel.Config{Lapsed: semel.Rerun, Recover: hook}},
		{"a hook without a policy", store, semel.Config{Recover: hook}},
	} {
		if e, err := semel.New(tt.store, tt.cfg); err == nil || e != nil {
			t.Errorf("%s: got %v, %v, want an error", tt.name, e, err)
		}
	}
}

func TestNewAccepts(t *testing.T) {
	store := memstore.New(memstore.Config{})
	hook := func(context.Context, semel.Record) (semel.Recovery, error) { return semel.Recovery{}, nil }
	for _, cfg := range []semel.Config{
		{},
		{Lease: time.Second},
		{Lease: time.Hour},
		{Lease: 30 * time.Hour},
		{MaxRun: 48 * time.Hour},
		{Margin: -1},
		{MaxRun: 30 * time.Second, Retention: 30 * time.Second},
		{Lapsed: semel.Recover, Recover: hook},
	} {
		e := newEngine(t, store, cfg)
		if e.Store() != semel.Store(store) {
			t.Error("Store returns another store")
		}
	}
}

// I2, I3, I5: the first request runs, a duplicate meanwhile is told so, every
// later one gets the same bytes, and another payload is refused all the time.
func TestOneSlotFromFirstToReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{Owner: "node-1"})
		pay, other := call("order-1", "10 EUR"), call("order-1", "20 EUR")

		out := begin(t, e, pay)
		wantOutcome(t, out, semel.Reserved)
		c := out.Claim
		if c.Key() != pay.Key || c.Fingerprint() != pay.Fingerprint || c.Attempt() != 1 || c.Fence() == 0 || c.Token() == (semel.Token{}) {
			t.Errorf("got claim of %v, attempt %d, fence %d, token %v", c.Key(), c.Attempt(), c.Fence(), c.Token())
		}
		if out.Record.Owner != "node-1" || out.Record.State != semel.StateReserved || out.Record.Token != c.Token() {
			t.Errorf("got record %+v, want the reservation of node-1", out.Record)
		}

		dup := begin(t, e, pay)
		wantOutcome(t, dup, semel.InFlight)
		wantError(t, dup.Err(), semel.ErrInFlight)
		wantOutcome(t, begin(t, e, other), semel.Conflict)

		complete(t, c, answer("paid"))
		for range 3 {
			time.Sleep(time.Hour)
			wantReplay(t, begin(t, e, pay), answer("paid"))
			refused := begin(t, e, other)
			wantOutcome(t, refused, semel.Conflict)
			wantError(t, refused.Err(), semel.ErrConflict)
		}
	})
}

// I13: the same ID in another scope is another slot.
func TestScopesDoNotMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{})
		a, b := call("order-1", "x"), call("order-1", "y")
		b.Key.Scope = "another tenant"
		first, second := reserve(t, e, a), reserve(t, e, b)
		complete(t, first, answer("a"))
		complete(t, second, answer("b"))
		wantReplay(t, begin(t, e, a), answer("a"))
		wantReplay(t, begin(t, e, b), answer("b"))
	})
}

// I2: a kept response stays until the retention ends, counted from the
// reservation, and not a moment longer.
func TestRetention(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config time.Duration
		call   time.Duration
		want   time.Duration
	}{
		{"default", 0, 0, semel.DefaultRetention},
		{"config", time.Hour, 0, time.Hour},
		{"call", time.Hour, 2 * time.Hour, 2 * time.Hour},
		{"call under MaxRun", time.Hour, time.Second, semel.DefaultMaxRun},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{Retention: tt.config})
				pay := call("order-1", "x")
				pay.Retention = tt.call
				start := time.Now()
				c := reserve(t, e, pay)
				time.Sleep(10 * time.Second)
				complete(t, c, answer("paid"))
				time.Sleep(tt.want - 1 - time.Since(start))
				wantReplay(t, begin(t, e, pay), answer("paid"))
				time.Sleep(time.Nanosecond)
				again := reserve(t, e, call("order-1", "another request"))
				if again.Fence() <= c.Fence() { // I6
					t.Errorf("got fence %d after %d, want a larger one", again.Fence(), c.Fence())
				}
			})
		})
	}
}

// A response must outlive the attempt that made it: a retention that is over
// before the slowest attempt ends would let every retry run again.
func TestRetentionOutlivesTheAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{})
		pay := call("order-1", "x")
		pay.Retention, pay.MaxRun = time.Second, time.Hour
		c := reserve(t, e, pay)
		time.Sleep(50 * time.Minute)
		complete(t, c, answer("paid"))
		wantReplay(t, begin(t, e, pay), answer("paid"))
	})
}

// I1, I3: of many who begin at once one runs, and all others are told so or get
// its answer.
func TestManyBeginAtOnce(t *testing.T) {
	store := memstore.New(memstore.Config{})
	wired, _ := process(t, store, semel.Config{})
	for name, e := range map[string]*semel.Engine{"wired": wired, "immediate": newEngine(t, store, semel.Config{})} {
		var all sync.WaitGroup
		var ran atomic.Int32
		for range 64 {
			all.Go(func() {
				for range 20 {
					out, err := e.Begin(t.Context(), call(name, "x"))
					switch {
					case err != nil:
						t.Error(err)
					case out.Kind == semel.Reserved:
						ran.Add(1)
						if err := out.Claim.Complete(t.Context(), answer("paid")); err != nil {
							t.Error(err)
						}
					case out.Kind == semel.Replay && !sameResponse(out.Record.Response, answer("paid")):
						t.Errorf("got the response %s, want the one that was kept", show(out.Record.Response))
					case out.Kind == semel.Conflict, out.Lapsed:
						t.Errorf("got %v, lapsed %v", out.Kind, out.Lapsed)
					}
				}
			})
		}
		all.Wait()
		if got := ran.Load(); got != 1 {
			t.Errorf("%s: %d attempts ran, want 1", name, got)
		}
	}
}

// A released slot is free at once, for another payload too, and its fence and
// its count of attempts go on (I6).
func TestReleaseFreesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{})
		first := reserve(t, e, call("order-1", "x"))
		if err := first.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		second := reserve(t, e, call("order-1", "y"))
		if second.Fence() <= first.Fence() || second.Attempt() != 2 {
			t.Errorf("got fence %d, attempt %d after fence %d, want a larger fence and attempt 2", second.Fence(), second.Attempt(), first.Fence())
		}
		if second.Token() == first.Token() {
			t.Error("two attempts have one token")
		}
	})
}

func TestBeginRefusesBadCalls(t *testing.T) {
	e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{})
	hook := func(context.Context, semel.Record) (semel.Recovery, error) { return semel.Recovery{}, nil }
	bad := call("order-1", "x")
	for _, change := range []func(*semel.Call){
		func(c *semel.Call) { c.Lapsed = semel.Recover + 1 },
		func(c *semel.Call) { c.Lapsed = semel.Recover },
		func(c *semel.Call) { c.Lapsed, c.Recover = semel.Hold, hook },
		func(c *semel.Call) { c.Recover = hook }, // it would never be asked
	} {
		c := bad
		change(&c)
		if out, err := e.Begin(t.Context(), c); err == nil {
			t.Errorf("policy %v: got %v, want an error", c.Lapsed, out.Kind)
		}
	}
	_, err := e.Begin(t.Context(), semel.Call{})
	wantError(t, err, semel.ErrInvalidKey)
	wantOutcome(t, begin(t, e, bad), semel.Reserved) // none of them left a trace
}

// A caller who has left before the reserve leaves no trace.
func TestBeginAfterTheCallerLeft(t *testing.T) {
	e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{})
	ctx, leave := context.WithCancelCause(t.Context())
	why := errors.New("the client hung up")
	leave(why)
	_, err := e.Begin(ctx, call("order-1", "x"))
	wantError(t, err, why)
	if got := reserve(t, e, call("order-1", "x")).Attempt(); got != 1 {
		t.Errorf("got attempt %d, want the first", got)
	}
}

// Providers remember derived keys and people remember refs: both are formats.
func TestRefAndDerivedKeyAreStable(t *testing.T) {
	e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{Secret: []byte("the same in every process")})
	c := reserve(t, e, semel.Call{Key: semel.Key{Scope: "tenant-1", ID: "order-42"}})
	if got, want := c.DerivedKey("charge"), "ba5f9c0ef8824e3ed5b4666897bcea7d3a57ad5194c7b907ad06bb2d1b65a543"; got != want {
		t.Errorf("got derived key %s, want %s", got, want)
	}
	if got, want := e.Ref(c.Key()), "18fb6f79b5a3"; got != want {
		t.Errorf("got ref %s, want %s", got, want)
	}
}

func TestRefAndDerivedKey(t *testing.T) {
	store := memstore.New(memstore.Config{})
	with := func(secret string) *semel.Engine {
		return newEngine(t, store, semel.Config{Secret: []byte(secret), Lapsed: semel.Rerun})
	}
	first, second, other := with("secret"), with("secret"), with("another")
	a, b := call("order-1", "x"), call("order-2", "x")

	refs := map[string]bool{}
	for _, ref := range []string{first.Ref(a.Key), first.Ref(b.Key), other.Ref(a.Key)} {
		if len(ref) != 12 || strings.Trim(ref, "0123456789abcdef") != "" || refs[ref] {
			t.Errorf("got ref %q, want 12 hexadecimal digits, another one for each key and secret", ref)
		}
		refs[ref] = true
	}
	if first.Ref(a.Key) != second.Ref(a.Key) {
		t.Error("two processes with one secret give two refs of one key")
	}

	// The provider downstream must recognise the rerun of another process.
	claim := reserve(t, first, a)
	charge, refund := claim.DerivedKey("charge"), claim.DerivedKey("refund")
	claim.Abandon(t.Context())
	rerun := reserve(t, second, a)
	if rerun.Attempt() != 2 || rerun.DerivedKey("charge") != charge {
		t.Errorf("attempt %d derives %s, want %s as before", rerun.Attempt(), rerun.DerivedKey("charge"), charge)
	}
	keys := map[string]bool{}
	for _, k := range []string{charge, refund, reserve(t, first, b).DerivedKey("charge")} {
		if len(k) != 64 || keys[k] {
			t.Errorf("got derived key %q, want 64 digits, another one for each key and step", k)
		}
		keys[k] = true
	}
	rerun.Abandon(t.Context())
	if got := reserve(t, other, a).DerivedKey("charge"); got == charge {
		t.Error("another secret derives the same key")
	}
}

// Whoever prints a claim, an outcome or an engine must see neither the key nor
// the secret.
func TestClaimAndEngineNeverPrintSecrets(t *testing.T) {
	e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{Secret: []byte(secretID)})
	out := begin(t, e, semel.Call{Key: secretKey})
	ctx := out.Claim.Attach(t.Context())
	defer out.Claim.Detach()
	log := &lines{}
	for name, v := range map[string]any{
		"claim": out.Claim, "outcome": out, "engine": e, "context": ctx,
		"nested": struct{ C *semel.Claim }{out.Claim}, "slice": []*semel.Claim{out.Claim},
	} {
		for verb := range strings.FieldsSeq("%v %+v %#v %s %q %x %d") {
			if text := fmt.Sprintf(verb, v); leaks(text) {
				t.Errorf("%s with %s: got %s, want no key", name, verb, text)
			}
		}
		log.logger().Info("m", "value", v)
	}
	if leaks(log.String()) {
		t.Errorf("got %s, want no key", log.String())
	}
	if got := fmt.Sprint(out.Claim); !strings.Contains(got, e.Ref(secretKey)) {
		t.Errorf("got %s, want the ref, so that it can be found", got)
	}
}
