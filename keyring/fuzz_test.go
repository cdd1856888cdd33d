package keyring_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/semel-go/semel/keyring"
)

// Whatever a file has: it is refused without showing a secret, or it is a keyring that
// comes back the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "#", "a " + b64 + " primary", "a " + b16 + "\r\nb " + b64b + " primary\n", "a\t" + b64 + "  primary\t\n#" + b64b,
		"a " + b64 + " primary\na " + b64, b64 + " a primary",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		cfg, err := keyring.Parse("ring", text)
		if err != nil {
			if len(cfg.Keys) != 0 || strings.Contains(err.Error(), b64[:12]) || strings.Contains(err.Error(), b16[:12]) {
				t.Fatalf("got %v, %v", cfg, err)
			}
			return
		}
		ring, err := keyring.New(cfg)
		if err != nil {
			t.Fatalf("New refuses what Parse took: %v", err)
		}
		wantOpen(t, ring, "record", seal(t, ring, "record", "paid"), "paid")
		text, err = cfg.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := keyring.Parse("ring", text)
		if err != nil || again.Primary != cfg.Primary || len(again.Keys) != len(cfg.Keys) {
			t.Fatalf("got %v, %v, want %v", again, err, cfg)
		}
		for i, k := range again.Keys {
			if k.ID != cfg.Keys[i].ID || !bytes.Equal(k.Secret, cfg.Keys[i].Secret) {
				t.Fatalf("key %d: got %v, want %v", i, k, cfg.Keys[i])
			}
		}
	})
}

// Whatever a store has: it never opens as something that nobody sealed, and never panics.
func FuzzEnvelope(f *testing.F) {
	key := keyring.Key{ID: "a", Secret: secret}
	ring := ringOf(f, key)
	wrapped := newWrapped(f, newVault("a"), keyring.WrappedConfig{Old: ring})
	sealed := map[string]bool{"": true, "paid": true, strings.Repeat("x", 300): true}
	for plain := range sealed {
		f.Add(seal(f, ring, "record", plain))
		f.Add(seal(f, wrapped, "record", plain))
	}
	f.Add([]byte("\xfa\x01a\x00\x00"))
	f.Add([]byte("\xf9\xff"))
	f.Fuzz(func(t *testing.T, field []byte) {
		id, idErr := keyring.KeyID(field)
		if idErr == nil && (id == "" || len(id) > keyring.MaxIDLen) {
			t.Fatalf("got the id %q", id)
		}
		plain, err := wrapped.Open([]byte("record"), field)
		switch {
		case err == nil && !sealed[string(plain)]:
			t.Fatalf("%x opens as %q", field, plain)
		case err != nil && !errors.Is(err, keyring.ErrDamaged) && !errors.Is(err, keyring.ErrUnknownKey):
			t.Fatalf("got %v, want damage or an unknown key", err)
		case idErr != nil && !errors.Is(err, keyring.ErrDamaged):
			t.Fatalf("got %v for what is no envelope", err)
		}
		if lenient := newRing(t, keyring.Config{Primary: "a", Keys: []keyring.Key{key}, AcceptPlain: true}); idErr == nil && lenient.Plain(field) {
			t.Fatal("an envelope counts as plain")
		}
	})
}
