package semel_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

func TestKeyValidate(t *testing.T) {
	long := strings.Repeat("x", semel.MaxKeyLen)
	for _, tt := range []struct {
		name string
		key  semel.Key
		ok   bool
	}{
		{"shortest", semel.Key{Scope: "s", ID: "i"}, true},
		{"longest", semel.Key{Scope: long, ID: long}, true},
		{"any bytes", semel.Key{Scope: "\x00", ID: "\xff\n"}, true},
		{"zero", semel.Key{}, false},
		{"no scope", semel.Key{ID: "i"}, false},
		{"no id", semel.Key{Scope: "s"}, false},
		{"scope too long", semel.Key{Scope: long + "x", ID: "i"}, false},
		{"id too long", semel.Key{Scope: "s", ID: long + "x"}, false},
	} {
		err := tt.key.Validate()
		if (err == nil) != tt.ok {
			t.Errorf("%s: got %v, want valid %v", tt.name, err, tt.ok)
		}
		if err != nil && !errors.Is(err, semel.ErrInvalidKey) {
			t.Errorf("%s: got %v, want ErrInvalidKey", tt.name, err)
		}
		if err != nil && strings.Contains(err.Error(), "xxx") {
			t.Errorf("%s: the error tells the key: %v", tt.name, err)
		}
	}
}

// Records are found by this value for as long as they are kept: it is a format.
func TestSlotIsStable(t *testing.T) {
	got := semel.Key{Scope: "tenant-1", ID: "order-42"}.Slot().String()
	want := "b13675bbaa780306afea05dd33ecb56980786db9d4fd45beba1c38a24a4d03ec"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFingerprintIsStable(t *testing.T) {
	got := semel.FingerprintOf([]byte("POST"), []byte("/payments"), nil).String()
	want := "4a651a8f99f02b46ae0fd9c08e34db516f39367a6e9261351f1fe55055857a67"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// I13: two keys never name one slot.
func FuzzSlotIsInjective(f *testing.F) {
	f.Add("ab", "c", "a", "bc")
	f.Add("", "abc", "abc", "")
	f.Add("a\x00", "b", "a", "\x00b")
	f.Add("s", "i", "s", "i")
	f.Add("\x00\x00\x00\x01a", "b", "", "\x00\x00\x00\x01ab")
	f.Fuzz(func(t *testing.T, scope1, id1, scope2, id2 string) {
		a, b := semel.Key{Scope: scope1, ID: id1}, semel.Key{Scope: scope2, ID: id2}
		if got, want := a.Slot() == b.Slot(), a == b; got != want {
			t.Errorf("%q %q and %q %q: got the same slot %v, want %v", scope1, id1, scope2, id2, got, want)
		}
	})
}

// I5: no two lists of parts have one fingerprint. The lists are cut from one
// text, so that they differ in nothing but where they are cut.
func FuzzFingerprintIsInjective(f *testing.F) {
	f.Add([]byte("abc"), uint8(1), uint8(2), uint8(2), uint8(2))
	f.Add([]byte(""), uint8(0), uint8(0), uint8(0), uint8(0))
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x01a"), uint8(8), uint8(9), uint8(0), uint8(8))
	f.Fuzz(func(t *testing.T, text []byte, i, j, k, l uint8) {
		a, b := cut(text, i, j), cut(text, k, l)
		same := len(a) == len(b)
		for n := range a {
			same = same && n < len(b) && bytes.Equal(a[n], b[n])
		}
		if got := semel.FingerprintOf(a...) == semel.FingerprintOf(b...); got != same {
			t.Errorf("%q and %q: got the same fingerprint %v, want %v", a, b, got, same)
		}
		if semel.FingerprintOf(a...) == semel.FingerprintOf(append(a, nil)...) {
			t.Errorf("%q: an empty part more changes nothing, want another fingerprint", a)
		}
	})
}

func cut(text []byte, i, j uint8) [][]byte {
	from := min(int(i), len(text))
	to := max(from, min(int(j), len(text)))
	return [][]byte{text[:from], text[from:to], text[to:]}
}

func TestFingerprintCountsItsParts(t *testing.T) {
	if semel.FingerprintOf() == semel.FingerprintOf(nil) {
		t.Error("no part and one empty part have the same fingerprint, want two")
	}
}

const (
	secretScope = "tenant-hunter2"
	secretID    = "order-correct-horse"
)

var secretKey = semel.Key{Scope: secretScope, ID: secretID}

// leaks reports whether text shows the key in clear, in hexadecimal, quoted or
// as a list of bytes.
func leaks(text string) bool {
	for _, secret := range []string{secretScope, secretID, "hunter2", "correct-horse"} {
		for _, form := range []string{
			secret, hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret))),
			strings.Trim(fmt.Sprintf("%d", []byte(secret)), "[]"),
		} {
			if strings.Contains(text, form) {
				return true
			}
		}
	}
	return false
}

