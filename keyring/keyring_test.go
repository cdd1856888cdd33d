package keyring_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/keyring"
	"github.com/semel-go/semel/store/memstore"
)

// I3: what was sealed comes back, nothing included, and each time it looks different.
func TestSealedComesBack(t *testing.T) {
	ring := ringOf(t, keyring.NewKey("2026-11"))
	for _, plain := range []string{"", "a", strings.Repeat("correct-horse ", 1000)} {
		one, two := seal(t, ring, "record", plain), seal(t, ring, "record", plain)
		if bytes.Equal(one, two) || len(one) != len(plain)+2+len("2026-11")+24+16 || bytes.Contains(one, []byte("correct-horse")) {
			t.Errorf("got %d and %d bytes for %d", len(one), len(two), len(plain))
		}
		wantOpen(t, ring, "record", one, plain)
		wantOpen(t, ring, "record", two, plain)
	}
	none, err := ring.Seal(nil, nil)
	if err != nil || len(none) == 0 {
		t.Errorf("got %x, %v, want nil sealed like anything else", none, err)
	}
	_, err = ring.Open(nil, nil) // it was emptied by somebody
	wantError(t, err, keyring.ErrDamaged)
}

// I3: the record is bound as additional data. Whatever somebody with write access does to one
// is reported, and never replayed.
func TestRecordIsBound(t *testing.T) {
	ring := ringOf(t, keyring.NewKey("a"), keyring.NewKey("b"))
	whole := memstore.New(memstore.Config{})
	e := engineOn(t, whole, ring)
	keep(t, e, "own", paid)
	keep(t, e, "other", paid)
	own, other := stored(t, whole, "own").Response, stored(t, whole, "other").Response
	for name, moved := range map[string]semel.Response{
		"another slot":          other,
		"another slot's body":   {Status: own.Status, Header: own.Header, Body: other.Body},
		"another slot's header": {Status: own.Status, Header: other.Header, Body: own.Body},
		"another field":         {Status: own.Status, Header: own.Body, Body: own.Header},
		"the header twice":      {Status: own.Status, Header: own.Header, Body: own.Header},
		"another status":        {Status: 500, Header: own.Header, Body: own.Body},
		"no body":               {Status: own.Status, Header: own.Header},
		"in clear":              paid,
		"a body in clear":       {Status: own.Status, Header: own.Header, Body: paid.Body},
	} {
		store := memstore.New(memstore.Config{})
		put(t, store, "own", moved)
		out, err := engineOn(t, store, ring).Begin(t.Context(), callOf("own"))
		if !errors.Is(err, semel.ErrDamaged) || out.Kind != 0 || out.Claim != nil {
			t.Errorf("%s: got %v, %v, want damage", name, out.Kind, err)
		}
		if strings.Contains(fmt.Sprint(err), "correct-horse") {
			t.Errorf("%s: the error shows the answer: %v", name, err)
		}
	}
	store := memstore.New(memstore.Config{}) // and in its place it opens
	put(t, store, "own", own)
	wantReplay(t, engineOn(t, store, ring), "own", paid)
}

// Every byte of an envelope counts: the key's id is authenticated as the text is.
func TestEveryByteCounts(t *testing.T) {
	one := keyring.NewKey("a")
	ring := ringOf(t, one, keyring.Key{ID: "b", Secret: one.Secret}) // even when the other key is the same
	sealed := seal(t, ring, "record", "paid")
	for i := range sealed {
		for range 8 {
			changed := bytes.Clone(sealed)
			changed[i] ^= byte(1 + rand.IntN(255))
			if plain, err := ring.Open([]byte("record"), changed); !errors.Is(err, keyring.ErrDamaged) && !errors.Is(err, keyring.ErrUnknownKey) {
				t.Fatalf("byte %d: got %q, %v, want an error", i, plain, err)
			}
		}
		_, err := ring.Open([]byte("record"), sealed[:i])
		wantError(t, err, keyring.ErrDamaged)
	}
	renamed := bytes.Clone(sealed)
	renamed[2] = 'b'
	_, err := ring.Open([]byte("record"), renamed)
	wantError(t, err, keyring.ErrDamaged)
	_, err = ring.Open([]byte("recor"), sealed)
	wantError(t, err, keyring.ErrDamaged)
}

