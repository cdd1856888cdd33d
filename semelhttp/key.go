package semelhttp

import (
	"net/http"
	"strings"

	"github.com/semel-go/semel"
)

// KeyError says why a request's idempotency key is refused. Its text is fit for
// the client and never contains the key.
type KeyError struct {
	// Reason completes the sentence "the idempotency key …".
	Reason string
}

// Error returns the whole sentence.
func (e *KeyError) Error() string { return "the idempotency key " + e.Reason }

// ParseKey reads a key from the lines of one header field, as
// http.Header.Values returns them. There must be exactly one line: repeated
// lines are refused even if they are equal, because a proxy on the way may join
// them and then the key is another one.
//
// Two forms name the same slot. A value that begins with a double quote is a
// structured-field String (RFC 9651 section 3.3.3), as the IETF draft wants it;
// its parameters must be well formed and are ignored. Any other value is taken
// as it is, as nearly all deployed clients send it. White space around the value
// is dropped (RFC 9110 section 5.5).
//
// The key is 1 to 255 bytes of visible ASCII, %x21 to %x7E, compared byte for
// byte. A bare key has no double quote in it. It may have a comma: a,b is one
// key, not two. Everything else is a [*KeyError], never a request without a key.
//
// ParseKey does not allocate for the bare form. The key shares the memory of
// the line.
func ParseKey(values []string) (id string, err error) {
	switch len(values) {
	case 0:
		return "", &KeyError{"is missing"}
	case 1:
	default:
		return "", &KeyError{"is sent in more than one header line"}
	}
	value := strings.Trim(values[0], " \t")
	if strings.HasPrefix(value, `"`) {
		id, reason := parseQuoted(value)
		if reason != "" {
			return "", &KeyError{reason}
		}
		value = id
	} else if strings.Contains(value, `"`) {
		return "", &KeyError{"has a double quote inside"}
	}
	if reason := checkKey(value); reason != "" {
		return "", &KeyError{reason}
	}
	return value, nil
}

// checkKey returns why id cannot be a key, or "".
func checkKey(id string) (reason string) {
	switch {
	case id == "":
		return "is empty"
	case len(id) > semel.MaxKeyLen:
		return "is longer than 255 bytes"
	}
	for i := range len(id) {
		if id[i] < 0x21 || id[i] > 0x7e {
			return "has a byte that is not visible ASCII"
		}
	}
	return ""
}

// KeyHeader looks for a key under all of names. Different keys under two names
// are refused; the same key twice is one key. found is false when no name
// occurs at all, and true with an error when one occurs whose value is not a
// key: an empty value is an error, not a missing key.
//
// Names in canonical form ([http.CanonicalHeaderKey]) cost no allocation.
func KeyHeader(h http.Header, names []string) (id string, found bool, err error) {
	for _, name := range names {
		values := h.Values(name)
		if len(values) == 0 {
			continue
		}
		next, err := ParseKey(values)
		if err != nil {
			return "", true, err
		}
		if found && next != id {
			return "", true, &KeyError{"differs between two header fields"}
		}
		id, found = next, true
	}
	return id, found, nil
}
