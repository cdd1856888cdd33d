package config

import (
	"fmt"
	"strings"

	"github.com/semel-go/semel/semelhttp"
)

// Scope says how the caller of a request is known. The zero Scope is not valid.
type Scope struct {
	kind   scopeKind
	header string // with scopeHeader
}

type scopeKind uint8

const (
	scopeHeader scopeKind = iota + 1
	scopeCert
	scopeRemote
	scopeGlobal
)

// ParseScope reads header:NAME, cert, remote or global.
func ParseScope(s string) (Scope, error) {
	switch s {
	case "cert":
		return Scope{kind: scopeCert}, nil
	case "remote":
		return Scope{kind: scopeRemote}, nil
	case "global":
		return Scope{kind: scopeGlobal}, nil
	}
	name, ok := strings.CutPrefix(s, "header:")
	if !ok {
		return Scope{}, fmt.Errorf("unknown scope %q: want header:NAME, cert, remote or global", s)
	}
	if _, err := ParseToken(name); err != nil {
		return Scope{}, fmt.Errorf("scope %q: %w", s, err)
	}
	return Scope{kind: scopeHeader, header: name}, nil
}

// String returns the form that [ParseScope] reads.
func (s Scope) String() string {
	switch s.kind {
	case scopeHeader:
		return "header:" + s.header
	case scopeCert:
		return "cert"
	case scopeRemote:
		return "remote"
	case scopeGlobal:
		return "global"
	}
	return "invalid"
}

// Func returns the scope of the library, nil for the zero Scope.
func (s Scope) Func() semelhttp.ScopeFunc {
	switch s.kind {
	case scopeHeader:
		return semelhttp.ByHeader(s.header)
	case scopeCert:
		return semelhttp.ByClientCertificate()
	case scopeRemote:
		return semelhttp.ByRemoteAddr()
	case scopeGlobal:
		return semelhttp.Global()
	}
	return nil
}
