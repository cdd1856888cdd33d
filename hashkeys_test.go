package semel_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

var hashSecret = semel.Secret("a secret of the service, 32 bytes")

func hashed() semel.Config { return semel.Config{HashKeys: true, Secret: hashSecret} }

// reader is a store that looks at every key and fingerprint that it is given.
type reader struct {
	*memstore.Store
	t    *testing.T
	mu   sync.Mutex
	keys map[semel.Key]bool
}

func newReader(t *testing.T) *reader {
	t.Helper()
	return &reader{Store: memstore.New(memstore.Config{}), t: t, keys: map[semel.Key]bool{}}
}

func (r *reader) see(what ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range what {
		if key, ok := v.(semel.Key); ok {
			r.keys[key] = true
			v = []string{key.Scope, key.ID}
		}
		if text := fmt.Sprint(v); leaks(text) || strings.Contains(text, semel.FingerprintOf([]byte("x")).String()) {
			r.t.Errorf("the store is given %s", text)
		}
	}
}

func (r *reader) Reserve(ctx context.Context, res semel.Reservation) (semel.Record, error) {
	r.see(res.Key, res.Fingerprint, res.Owner)
	return r.Store.Reserve(ctx, res)
}

func (r *reader) Complete(ctx context.Context, c semel.Completion) error {
	r.see(c.Key)
	return r.Store.Complete(ctx, c)
}

func (r *reader) Release(ctx context.Context, key semel.Key, token semel.Token) error {
	r.see(key)
	return r.Store.Release(ctx, key, token)
}

func (r *reader) Renew(ctx context.Context, lease time.Duration, holders []semel.Holder) ([]semel.Token, error) {
	for _, h := range holders {
		r.see(h.Key)
	}
	return r.Store.Renew(ctx, lease, holders)
}

func (r *reader) BeginEffects(ctx context.Context, key semel.Key, token semel.Token) error {
	r.see(key)
	return r.Store.BeginEffects(ctx, key, token)
}

// I13: with HashKeys no step gives the store a key, a scope or a fingerprint in clear, and
// every step of one call names one slot.
func TestHashedKeysAreAllThatIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, log, seen := newReader(t), &lines{}, newWitness(t)
		cfg := hashed()
		cfg.Logger, cfg.Observe = log.logger(), seen.observe
		cfg.Lapsed, cfg.Recover = semel.Recover, func(ctx context.Context, held semel.Record) (semel.Recovery, error) {
			claim := semel.FromContext(ctx)
			if store.see(held.Key, claim.Key(), held.Fingerprint); claim.Key() != held.Key {
				t.Error("the hook's record and claim differ")
			}
			return semel.Recovery{}, errCut
		}
		e := newEngine(t, store, cfg)
		pay := semel.Call{Key: secretKey, Fingerprint: semel.FingerprintOf([]byte("x")), DeferEffects: true}

		c := reserve(t, e, pay)
		if err := c.BeginEffects(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(semel.DefaultLease) // a renewal
		if c.Key() != e.StoredKey(secretKey) || e.Ref(c.Key()) == "" || leaks(fmt.Sprintf("%v %s", c, c.DerivedKey("x"))) {
			t.Errorf("got the claim %v of %q", c, c.Key().ID)
		}
		c.Abandon(t.Context())
		wantUnknown(t, begin(t, e, pay)) // asks the hook, which fails and is logged
		sweeping(t, e, semel.Sweeping{Every: time.Second})
		time.Sleep(time.Minute)

		other := pay
		other.Key.ID += "2"
		if err := reserve(t, e, other).Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		complete(t, reserve(t, e, other), answer("paid"))
		out := begin(t, e, other)
		wantReplay(t, out, answer("paid"))
		if out.Record.Key != e.StoredKey(other.Key) {
			t.Errorf("got the key %q in the record", out.Record.Key.ID)
		}
		want := map[semel.Key]bool{e.StoredKey(pay.Key): true, e.StoredKey(other.Key): true, {Scope: "semel", ID: "sweeper"}: true}
		for key := range store.keys {
			if !want[key] {
				t.Errorf("the store was given the key %q of %q", key.ID, key.Scope)
			}
		}
		if len(store.keys) != len(want) {
			t.Errorf("the store was given %d keys, want %d", len(store.keys), len(want))
		}
		if got := log.String(); leaks(got) || !strings.Contains(got, e.Ref(e.StoredKey(secretKey))) {
			t.Errorf("got log %s, want the ref and no key", got)
		}
	})
}

// I2, I5, I13: hashing changes none of the outcomes, in any process that has the secret. With
// another secret a key is another key.
func TestHashedKeysAreKeys(t *testing.T) {
	store := memstore.New(memstore.Config{})
	e := newEngine(t, store, hashed())
	complete(t, reserve(t, e, call("order-1", "x")), answer("paid"))
	again := newEngine(t, store, hashed())
	wantReplay(t, begin(t, again, call("order-1", "x")), answer("paid"))
	wantOutcome(t, begin(t, again, call("order-1", "y")), semel.Conflict)
	for name, key := range map[string]semel.Key{
		"another scope":      {Scope: "tenan", ID: "order-1"},
		"another id":         {Scope: "tenant", ID: "order-2"},
		"another border":     {Scope: "tenantorder", ID: "-1"},
		"the stored key":     e.StoredKey(call("order-1", "x").Key), // nobody gets to a slot by its stored name
		"exchanged":          {Scope: "order-1", ID: "tenant"},
		"the stored id only": {Scope: "tenant", ID: e.StoredKey(call("order-1", "x").Key).ID},
	} {
		t.Run(name, func(t *testing.T) { reserve(t, again, semel.Call{Key: key, Fingerprint: call("", "x").Fingerprint}) })
	}
	other := hashed()
	other.Secret = semel.Secret("another secret of 32 bytes length")
	reserve(t, newEngine(t, store, other), call("order-1", "x"))
}

