package semel_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// gcm seals with AES-256-GCM under one key: nonce, then cipher text and tag.
type gcm struct {
	cipher.AEAD
	broken error // what Seal fails with
}

func newGCM(t *testing.T) *gcm {
	t.Helper()
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return &gcm{AEAD: aead}
}

func (g *gcm) Seal(aad, plain []byte) ([]byte, error) {
	if g.broken != nil {
		return nil, g.broken
	}
	nonce := make([]byte, g.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return g.AEAD.Seal(nonce, nonce, plain, aad), nil
}

func (g *gcm) Open(aad, sealed []byte) ([]byte, error) {
	if len(sealed) < g.NonceSize() {
		return nil, errors.New("too short")
	}
	return g.AEAD.Open(nil, sealed[:g.NonceSize()], sealed[g.NonceSize():], aad)
}

// raw returns the record as the store keeps it.
func raw(t *testing.T, store *memstore.Store, key semel.Key) semel.Record {
	t.Helper()
	for rec, err := range store.List(t.Context(), semel.Filter{Scope: key.Scope, ID: key.ID, Bodies: true}) {
		if err != nil {
			t.Fatal(err)
		}
		return rec
	}
	t.Fatal("there is no record")
	return semel.Record{}
}

// I3: what comes back is what was sealed, and the store never sees it.
func TestSealedResponseComesBack(t *testing.T) {
	store := memstore.New(memstore.Config{})
	e := newEngine(t, store, semel.Config{Sealer: newGCM(t)})
	secret := semel.Response{Status: 201, Header: []byte("set-cookie: hunter2"), Body: []byte("iban: correct-horse")}
	for id, r := range map[string]semel.Response{"order-1": secret, "order-2": {Status: 204}} {
		complete(t, reserve(t, e, call(id, "x")), r)
		kept := raw(t, store, call(id, "x").Key).Response
		if len(kept.Header) == 0 || len(kept.Body) == 0 || kept.Status != r.Status {
			t.Errorf("got %+v kept, want the status and both fields sealed, empty ones too", kept)
		}
		if leaks(show(kept)) {
			t.Errorf("the store keeps the plain text %s", show(kept))
		}
		wantReplay(t, begin(t, e, call(id, "x")), r)
	}
	if !bytes.Equal(secret.Body, []byte("iban: correct-horse")) {
		t.Error("sealing changed the caller's bytes")
	}
}

// A record that was changed behind the engine's back is reported: it is never
// replayed in part, and its request never runs again.
func TestDamagedRecordIsNeverReplayed(t *testing.T) {
	for name, change := range map[string]func(own, other semel.Response) semel.Response{
		"moved from another slot": func(_, other semel.Response) semel.Response { return other },
		"fields exchanged": func(own, _ semel.Response) semel.Response {
			return semel.Response{Status: own.Status, Header: own.Body, Body: own.Header}
		},
		"another status":   func(own, _ semel.Response) semel.Response { own.Status = 500; return own },
		"a flipped bit":    func(own, _ semel.Response) semel.Response { own.Body = flip(own.Body); return own },
		"a flipped header": func(own, _ semel.Response) semel.Response { own.Header = flip(own.Header); return own },
		"cut short":        func(own, _ semel.Response) semel.Response { own.Body = own.Body[:len(own.Body)-1]; return own },
		"emptied":          func(own, _ semel.Response) semel.Response { own.Body = nil; return own },
		"never sealed":     func(semel.Response, semel.Response) semel.Response { return answer("plain") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sealer, store := newGCM(t), memstore.New(memstore.Config{})
				e, _ := process(t, store, semel.Config{Sealer: sealer})
				own, other := call("order-1", "x"), call("order-2", "x")
				complete(t, reserve(t, e, own), answer("of order 1"))
				complete(t, reserve(t, e, other), answer("of order 2"))

				damaged := memstore.New(memstore.Config{})
				rewrite(t, damaged, own.Key, change(raw(t, store, own.Key).Response, raw(t, store, other.Key).Response))
				e, _ = process(t, damaged, semel.Config{Sealer: sealer})
				for range 3 {
					out, err := e.Begin(t.Context(), own)
					wantError(t, err, semel.ErrDamaged)
					if out.Kind != 0 || out.Claim != nil {
						t.Errorf("got %v and %v, want nothing beside the error", out.Kind, out.Claim)
					}
				}
			})
		})
	}
}

// The same bytes in their place are no damage: the test above tests something.
func TestUndamagedRecordIsReplayed(t *testing.T) {
	sealer, store := newGCM(t), memstore.New(memstore.Config{})
	e := newEngine(t, store, semel.Config{Sealer: sealer})
	own := call("order-1", "x")
	complete(t, reserve(t, e, own), answer("of order 1"))
	copied := memstore.New(memstore.Config{})
	rewrite(t, copied, own.Key, raw(t, store, own.Key).Response)
	wantReplay(t, begin(t, newEngine(t, copied, semel.Config{Sealer: sealer}), own), answer("of order 1"))
}

func flip(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 1
	return b
}

// rewrite keeps r under key in a store, as it is.
func rewrite(t *testing.T, store *memstore.Store, key semel.Key, r semel.Response) {
	t.Helper()
	token := semel.NewToken()
	_, err := store.Reserve(t.Context(), semel.Reservation{
		Key: key, Fingerprint: semel.FingerprintOf([]byte("x")), Token: token, Lease: time.Minute, Retention: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Complete(t.Context(), semel.Completion{Key: key, Token: token, Response: r, Retention: time.Hour}); err != nil {
		t.Fatal(err)
	}
}

// A response that cannot be sealed is not stored, neither in clear nor later;
// the caller and the log are told, and the outcome stays unknown.
func TestSealFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		sealer := newGCM(t)
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{Sealer: sealer, Logger: log.logger()})
		sealer.broken = errors.New("the key service is down")
		c := reserve(t, e, semel.Call{Key: secretKey})
		err := c.Complete(t.Context(), answer("paid"))
		wantError(t, err, semel.ErrNotStored)
		wantError(t, err, sealer.broken)
		if got := log.String(); !strings.Contains(got, sealer.broken.Error()) || !strings.Contains(got, e.Ref(secretKey)) || leaks(got) {
			t.Errorf("got log %s, want the error and the ref, and no key", got)
		}
		time.Sleep(lapse)
		wantUnknown(t, begin(t, e, semel.Call{Key: secretKey}))

		inTx := reserve(t, e, call("order-2", "x"))
		wantError(t, inTx.CompleteIn(t.Context(), ofTx{w}, answer("paid")), sealer.broken)
		if got := w.count(semel.StepComplete); got != 0 {
			t.Errorf("got %d completes, want none", got)
		}
		out, err := inTx.Confirm(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wantOutcome(t, out, semel.Reserved)
		sealer.broken = nil
		complete(t, inTx, answer("paid"))
	})
}

// Confirm opens like Begin, and reports damage like Begin.
func TestConfirmOpens(t *testing.T) {
	store := memstore.New(memstore.Config{})
	e := newEngine(t, store, semel.Config{Sealer: newGCM(t)})
	c := reserve(t, e, call("order-1", "x"))
	complete(t, c, answer("paid"))
	out, err := c.Confirm(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantReplay(t, out, answer("paid"))

	damaged := reserve(t, e, call("order-2", "x"))
	err = store.Complete(t.Context(), semel.Completion{Key: damaged.Key(), Token: damaged.Token(), Response: answer("plain"), Retention: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	_, err = damaged.Confirm(t.Context())
	wantError(t, err, semel.ErrDamaged)
}
