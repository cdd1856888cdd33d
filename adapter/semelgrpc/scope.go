package semelgrpc

import (
	"context"
	"net/http"

	"github.com/semel-go/semel/semelhttp"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// ErrNoScope: the call does not say who sent it. It is refused.
var ErrNoScope = semelhttp.ErrNoScope

// ScopeFunc says whose key it is: the principal that authenticated, as 1 to
// semel.MaxScopeLen bytes. Two callers with one scope see one another's answers; one caller
// with two scopes runs twice. An error refuses the call as scope-missing. method is the full
// name, such as /bank.v1.Accounts/Transfer. A ScopeFunc must be safe for concurrent use. It
// runs after authentication, which it does not replace.
//
// The scopes that this package makes are those of semelhttp: a caller has one scope, and an
// operator sees one, over both transports.
type ScopeFunc func(ctx context.Context, method string) (string, error)

// over is a scope of semelhttp that sees what request makes of a call.
func over(scope semelhttp.ScopeFunc, request func(context.Context) *http.Request) ScopeFunc {
	return func(ctx context.Context, _ string) (string, error) { return scope(request(ctx)) }
}

// ByMetadata takes a name of the call's metadata, such as authorization, as
// [semelhttp.ByHeader] takes a header field: the same advice holds, above all that access
// tokens are refreshed between two tries.
func ByMetadata(name string) ScopeFunc {
	field := http.CanonicalHeaderKey(name)
	return over(semelhttp.ByHeader(name), func(ctx context.Context) *http.Request {
		return &http.Request{Header: http.Header{field: metadata.ValueFromIncomingContext(ctx, name)}}
	})
}

// ByClientCertificate takes the key pair of a client certificate that the TLS credentials of the
// server verified, see [semelhttp.ByClientCertificate].
func ByClientCertificate() ScopeFunc { return over(semelhttp.ByClientCertificate(), withTLS) }

// ByClientSubject takes the name in such a certificate: its one URI, as SPIFFE has it, or else its
// subject, see [semelhttp.ByClientSubject].
func ByClientSubject() ScopeFunc { return over(semelhttp.ByClientSubject(), withTLS) }

func withTLS(ctx context.Context) *http.Request {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return new(http.Request)
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return new(http.Request)
	}
	return &http.Request{TLS: &info.State}
}

// ByContext takes what authentication left in the call's context, see [semelhttp.ByContext].
// This is the best scope: an account id outlives tokens, certificates and addresses.
func ByContext(principal func(context.Context) (string, bool)) ScopeFunc {
	return over(semelhttp.ByContext(principal), func(ctx context.Context) *http.Request {
		return new(http.Request).WithContext(ctx)
	})
}

// Global puts all callers into one scope, on purpose: whoever knows a key can read the answer
// it got. It is right where there is one caller, and wrong on any public API.
func Global() ScopeFunc {
	return over(semelhttp.Global(), func(context.Context) *http.Request { return nil })
}

// Join combines scopes, such as a tenant and a user, see [semelhttp.Join].
func Join(scopes ...ScopeFunc) ScopeFunc {
	return func(ctx context.Context, method string) (string, error) {
		parts := make([]semelhttp.ScopeFunc, len(scopes))
		for i, scope := range scopes {
			parts[i] = func(*http.Request) (string, error) { return scope(ctx, method) }
		}
		return semelhttp.Join(parts...)(nil)
	}
}