func TestLeaksSeesTheKey(t *testing.T) {
	for _, text := range []string{"a " + secretID, fmt.Sprintf("%x", secretScope), fmt.Sprintf("%X", secretID), fmt.Sprintf("%d", []byte(secretID))} {
		if !leaks(text) {
			t.Errorf("%q: got no leak, want one", text)
		}
	}
}

// holders are values that carry a key in a place where a log may meet it.
func holders() map[string]any {
	type nested struct {
		Name string
		Key  semel.Key
	}
	rec := semel.Record{Key: secretKey, State: semel.StateReserved}
	return map[string]any{
		"key":         secretKey,
		"pointer":     &secretKey,
		"struct":      nested{"n", secretKey},
		"slice":       []semel.Key{secretKey},
		"array":       [1]semel.Key{secretKey},
		"map value":   map[string]semel.Key{"k": secretKey},
		"map key":     map[semel.Key]int{secretKey: 1},
		"any":         []any{secretKey, &secretKey},
		"record":      rec,
		"reservation": semel.Reservation{Key: secretKey},
		"completion":  semel.Completion{Key: secretKey},
		"holder":      semel.Holder{Key: secretKey},
		"resolution":  semel.Resolution{Key: secretKey},
		"outcome":     semel.Outcome{Kind: semel.Reserved, Record: rec},
		"call":        semel.Call{Key: secretKey},
		"config":      semel.Config{Secret: []byte(secretID)},
		"error":       &semel.StoreError{Step: semel.StepReserve, Err: fmt.Errorf("row %v: %w", secretKey, semel.ErrLost)},
	}
}

func TestKeyNeverPrints(t *testing.T) {
	for name, v := range holders() {
		// %p and %w are no verbs for a struct: fmt then prints it with its
		// methods switched off. go vet refuses both.
		for verb := range strings.FieldsSeq("%v %+v %#v %s %q %x %X %d %t %e %c %U %b %o %20v %-20.3s %#x %T") {
			if text := fmt.Sprintf(verb, v); leaks(text) {
				t.Errorf("%s with %s: got %s, want no key", name, verb, text)
			}
		}
		none := ""
		if text := fmt.Sprintf(none, v); leaks(text) { //nolint:staticcheck // that the argument is surplus is the point
			t.Errorf("%s as a surplus argument: got %s, want no key", name, text)
		}
	}
	if got := fmt.Sprint(secretKey); got != secretKey.String() || !strings.HasPrefix(got, "key:") {
		t.Errorf("got %q, want the redacted form %q", got, secretKey.String())
	}
}

func TestKeyNeverReachesALog(t *testing.T) {
	var buf bytes.Buffer
	for name, handler := range map[string]slog.Handler{
		"text": slog.NewTextHandler(&buf, nil),
		"json": slog.NewJSONHandler(&buf, nil),
	} {
		log := slog.New(handler)
		for what, v := range holders() {
			buf.Reset()
			log.With("with", v).WithGroup("g").Info("m", "value", v, slog.Group("group", "inner", v))
			if buf.Len() == 0 {
				t.Fatalf("%s: nothing was logged", name)
			}
			if leaks(buf.String()) {
				t.Errorf("%s handler, %s: got %s, want no key", name, what, buf.String())
			}
		}
	}
}

