package keyring

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The errors of opening. [errors.Is] tells them apart.
var (
	// ErrUnknownKey: the bytes are sealed under a key that is not there. The error's
	// text names its id. With the right key they may open.
	ErrUnknownKey = errors.New("keyring: there is no such key")
	// ErrDamaged: the bytes are no envelope, or were changed, or belong to another
	// record, another field or another status.
	ErrDamaged = errors.New("keyring: damaged")
)

// MaxIDLen is the length of the longest key id in bytes.
const MaxIDLen = 32

// The envelope (docs/adr/0025). The first byte is its version, one for each kind. It is none that
// UTF-8 has, nor that a header blob of this module begins with.
//
//	byte    0xf9: the key is one of a keyring
//	        0xfa: the key is one that a key service has wrapped
//	byte    length of the key id
//	        key id: 1 to 32 of a-z, 0-9 and -
//	uint16  with 0xfa: length of the wrapped key, big endian
//	        with 0xfa: the wrapped key
//	        nonce: 24 bytes
//	        cipher text and tag
//
// Everything in front of the nonce is authenticated, with the engine's additional data
// behind it.
const (
	kindDirect  = 0xf9
	kindWrapped = 0xfa
)

// maxWrapped is the length of the longest wrapped key in bytes. Key services need less
// than a thousand.
const maxWrapped = 4096

// envelope is a sealed field, taken apart. Its slices lie in the field.
type envelope struct {
	kind    byte
	id      string
	wrapped []byte
	head    []byte // what lies in front of the nonce
	box     []byte // nonce, cipher text and tag
}

func isEnvelope(b []byte) bool { return len(b) > 0 && (b[0] == kindDirect || b[0] == kindWrapped) }

// parse takes sealed apart. It says nothing about whether that opens.
func parse(sealed []byte) (envelope, error) {
	if !isEnvelope(sealed) || len(sealed) < 2 {
		return envelope{}, fmt.Errorf("%w: no envelope", ErrDamaged)
	}
	e := envelope{kind: sealed[0]}
	n, rest := int(sealed[1]), sealed[2:]
	if n > len(rest) || !validID(string(rest[:n])) {
		return envelope{}, fmt.Errorf("%w: no key id", ErrDamaged)
	}
	e.id, rest = string(rest[:n]), rest[n:]
	if e.kind == kindWrapped {
		if len(rest) < 2 {
			return envelope{}, fmt.Errorf("%w: no wrapped key", ErrDamaged)
		}
		n, rest = int(binary.BigEndian.Uint16(rest)), rest[2:]
		if n == 0 || n > maxWrapped || n > len(rest) {
			return envelope{}, fmt.Errorf("%w: no wrapped key", ErrDamaged)
		}
		e.wrapped, rest = rest[:n], rest[n:]
	}
	if len(rest) < nonceSize+tagSize {
		return envelope{}, fmt.Errorf("%w: cut short", ErrDamaged)
	}
	e.head, e.box = sealed[:len(sealed)-len(rest)], rest
	return e, nil
}

// head is the beginning of an envelope. wrapped is nil without a key service.
func head(id string, wrapped []byte) []byte {
	length := byte(len(id)) //nolint:gosec // MaxIDLen bounds it
	if wrapped == nil {
		return append([]byte{kindDirect, length}, id...)
	}
	b := append([]byte{kindWrapped, length}, id...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(wrapped))) //nolint:gosec // maxWrapped bounds it
	return append(b, wrapped...)
}

// sealUnder makes an envelope.
func sealUnder(m *master, head, aad, plain []byte) ([]byte, error) {
	out := make([]byte, 0, len(head)+nonceSize+len(plain)+tagSize)
	return m.seal(append(out, head...), plain, bound(head, aad))
}

// openUnder opens an envelope.
func openUnder(m *master, e envelope, aad []byte) ([]byte, error) {
	plain, err := m.open(e.box, bound(e.head, aad))
	if err != nil {
		return nil, fmt.Errorf("%w: changed, or of another record, field or status", ErrDamaged)
	}
	return plain, nil
}

// bound is what a field is bound to. A head tells its own length, so no two pairs give
// the same bytes.
func bound(head, aad []byte) []byte {
	return append(append(make([]byte, 0, len(head)+len(aad)), head...), aad...)
}

// validID reports whether id may name a key.
func validID(id string) bool {
	for i := range len(id) {
		c := id[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return id != "" && len(id) <= MaxIDLen
}
