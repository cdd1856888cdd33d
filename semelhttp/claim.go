package semelhttp

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"
)

// ByBearerClaim takes a claim of the JSON Web Token in Authorization: Bearer (RFC 7519),
// such as "sub", the same account after the token was refreshed.
//
// It does not verify the token. Use it only where somebody in front has done so for every
// request, as a gateway does, and clients cannot come in another way: else anybody reads
// the answers of anybody. Where one service trusts several issuers, [Join] it with "iss".
//
// The claim must be a text of valid Unicode that is not empty and has no U+FFFD. A missing or repeated field, another scheme,
// and a token that is no JWT or names the claim twice are [ErrNoScope].
func ByBearerClaim(name string) ScopeFunc {
	return func(r *http.Request) (string, error) {
		values := r.Header["Authorization"]
		if len(values) != 1 {
			return "", fmt.Errorf("%w: want one field Authorization, got %d", ErrNoScope, len(values))
		}
		scheme, token, _ := strings.Cut(values[0], " ")
		token = strings.TrimSpace(token)
		parts := strings.Split(token, ".")
		if !strings.EqualFold(scheme, "Bearer") || len(parts) != 3 || strings.ContainsAny(token, " \t,") { // two fields, joined
			return "", fmt.Errorf("%w: Authorization is no bearer JWT", ErrNoScope)
		}
		payload, err := base64.RawURLEncoding.Strict().DecodeString(parts[1])
		if err != nil {
			return "", fmt.Errorf("%w: the JWT is malformed", ErrNoScope)
		}
		raw, err := jsonMember(payload, name)
		if err != nil || raw == nil {
			return "", fmt.Errorf("%w: the JWT has no single claim %s", ErrNoScope, name)
		}
		var text string
		if err := json.Unmarshal(raw, &text); err != nil || text == "" {
			return "", fmt.Errorf("%w: the claim %s is no text", ErrNoScope, name)
		}
		if !utf8.Valid(raw) || strings.ContainsRune(text, utf8.RuneError) { // what encoding/json cannot read, all alike
			return "", fmt.Errorf("%w: the claim %s is no valid Unicode", ErrNoScope, name)
		}
		return readableScope('t', name+"="+text), nil
	}
}

// ByClientSubject takes the name in a client certificate that the TLS server verified:
// its one URI (as SPIFFE has it) or else its subject in the form of RFC 2253. Unlike
// [ByClientCertificate] it survives a renewal with new keys. Whoever may sign
// certificates chooses names: trust no authority that signs for others than your own
// clients. No verified certificate, several URIs, neither name, and a subject with several
// common names or serial numbers are [ErrNoScope].
func ByClientSubject() ScopeFunc {
	return func(r *http.Request) (string, error) {
		if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || len(r.TLS.VerifiedChains[0]) == 0 {
			return "", fmt.Errorf("%w: no verified client certificate", ErrNoScope)
		}
		leaf := r.TLS.VerifiedChains[0][0]
		switch {
		case len(leaf.URIs) == 1:
			return readableScope('u', leaf.URIs[0].String()), nil
		case len(leaf.URIs) > 1:
			return "", fmt.Errorf("%w: the client certificate has %d URIs", ErrNoScope, len(leaf.URIs))
		}
		if hasTwins(leaf.Subject) {
			return "", fmt.Errorf("%w: the client certificate has several common names or serial numbers", ErrNoScope)
		}
		if name := leaf.Subject.String(); name != "" {
			return readableScope('s', name), nil
		}
		return "", fmt.Errorf("%w: the client certificate has no name", ErrNoScope)
	}
}

// hasTwins reports whether a name has a common name or a serial number (X.520) twice:
// its text has only the last.
func hasTwins(n pkix.Name) bool {
	commonNames, serialNumbers := 0, 0
	for _, a := range n.Names {
		switch {
		case a.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 3}):
			commonNames++
		case a.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 5}):
			serialNumbers++
		}
	}
	return commonNames > 1 || serialNumbers > 1
}