// One seals, all open; a key that is not there is not damage, and the error names it.
func TestRotation(t *testing.T) {
	first, second := keyring.NewKey("2026-05"), keyring.NewKey("2026-11")
	before, after, alone := ringOf(t, first, second), ringOf(t, second, first), ringOf(t, second)
	old := seal(t, before, "record", "paid")
	if id, err := keyring.KeyID(old); id != "2026-05" || err != nil || before.Primary() != id {
		t.Errorf("got the id %q, %v, want the primary one", id, err)
	}
	wantOpen(t, after, "record", old, "paid")
	_, err := alone.Open([]byte("record"), old)
	wantError(t, err, keyring.ErrUnknownKey)
	if errors.Is(err, keyring.ErrDamaged) || !strings.Contains(err.Error(), "2026-05") {
		t.Errorf("got %v, want the id, and no damage", err)
	}
	if before.Stale(old) || !after.Stale(old) {
		t.Error("got stale the wrong way round")
	}
	fresh, changed, err := after.Rewrap([]byte("record"), old)
	if err != nil || !changed || after.Stale(fresh) {
		t.Fatalf("got %v, %v, want it under the primary key", changed, err)
	}
	wantOpen(t, alone, "record", fresh, "paid")
	again, changed, err := after.Rewrap([]byte("record"), fresh)
	if err != nil || changed || !bytes.Equal(again, fresh) {
		t.Errorf("got %v, %v, want it left alone", changed, err)
	}
	_, _, err = after.Rewrap([]byte("another record"), old)
	wantError(t, err, keyring.ErrDamaged)
	_, _, err = after.Rewrap([]byte("record"), []byte("plain"))
	wantError(t, err, keyring.ErrDamaged)
	_, err = keyring.KeyID([]byte("plain"))
	wantError(t, err, keyring.ErrDamaged)
}

// Encryption is switched on under traffic: what was kept in clear is read, if it is
// wanted, whatever its body is; and what is sealed is never read half in clear.
func TestAcceptPlain(t *testing.T) {
	key := keyring.NewKey("a")
	strict := ringOf(t, key)
	lenient := newRing(t, keyring.Config{Primary: "a", Keys: []keyring.Key{key}, AcceptPlain: true})
	store := memstore.New(memstore.Config{})
	sealedBody := semel.Response{Status: 201, Header: []byte("\x01"), Body: seal(t, strict, "x", "a service that answers envelopes")}
	put(t, store, "plain", paid)
	put(t, store, "bare", semel.Response{Status: 204})
	put(t, store, "envelope", sealedBody)

	e := engineOn(t, store, lenient)
	wantReplay(t, e, "plain", paid)
	wantReplay(t, e, "bare", semel.Response{Status: 204})
	wantReplay(t, e, "envelope", sealedBody)
	_, err := engineOn(t, store, strict).Begin(t.Context(), callOf("plain"))
	wantError(t, err, semel.ErrDamaged)

	keep(t, e, "sealed", paid)
	if got := stored(t, store, "sealed").Response; strict.Stale(got.Header) || strict.Stale(got.Body) {
		t.Error("what is kept from now on is not sealed")
	}
	half := stored(t, store, "sealed").Response
	half.Body = paid.Body
	damaged := memstore.New(memstore.Config{})
	put(t, damaged, "sealed", half)
	_, err = engineOn(t, damaged, lenient).Begin(t.Context(), callOf("sealed"))
	wantError(t, err, semel.ErrDamaged)
	_, err = lenient.Open(nil, []byte("plain")) // field by field nothing is plain
	wantError(t, err, keyring.ErrDamaged)
}

// Rewrapping keeps the answer, seals what was in clear, and leaves alone what is fresh.
func TestEngineRewraps(t *testing.T) {
	first, second := keyring.NewKey("a"), keyring.NewKey("b")
	store := memstore.New(memstore.Config{})
	keep(t, engineOn(t, store, ringOf(t, first)), "old", paid)
	put(t, store, "plain", paid)
	cfg := keyring.Config{Primary: "b", Keys: []keyring.Key{first, second}, AcceptPlain: true}
	e := engineOn(t, store, newRing(t, cfg))
	keep(t, e, "fresh", paid)
	for id, want := range map[string]bool{"old": true, "plain": true, "fresh": false} {
		r, changed, err := e.Rewrap(t.Context(), stored(t, store, id))
		if err != nil || changed != want {
			t.Fatalf("%s: got %v, %v, want %v", id, changed, err, want)
		}
		after := memstore.New(memstore.Config{})
		put(t, after, id, r)
		wantReplay(t, engineOn(t, after, ringOf(t, second)), id, paid)
	}
	_, _, err := engineOn(t, store, ringOf(t, second)).Rewrap(t.Context(), stored(t, store, "old"))
	wantError(t, err, keyring.ErrUnknownKey)
	if _, _, err := engineOn(t, store, nil).Rewrap(t.Context(), stored(t, store, "old")); err == nil {
		t.Error("got no error without keys")
	}
}

