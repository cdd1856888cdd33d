package keyring

import (
	"fmt"
	"io"

	"github.com/semel-go/semel"
)

var (
	_ semel.Sealer      = (*Keyring)(nil)
	_ semel.Rewrapper   = (*Keyring)(nil)
	_ semel.PlainReader = (*Keyring)(nil)
)

// Keyring seals under one key and opens under several. It never changes, does no I/O and is
// safe for concurrent use. To take up a changed file, make a new one.
type Keyring struct {
	primary string
	head    []byte // of what the primary key seals
	keys    map[string]*master
	plain   bool
}

// New checks cfg and returns a Keyring. It copies what it needs.
func New(cfg Config) (*Keyring, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	k := &Keyring{
		primary: cfg.Primary, head: head(cfg.Primary, nil),
		keys: make(map[string]*master, len(cfg.Keys)), plain: cfg.AcceptPlain,
	}
	for _, key := range cfg.Keys {
		m, err := newMaster(key.Secret)
		if err != nil {
			return nil, err
		}
		k.keys[key.ID] = m
	}
	return k, nil
}

// Primary returns the id of the key that seals.
func (k *Keyring) Primary() string { return k.primary }

// Format implements [fmt.Formatter], so that no verb prints a key.
func (k *Keyring) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "keyring:"+k.primary) }

// Seal implements [semel.Sealer]. Nothing, nil or empty, is sealed too: how long
// it is must not be told by whether it is there.
func (k *Keyring) Seal(aad, plain []byte) ([]byte, error) {
	return sealUnder(k.keys[k.primary], k.head, aad, plain)
}

// Open implements [semel.Sealer]. An error wraps [ErrUnknownKey] or [ErrDamaged].
// Bytes that were never sealed are damaged, whatever Config.AcceptPlain says: what is plain is
// decided for a whole record, by [Keyring.Plain].
func (k *Keyring) Open(aad, sealed []byte) ([]byte, error) {
	e, err := parse(sealed)
	if err != nil {
		return nil, err
	}
	m := k.keys[e.id]
	if m == nil || e.kind != kindDirect {
		return nil, fmt.Errorf("%w: %q", ErrUnknownKey, e.id)
	}
	return openUnder(m, e, aad)
}

// Plain implements [semel.PlainReader]: with Config.AcceptPlain, a record whose header is
// no envelope is read as it is. The header decides for the body too, as the body
// may be anything: nothing that a caller can make the service answer, an envelope
// included, changes how it is read.
func (k *Keyring) Plain(header []byte) bool { return k.plain && !isEnvelope(header) }

// Stale reports whether sealed is anything but sealed under the primary key. It does not
// tell whether it opens.
func (k *Keyring) Stale(sealed []byte) bool {
	e, err := parse(sealed)
	return err != nil || e.kind != kindDirect || e.id != k.primary
}

// Rewrap implements [semel.Rewrapper]: what is [Keyring.Stale] is opened, and sealed under
// the primary key. Everything else comes back as it is.
func (k *Keyring) Rewrap(aad, sealed []byte) (fresh []byte, changed bool, err error) {
	return rewrap(k, aad, sealed)
}

// rewrap is Rewrap of both kinds of keyrings.
func rewrap(s interface {
	semel.Sealer
	Stale(sealed []byte) bool
}, aad, sealed []byte,
) (fresh []byte, changed bool, err error) {
	if !s.Stale(sealed) {
		return sealed, false, nil
	}
	plain, err := s.Open(aad, sealed)
	if err != nil {
		return nil, false, err
	}
	fresh, err = s.Seal(aad, plain)
	return fresh, err == nil, err
}

// KeyID returns the id of the key that sealed is under, whether there is such a key
// or not. An error wraps [ErrDamaged]: sealed is no envelope.
func KeyID(sealed []byte) (string, error) {
	e, err := parse(sealed)
	return e.id, err
}