// I13: a stored id says nothing about who else has used the same one, and neither part can
// be cut in another place.
func TestHashedPartsAreApart(t *testing.T) {
	e := newEngine(t, memstore.New(memstore.Config{}), hashed())
	seen := map[string]bool{}
	for _, key := range []semel.Key{{Scope: "tenant", ID: "order"}, {Scope: "tenanto", ID: "rder"}, {Scope: "other", ID: "order"}, {Scope: "order", ID: "order"}} {
		stored := e.StoredKey(key)
		for _, part := range []string{stored.Scope, stored.ID} {
			if len(part) != 64 || seen[part] {
				t.Errorf("%q of %q: got %q, want 64 digits that no other key has", key.ID, key.Scope, part)
			}
			seen[part] = true
		}
	}
}

// The names for others stay what they are: stable across attempts and processes, different for
// each step, and the same whether a retry or a sweep asks.
func TestHashedKeysKeepTheirNames(t *testing.T) {
	names := func(cfg semel.Config) (ref, derived string) {
		e := newEngine(t, memstore.New(memstore.Config{}), cfg)
		c := reserve(t, e, call("order-1", "x"))
		if c.DerivedKey("a") == c.DerivedKey("b") {
			t.Error("got one key for two steps")
		}
		return e.Ref(c.Key()), c.DerivedKey("a")
	}
	ref, derived := names(hashed())
	if again, derivedAgain := names(hashed()); again != ref || derivedAgain != derived {
		t.Error("got other names in another process")
	}
	other := hashed()
	other.Secret = semel.Secret("another secret of 32 bytes length")
	if again, derivedAgain := names(other); again == ref || derivedAgain == derived {
		t.Error("got the same names under another secret")
	}
}

// An operator finds a record by what the client sent, and all of a tenant by its scope.
func TestStoredKeyFinds(t *testing.T) {
	store := memstore.New(memstore.Config{})
	e := newEngine(t, store, hashed())
	for _, id := range []string{"order-1", "order-2"} {
		complete(t, reserve(t, e, call(id, "x")), answer("paid"))
	}
	key := e.StoredKey(semel.Key{Scope: "tenant", ID: "order-1"})
	if got := raw(t, store, key); got.Key != key {
		t.Errorf("got %v", got.Key)
	}
	n := 0
	for _, err := range store.List(t.Context(), semel.Filter{Scope: e.StoredKey(semel.Key{Scope: "tenant"}).Scope}) {
		if n++; err != nil {
			t.Fatal(err)
		}
	}
	if n != 2 {
		t.Errorf("got %d records of the tenant, want 2", n)
	}
	plain := newEngine(t, store, semel.Config{Secret: hashSecret})
	if got := plain.StoredKey(secretKey); got != secretKey {
		t.Errorf("got %q without HashKeys", got.ID)
	}
}

// I8: transactions come in by the same door, once: what commits is found by a plain call.
func TestHashedKeysInTransactions(t *testing.T) {
	inModes(t, func(in modal) {
		t := in.T
		b := newBank(t)
		e, s := b.teller(t, hashed())
		fn := func(ctx context.Context) (int, error) {
			c := semel.FromContext(ctx)
			if c.Key() != e.StoredKey(secretKey) {
				t.Errorf("got the key %q", c.Key().ID)
			}
			return 7, cashierOf(ctx).pay(c.Key(), "alice", "bob", 10)
		}
		for i := range 2 {
			got, err := semel.DoTx(t.Context(), e, semel.Call{Key: secretKey}, s.mode(in.TxMode), fn)
			if err != nil || got.Value != 7 || got.Replayed != (i > 0) {
				t.Fatalf("got %+v, %v", got, err)
			}
		}
		got, err := semel.Do(t.Context(), e, semel.Call{Key: secretKey}, func(context.Context) (int, error) { return 0, nil })
		if err != nil || !got.Replayed || got.Value != 7 {
			t.Errorf("got %+v, %v from Do, want the same record", got, err)
		}
		b.wantPaid(t, e.StoredKey(secretKey), 1)
		time.Sleep(time.Second)
	})
}

// Without a secret that nobody can guess, hashes of keys hide nothing: New refuses.
func TestHashKeysNeedsASecret(t *testing.T) {
	for _, secret := range []semel.Secret{nil, {}, make(semel.Secret, 15)} {
		if _, err := semel.New(memstore.New(memstore.Config{}), semel.Config{HashKeys: true, Secret: secret}); err == nil {
			t.Errorf("got no error with %v", secret)
		}
	}
	e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{HashKeys: true, Secret: make(semel.Secret, 16)})
	for _, key := range []semel.Key{{}, {Scope: "tenant"}, {Scope: "tenant", ID: strings.Repeat("x", semel.MaxKeyLen+1)}} {
		_, err := e.Begin(t.Context(), semel.Call{Key: key}) // judged before it is hashed
		wantError(t, err, semel.ErrInvalidKey)
	}
}

// What hashing adds to each call.
func BenchmarkHashKeys(b *testing.B) {
	for name, cfg := range map[string]semel.Config{"off": {}, "on": hashed()} {
		b.Run(name, func(b *testing.B) {
			e, err := semel.New(memstore.New(memstore.Config{}), cfg)
			if err != nil {
				b.Fatal(err)
			}
			out, err := e.Begin(b.Context(), call("order-1", "x"))
			if err != nil {
				b.Fatal(err)
			}
			if err := out.Claim.Complete(b.Context(), answer("paid")); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Begin(b.Context(), call("order-1", "x")); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