// I2, I3: a rotation through the store. What is rewrapped is replayed as before, also when the
// old key is gone, and by nobody who has only that.
func TestRotationThroughTheStore(t *testing.T) {
	first, second := keyring.NewKey("a"), keyring.NewKey("b")
	store := memstore.New(memstore.Config{})
	before := engineOn(t, store, ringOf(t, first))
	for _, id := range []string{"order-1", "order-2"} {
		keep(t, before, id, paid)
	}
	e := engineOn(t, store, ringOf(t, second, first))
	for round, want := range []int{2, 0} {
		resealed := 0
		for rec, err := range store.List(t.Context(), semel.Filter{Bodies: true}) {
			if err != nil {
				t.Fatal(err)
			}
			fresh, changed, err := e.Rewrap(t.Context(), rec)
			if err != nil {
				t.Fatal(err)
			}
			if !changed {
				continue
			}
			resealed++
			if err := store.Reseal(t.Context(), semel.Holder{Key: rec.Key, Token: rec.Token}, fresh.Header, fresh.Body); err != nil {
				t.Fatal(err)
			}
		}
		if resealed != want {
			t.Errorf("round %d: resealed %d, want %d", round, resealed, want)
		}
	}
	alone := engineOn(t, store, ringOf(t, second))
	for _, id := range []string{"order-1", "order-2"} {
		wantReplay(t, alone, id, paid)
	}
	_, err := before.Begin(t.Context(), callOf("order-1"))
	wantError(t, err, keyring.ErrUnknownKey)
	wantError(t, err, semel.ErrDamaged)
}

// New refuses what could lose or show answers.
func TestConfigIsChecked(t *testing.T) {
	good := keyring.NewKey("a")
	for name, cfg := range map[string]keyring.Config{
		"nothing":      {},
		"no primary":   {Keys: []keyring.Key{good}},
		"not there":    {Primary: "b", Keys: []keyring.Key{good}},
		"twice":        {Primary: "a", Keys: []keyring.Key{good, keyring.NewKey("a")}},
		"short":        {Primary: "a", Keys: []keyring.Key{{ID: "a", Secret: good.Secret[:31]}}},
		"long":         {Primary: "a", Keys: []keyring.Key{{ID: "a", Secret: append(good.Secret, 0)}}},
		"no id":        {Primary: "", Keys: []keyring.Key{{Secret: good.Secret}}},
		"upper case":   {Primary: "A", Keys: []keyring.Key{{ID: "A", Secret: good.Secret}}},
		"a very long":  {Primary: strings.Repeat("a", 33), Keys: []keyring.Key{{ID: strings.Repeat("a", 33), Secret: good.Secret}}},
		"a word apart": {Primary: "a b", Keys: []keyring.Key{{ID: "a b", Secret: good.Secret}}},
	} {
		if ring, err := keyring.New(cfg); err == nil || ring != nil {
			t.Errorf("%s: got %v, %v, want an error", name, ring, err)
		}
		if text, err := cfg.Encode(); err == nil || text != nil {
			t.Errorf("%s: got %q encoded", name, text)
		}
	}
}

// No key prints itself, whatever the verb.
func TestKeysDoNotPrint(t *testing.T) {
	key := keyring.Key{ID: "a", Secret: semel.Secret("correct-horse-battery-staple-32b")}
	cfg := keyring.Config{Primary: "a", Keys: []keyring.Key{key}}
	for _, v := range []any{key, &key, cfg, newRing(t, cfg), *newRing(t, cfg)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
			got := fmt.Sprintf(verb, v)
			if strings.Contains(got, "correct") || strings.Contains(got, "636f7272") || strings.Contains(got, "99 111 114") {
				t.Errorf("%s of %T prints %s", verb, v, got)
			}
		}
	}
}
