package semel

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"sync"
)

// Limits of a [Key], in bytes. [Engine.Begin] refuses a longer key with
// [ErrInvalidKey]. 255 is the limit of most published APIs.
const (
	MaxKeyLen   = 255
	MaxScopeLen = 255
)

// Key names one slot: what the client sent (ID), inside the space of the
// principal who sent it (Scope). Both are needed: the same ID in two scopes
// names two slots that never influence one another (invariant I13).
//
// A key is as sensitive as a bearer token, so it redacts itself: fmt, slog and
// encoding/json print a short keyed hash. Read the fields to see the text. fmt
// cannot ask a key in an unexported field, so a type that has one needs a
// method Format of its own. The zero Key is not valid.
type Key struct {
	// Scope is the principal: a tenant, an account, a hash of a credential.
	// 1 to MaxScopeLen bytes.
	Scope string
	// ID is the idempotency key as the client sent it, unquoted.
	// 1 to MaxKeyLen bytes, compared byte for byte.
	ID string
}

// Validate reports why k cannot name a slot, wrapping [ErrInvalidKey].
func (k Key) Validate() error {
	switch {
	case k.Scope == "":
		return fmt.Errorf("%w: the scope is empty", ErrInvalidKey)
	case len(k.Scope) > MaxScopeLen:
		return fmt.Errorf("%w: the scope has %d bytes, more than %d", ErrInvalidKey, len(k.Scope), MaxScopeLen)
	case k.ID == "":
		return fmt.Errorf("%w: the key is empty", ErrInvalidKey)
	case len(k.ID) > MaxKeyLen:
		return fmt.Errorf("%w: the key has %d bytes, more than %d", ErrInvalidKey, len(k.ID), MaxKeyLen)
	}
	return nil
}

// Slot returns the fixed-size name that stores index by. Two different keys
// have two different slots: both parts are length-prefixed before hashing.
func (k Key) Slot() Slot {
	var room [2 * (4 + MaxKeyLen)]byte
	b := room[:0]
	b = appendPrefixed(b, k.Scope)
	b = appendPrefixed(b, k.ID)
	return sha256.Sum256(b)
}

// String returns the redacted form.
func (k Key) String() string { return "key:" + k.redacted() }

// Format implements [fmt.Formatter], so that no verb prints the text. %p and %w
// are no verbs for a key: go vet refuses them.
func (k Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, k.String()) }

// LogValue implements [slog.LogValuer].
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText makes encoding/json print the redacted form. There is no way back.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// redacted is a hash under a secret that lives as long as the process: equal
// keys look equal in one log, and a guess cannot be checked against it.
func (k Key) redacted() string {
	slot := k.Slot()
	return shortMAC(processSecret(), "redact", slot[:])
}

// Secret keys hashes. It redacts itself: fmt, slog and encoding/json print its
// length. Convert it to a []byte to see more.
type Secret []byte

// String returns the redacted form.
func (s Secret) String() string { return fmt.Sprintf("secret:%d bytes", len(s)) }

// Format implements [fmt.Formatter], so that no verb prints the bytes.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue implements [slog.LogValuer].
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText makes encoding/json print the redacted form. There is no way back.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

var processSecret = sync.OnceValue(func() []byte {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails, see crypto/rand
	return secret
})

// shortMAC returns 12 hexadecimal digits of HMAC-SHA-256(secret, label || data).
func shortMAC(secret []byte, label string, data []byte) string {
	return new(macs).short(secret, label, data)
}

// macs makes those of one secret again and again, and prepares it once.
type macs struct{ pool sync.Pool }

type macAndText struct {
	hash.Hash
	text []byte
}

func (m *macs) short(secret []byte, label string, data []byte) string {
	mac, ok := m.pool.Get().(*macAndText)
	if !ok {
		mac = &macAndText{Hash: hmac.New(sha256.New, secret)}
	}
	mac.text = append(append(mac.text[:0], label...), data...)
	mac.Reset()
	_, _ = mac.Write(mac.text)
	mac.text = mac.Sum(mac.text[:0])
	short := hex.EncodeToString(mac.text[:6])
	m.pool.Put(mac)
	return short
}

func appendPrefixed[T string | []byte](b []byte, part T) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(part))) //nolint:gosec // lengths here are bounded by the caller
	return append(b, part...)
}

// Slot is the SHA-256 of a [Key]: 32 bytes, no length attacks. Whoever sees one can check a
// guess of the key against it, unless [Config.HashKeys] is set.
type Slot [sha256.Size]byte

// String returns 64 hexadecimal digits.
func (s Slot) String() string { return hex.EncodeToString(s[:]) }

// Fingerprint is the SHA-256 of what makes a request this request. Two requests
// under one key must have the same fingerprint; otherwise the second is refused
// as [Conflict]. It is compared on every path (invariant I5).
type Fingerprint [sha256.Size]byte

// FingerprintOf hashes the parts in order. Each part is length-prefixed, so
// ("ab", "c") and ("a", "bc") differ.
func FingerprintOf(parts ...[]byte) Fingerprint {
	h := sha256.New()
	var n [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		_, _ = h.Write(n[:])
		_, _ = h.Write(p)
	}
	return Fingerprint(h.Sum(nil))
}

// String returns 64 hexadecimal digits.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// Token answers "is it still mine?": 16 random bytes chosen by an attempt
// before its first step, so that a step whose answer was lost can be repeated.
// It has the form of a version 4 UUID (RFC 9562 section 5.4).
type Token [16]byte

// NewToken returns a fresh random token.
func NewToken() Token {
	var t Token
	_, _ = rand.Read(t[:])
	t[6] = t[6]&0x0f | 0x40
	t[8] = t[8]&0x3f | 0x80
	return t
}

// ParseToken reads the text form that [Token.String] writes.
func ParseToken(s string) (Token, error) {
	var t Token
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return t, fmt.Errorf("semel: token %q is not a UUID", s)
	}
	digits := s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	if _, err := hex.Decode(t[:], []byte(digits)); err != nil {
		return Token{}, fmt.Errorf("semel: token %q is not a UUID: %w", s, err)
	}
	return t, nil
}

// String returns the UUID text form.
func (t Token) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", t[0:4], t[4:6], t[6:8], t[8:10], t[10:16])
}
