package keyring_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/semel-go/semel/keyring"
)

var (
	secret = []byte("correct-horse-battery-staple-32b")
	b64    = base64.StdEncoding.EncodeToString(secret)
	b16    = hex.EncodeToString(secret)
	b64b   = base64.StdEncoding.EncodeToString([]byte("another-horse-battery-staple-32b"))
)

func TestParse(t *testing.T) {
	text := "# of payments\n\n  2026-11\t" + b64 + " primary  \r\n   # older\n2026-05 " + strings.ToUpper(hex.EncodeToString([]byte("another-horse-battery-staple-32b")))
	cfg, err := keyring.Parse("ring", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Keys) != 2 || cfg.Primary != "2026-11" || cfg.Keys[0].ID != "2026-11" || cfg.Keys[1].ID != "2026-05" ||
		!bytes.Equal(cfg.Keys[0].Secret, secret) || string(cfg.Keys[1].Secret) != "another-horse-battery-staple-32b" || cfg.AcceptPlain {
		t.Errorf("got %v", cfg)
	}
	if ring := newRing(t, cfg); ring.Primary() != "2026-11" {
		t.Errorf("got %v", ring)
	}
}

// A mistake is told with its place, and never with a word of the text.
func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		line int
		want string
	}{
		"empty":              {"", 0, "there is no key"},
		"comments only":      {"# a\n\n", 2, "there is no key"},
		"no primary":         {"a " + b64 + "\nb " + b64b + "\n", 2, "no key is primary"},
		"two primaries":      {"a " + b64 + " primary\nb " + b64b + " primary\n", 2, "a second primary key, after line 1"},
		"the same id":        {"a " + b64 + " primary\n\na " + b64b + "\n", 3, "the id of line 1 again"},
		"no secret":          {"\na\n", 2, "want an id and a secret"},
		"a secret alone":     {b64 + "\n", 1, "want an id and a secret"},
		"exchanged":          {b64 + " a primary\n", 1, "the first word is no id"},
		"exchanged in hex":   {b16 + " a primary\n", 1, "the first word is no id"},
		"upper case":         {"A " + b64 + " primary\n", 1, "the first word is no id"},
		"a mark":             {"\ufeffa " + b64 + " primary\n", 1, "the first word is no id"},
		"an unknown word":    {"a " + b64 + " secondary\n", 1, "only the word primary"},
		"a comment behind":   {"a " + b64 + " primary # mine\n", 1, "only the word primary"},
		"a word too many":    {"a " + b64 + " primary primary\n", 1, "only the word primary"},
		"31 bytes":           {"a " + base64.StdEncoding.EncodeToString(secret[:31]) + " primary\n", 1, "not 32 bytes"},
		"33 bytes":           {"a " + base64.StdEncoding.EncodeToString(append(secret, 'x')) + " primary\n", 1, "not 32 bytes"},
		"31 bytes in hex":    {"a " + b16[2:] + " primary\n", 1, "not 32 bytes"},
		"no base64":          {"a " + b64[:43] + "! primary\n", 1, "not 32 bytes"},
		"not padded":         {"a " + b64[:43] + " primary\n", 1, "not 32 bytes"},
		"bits left over":     {"a " + b64[:42] + "J= primary\n", 1, "not 32 bytes"},
		"no hexadecimal":     {"a " + b16[:63] + "z primary\n", 1, "not 32 bytes"},
		"the raw bytes":      {"a " + string(secret) + " primary\n", 1, "not 32 bytes"},
		"a return in a word": {"a " + b64[:43] + "\r= primary\n", 1, "not 32 bytes"},
	} {
		cfg, err := keyring.Parse("ring", []byte(c.text))
		if err == nil || len(cfg.Keys) != 0 {
			t.Errorf("%s: got %v, %v, want an error", name, cfg, err)
			continue
		}
		got := err.Error()
		if !strings.HasPrefix(got, fmt.Sprintf("keyring: ring:%d: ", c.line)) || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want line %d: %s", name, got, c.line, c.want)
		}
		for n := 8; n <= len(c.text); n++ { // no run of eight bytes
			if part := c.text[n-8 : n]; strings.Contains(got, part) && !strings.Contains(" want an id and a secret only the word primary may follow ", part) {
				t.Errorf("%s: the error shows %q: %s", name, part, got)
			}
		}
	}
	if _, err := keyring.Parse("ring", bytes.Repeat([]byte("#\n"), 1<<20)); err == nil {
		t.Error("got no error for two megabytes")
	}
}

// What Encode writes, Parse reads, and Load does not take a file that anybody may read.
func TestFile(t *testing.T) {
	want := keyring.Config{Primary: "b", Keys: []keyring.Key{keyring.NewKey("a"), keyring.NewKey("b")}}
	text, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ring")
	for mode, fine := range map[os.FileMode]bool{0o600: true, 0o440: true, 0o604: false, 0o602: false, 0o666: false} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		got, err := keyring.Load(path)
		switch {
		case runtime.GOOS == "windows" || fine:
			if err != nil || got.Primary != "b" || len(got.Keys) != 2 || !bytes.Equal(got.Keys[1].Secret, want.Keys[1].Secret) {
				t.Errorf("mode %#o: got %v, %v, want %v", mode, got, err, want)
			}
		case err == nil || !strings.Contains(err.Error(), path) || len(got.Keys) != 0:
			t.Errorf("mode %#o: got %v, %v, want an error with the path", mode, got, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	_, err = keyring.Load(path)
	wantError(t, err, os.ErrNotExist)
	if _, err := keyring.Load(t.TempDir()); err == nil {
		t.Error("got no error for a folder")
	}
}
