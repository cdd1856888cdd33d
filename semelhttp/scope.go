package semelhttp

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/semel-go/semel"
)

// ErrNoScope: the request does not say who sent it. It is refused.
var ErrNoScope = errors.New("semelhttp: the request has no scope")

// ScopeFunc says whose key it is: the principal that authenticated, as 1 to
// semel.MaxScopeLen bytes. Two callers with one scope see one another's answers;
// one caller with two scopes runs twice. An error refuses the request as
// scope-missing. A ScopeFunc must not read the body and must be safe for
// concurrent use. It runs after authentication, which it does not replace.
//
// The scopes that this package makes begin with a letter for their kind, so that
// two kinds never meet in one slot.
type ScopeFunc func(r *http.Request) (string, error)

// ByHeader takes a request header field, such as Authorization or X-Api-Key. The
// scope is a SHA-256 of the name and the value, so no credential reaches a
// store. The value counts byte for byte; a missing, empty or repeated field is
// [ErrNoScope].
//
// Use it only with credentials that live longer than a client retries. When an
// access token is refreshed between two tries, the second try is another
// caller's and runs again: take the account from the verified token with
// [ByContext] instead. A field that the client may choose freely, such as
// X-Tenant without a check, separates nobody.
func ByHeader(name string) ScopeFunc {
	name = http.CanonicalHeaderKey(name)
	return func(r *http.Request) (string, error) {
		values := r.Header[name]
		switch {
		case len(values) == 0 || values[0] == "":
			return "", fmt.Errorf("%w: header field %s is missing", ErrNoScope, name)
		case len(values) > 1:
			return "", fmt.Errorf("%w: header field %s is repeated", ErrNoScope, name)
		}
		return hashedScope('h', name, values[0]), nil
	}
}

// hashedScope returns kind, a colon and 43 characters that stand for the parts.
func hashedScope(kind byte, parts ...string) string {
	var room [1024]byte // enough for most credentials, on the stack
	text := room[:0]
	for _, part := range parts {
		text = strconv.AppendInt(text, int64(len(part)), 10)
		text = append(text, ':')
		text = append(text, part...)
	}
	sum := sha256.Sum256(text)
	var scope [2 + 43]byte
	scope[0], scope[1] = kind, ':'
	base64.RawURLEncoding.Encode(scope[2:], sum[:])
	return string(scope[:])
}

// ByClientCertificate takes the key pair of a client certificate that the TLS
// server verified (tls.RequireAndVerifyClientCert or VerifyClientCertIfGiven).
// A certificate that was only shown, and not verified, is [ErrNoScope].
//
// The scope is a SHA-256 of the leaf's public key (SubjectPublicKeyInfo): it
// survives a renewal that keeps the key pair and changes with one that makes a
// new pair. Where renewal rotates keys, as ACME and SPIFFE do, take the verified
// subject or URI name with [ByContext] instead.
func ByClientCertificate() ScopeFunc {
	return func(r *http.Request) (string, error) {
		if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || len(r.TLS.VerifiedChains[0]) == 0 {
			return "", fmt.Errorf("%w: no verified client certificate", ErrNoScope)
		}
		leaf := r.TLS.VerifiedChains[0][0]
		return hashedScope('c', string(leaf.RawSubjectPublicKeyInfo)), nil
	}
}

// ByRemoteAddr takes the IP address of the connection, without port and zone;
// an IPv4 address in IPv6 form is the IPv4 address.
//
// It is a weak scope. Behind a proxy or load balancer everybody has one address;
// behind NAT many do; and a client whose address changes between two tries runs
// twice. Use it only on a network where the address is the identity.
func ByRemoteAddr() ScopeFunc {
	return func(r *http.Request) (string, error) {
		remote, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil {
			return "", fmt.Errorf("%w: the remote address is not an IP address and port", ErrNoScope)
		}
		return "a:" + remote.Addr().Unmap().WithZone("").String(), nil
	}
}

// ByContext takes what authentication left in the request's context. The func
// form keeps the context key private to the package that owns it:
//
//	semelhttp.ByContext(func(ctx context.Context) (string, bool) {
//		account, ok := auth.FromContext(ctx)
//		return account.ID, ok
//	})
//
// This is the best scope: an account id outlives tokens, certificates and
// addresses. False or an empty text is [ErrNoScope]. The text is stored as it
// is, for operators to read, if it is short UTF-8 without control characters;
// otherwise its SHA-256 is.
func ByContext(principal func(context.Context) (string, bool)) ScopeFunc {
	return func(r *http.Request) (string, error) {
		text, ok := principal(r.Context())
		if !ok || text == "" {
			return "", fmt.Errorf("%w: the context names no principal", ErrNoScope)
		}
		return readableScope('x', text), nil
	}
}

// readableScope returns kind, a colon and text, or the kind in upper case and a
// hash when text does not fit.
func readableScope(kind byte, text string) string {
	if 2+len(text) > semel.MaxScopeLen || !isPrintable(text) {
		return hashedScope(kind-'a'+'A', text)
	}
	return string([]byte{kind, ':'}) + text
}

func isPrintable(text string) bool {
	for _, r := range text {
		if r == utf8.RuneError || unicode.IsControl(r) {
			return false
		}
	}
	return true
}

// Global puts all callers into one scope, on purpose: whoever knows a key can
// read the answer it got. It is right where there is one caller, such as a
// service behind one gateway, and wrong on any public API.
func Global() ScopeFunc {
	return func(*http.Request) (string, error) { return "g:", nil }
}

// Join combines scopes, such as a tenant and a user: all of them must be equal
// for two requests to share a slot. The parts cannot run into one another. The
// first error is returned; no scopes at all is [ErrNoScope].
func Join(scopes ...ScopeFunc) ScopeFunc {
	return func(r *http.Request) (string, error) {
		if len(scopes) == 0 {
			return "", fmt.Errorf("%w: no scopes to join", ErrNoScope)
		}
		var text []byte
		for _, scope := range scopes {
			part, err := scope(r)
			if err != nil {
				return "", err
			}
			if part == "" {
				return "", fmt.Errorf("%w: a joined scope is empty", ErrNoScope)
			}
			text = strconv.AppendInt(text, int64(len(part)), 10)
			text = append(text, ':')
			text = append(text, part...)
		}
		return readableScope('j', string(text)), nil
	}
}
