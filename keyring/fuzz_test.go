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

// Whatever a store has: it never opens unless it was sealed, and never panics.
func FuzzEnvelope(f *testing.F) {
	key := keyring.Key{ID: "a", Secret: secret}
	ring := ringOf(f, key)
	known := map[string]bool{}
	for _, plain := range []string{"", "paid", strings.Repeat("x", 300)} {
		sealed := seal(f, ring, "record", plain)
		known[string(sealed)] = true
		f.Add(sealed)
	}
	service := newVault("a")
	wrapped := newWrapped(f, service, keyring.WrappedConfig{Old: ring})
	sealed := seal(f, wrapped, "record", "paid")
	known[string(sealed)] = true
	f.Add(sealed)
	f.Add([]byte("\xfa\x01a\x00\x00"))
	f.Add([]byte("\xf9\xff"))
	f.Fuzz(func(t *testing.T, sealed []byte) {
		id, idErr := keyring.KeyID(sealed)
		if idErr == nil && (id == "" || len(id) > keyring.MaxIDLen) {
			t.Fatalf("got the id %q", id)
		}
		plain, err := wrapped.Open([]byte("record"), sealed)
		switch {
		case err == nil && !known[string(sealed)]:
			t.Fatalf("%x opens as %q", sealed, plain)
		case err != nil && !errors.Is(err, keyring.ErrDamaged) && !errors.Is(err, keyring.ErrUnknownKey):
			t.Fatalf("got %v, want damage or an unknown key", err)
		case idErr != nil && !errors.Is(err, keyring.ErrDamaged):
			t.Fatalf("got %v for what is no envelope", err)
		}
		if len(sealed) > 0 && sealed[0] == 1 && !newRing(t, keyring.Config{Primary: "a", Keys: []keyring.Key{key}, AcceptPlain: true}).Plain(sealed) {
			t.Fatal("a header blob counts as sealed")
		}
	})
}