func TestKeyNeverReachesJSON(t *testing.T) {
	for name, v := range holders() {
		if name == "call" || name == "config" || name == "error" {
			continue // a func and an interface have no JSON form
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if leaks(string(text)) {
			t.Errorf("%s: got %s, want no key", name, text)
		}
	}
	text, err := json.Marshal(struct{ Secret semel.Secret }{[]byte(secretID)})
	if err != nil || string(text) != `{"Secret":"secret:19 bytes"}` {
		t.Errorf("got %s, %v, want the length of the secret and nothing else", text, err)
	}
}

// Equal keys look equal in one log, different ones do not.
func TestRedactedFormTellsKeysApart(t *testing.T) {
	same := semel.Key{Scope: secretScope, ID: secretID}
	if got, want := same.String(), secretKey.String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, other := range []semel.Key{{Scope: secretScope, ID: "x"}, {Scope: "x", ID: secretID}} {
		if other.String() == secretKey.String() {
			t.Errorf("got %s for two keys, want two forms", other)
		}
	}
}

func TestTokenIsAVersion4UUID(t *testing.T) {
	seen := map[semel.Token]bool{}
	for range 1000 {
		token := semel.NewToken()
		if seen[token] {
			t.Fatalf("token %v came twice", token)
		}
		seen[token] = true
		text := token.String()
		if len(text) != 36 || text[14] != '4' || !strings.ContainsRune("89ab", rune(text[19])) {
			t.Fatalf("got %s, want the form of RFC 9562 section 5.4", text)
		}
		back, err := semel.ParseToken(text)
		if back != token || err != nil {
			t.Fatalf("%s: got %v, %v, want the same token back", text, back, err)
		}
	}
}

func TestParseTokenRefuses(t *testing.T) {
	for _, s := range []string{
		"", "x", strings.Repeat("-", 36), strings.Repeat("0", 36), strings.Repeat("0", 32),
		"00000000-0000-0000-0000-00000000000", "00000000-0000-0000-0000-0000000000000",
		"00000000-0000-0000-0000-00000000000g", "0000000-00000-0000-0000-000000000000",
		"{0000000-0000-0000-0000-000000000000}", "00000000-0000-0000-0000-0000000000é",
	} {
		if got, err := semel.ParseToken(s); err == nil || got != (semel.Token{}) {
			t.Errorf("%q: got %v, %v, want an error", s, got, err)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add("f47ac10b-58cc-4372-a567-0e02b2c3d479")
	f.Add("F47AC10B-58CC-4372-A567-0E02B2C3D479")
	f.Add("00000000-0000-0000-0000-000000000000")
	f.Add("f47ac10b58cc4372a5670e02b2c3d479")
	f.Add("f47ac10b-58cc-4372-a567-0e02b2c3d47-")
	f.Fuzz(func(t *testing.T, s string) {
		token, err := semel.ParseToken(s)
		if err != nil {
			if token != (semel.Token{}) {
				t.Errorf("%q: got %v beside an error, want the zero token", s, token)
			}
			return
		}
		if got, want := token.String(), strings.ToLower(s); got != want {
			t.Errorf("%q: got %s back, want %s", s, got, want)
		}
	})
}

// A reference is the same each time, whoever asks meanwhile, and in every engine with the secret.
func TestRefIsTheSameEachTime(t *testing.T) {
	cfg := semel.Config{Secret: []byte("0123456789abcdef")}
	e := newEngine(t, memstore.New(memstore.Config{}), cfg)
	want := map[string]string{}
	for _, id := range []string{"1", "2", "3"} {
		want[id] = newEngine(t, memstore.New(memstore.Config{}), cfg).Ref(semel.Key{Scope: "s", ID: id})
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				for id, want := range want {
					if got := e.Ref(semel.Key{Scope: "s", ID: id}); got != want {
						t.Errorf("got %s for %s, want %s", got, id, want)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}
