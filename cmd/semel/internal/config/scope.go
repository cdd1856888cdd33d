package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/semel-go/semel/semelhttp"
)

// Scope says how the caller of a request is known, by one way or by several that must
// all be the same. The zero Scope is not valid.
type Scope struct{ parts []scopePart }

type scopePart struct {
	kind scopeKind
	name string // of a field or a claim
}

type scopeKind string

const (
	scopeHeader  scopeKind = "header"
	scopeJWT     scopeKind = "jwt"
	scopeCert    scopeKind = "cert"
	scopeSubject scopeKind = "cert-subject"
	scopeRemote  scopeKind = "remote"
	scopeGlobal  scopeKind = "global"
)

// ParseScope reads header:NAME, jwt:CLAIM, cert, cert-subject, remote or global, or
// several of them joined by +, as in header:X-Tenant+jwt:sub.
func ParseScope(s string) (Scope, error) {
	var scope Scope
	for text := range strings.SplitSeq(s, "+") {
		part, err := parseScopePart(text)
		if err != nil {
			return Scope{}, err
		}
		scope.parts = append(scope.parts, part)
	}
	if len(scope.parts) > 1 && slices.Contains(scope.parts, scopePart{kind: scopeGlobal}) {
		return Scope{}, errors.New("global means everybody: it cannot be joined")
	}
	return scope, nil
}

func parseScopePart(s string) (scopePart, error) {
	kind, name, named := strings.Cut(s, ":")
	part := scopePart{scopeKind(kind), name}
	switch part.kind {
	case scopeHeader, scopeJWT:
		if !named || name == "" {
			return part, fmt.Errorf("scope %q names nothing: want %s:NAME", s, kind)
		}
		if part.kind == scopeHeader {
			if _, err := ParseToken(name); err != nil {
				return part, fmt.Errorf("scope %q: %w", s, err)
			}
		}
		return part, nil
	case scopeCert, scopeSubject, scopeRemote, scopeGlobal:
		if !named {
			return part, nil
		}
	}
	return part, fmt.Errorf("unknown scope %q: want header:NAME, jwt:CLAIM, cert, cert-subject, remote or global", s)
}

// String returns the form that [ParseScope] reads.
func (s Scope) String() string {
	if len(s.parts) == 0 {
		return "invalid"
	}
	var texts []string
	for _, p := range s.parts {
		text := string(p.kind)
		if p.name != "" {
			text += ":" + p.name
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, "+")
}

// IsZero reports whether nothing was said.
func (s Scope) IsZero() bool { return len(s.parts) == 0 }

func (s Scope) needsCert() bool {
	return slices.ContainsFunc(s.parts, func(p scopePart) bool { return p.kind == scopeCert || p.kind == scopeSubject })
}

// Func returns the scope of the library, nil for the zero Scope.
func (s Scope) Func() semelhttp.ScopeFunc {
	var all []semelhttp.ScopeFunc
	for _, p := range s.parts {
		all = append(all, p.scope())
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return semelhttp.Join(all...)
}

func (p scopePart) scope() semelhttp.ScopeFunc {
	switch p.kind {
	case scopeHeader:
		return semelhttp.ByHeader(p.name)
	case scopeJWT:
		return semelhttp.ByBearerClaim(p.name)
	case scopeCert:
		return semelhttp.ByClientCertificate()
	case scopeSubject:
		return semelhttp.ByClientSubject()
	case scopeRemote:
		return semelhttp.ByRemoteAddr()
	case scopeGlobal:
	}
	return semelhttp.Global()
}
