package semelhttp

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
)

func mustScope(t *testing.T, f ScopeFunc, r *http.Request) string {
	t.Helper()
	scope, err := f(r)
	if err != nil {
		t.Fatal(err)
	}
	if scope == "" || len(scope) > semel.MaxScopeLen {
		t.Fatalf("got a scope of %d bytes", len(scope))
	}
	return scope
}

func mustNotScope(t *testing.T, f ScopeFunc, r *http.Request) {
	t.Helper()
	if scope, err := f(r); !errors.Is(err, ErrNoScope) || scope != "" {
		t.Errorf("got %q, %v, want ErrNoScope", scope, err)
	}
}

func withHeader(values map[string]string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
	for name, value := range values {
		r.Header.Set(name, value)
	}
	return r
}

// TestByHeaderSeparatesCallers is I13 at the door: equal credentials share a
// scope, different ones never do, and none is stored.
func TestByHeaderSeparatesCallers(t *testing.T) {
	f := ByHeader("authorization")
	long := "Bearer " + strings.Repeat("x", 5000)
	seen := map[string]string{}
	for _, value := range []string{"Bearer a", "Bearer b", "bearer a", "Bearer  a", "a", long, long + "y"} {
		scope := mustScope(t, f, withHeader(map[string]string{"Authorization": value}))
		if again := mustScope(t, f, withHeader(map[string]string{"Authorization": value})); again != scope {
			t.Errorf("got %q and %q for one credential", scope, again)
		}
		if other, ok := seen[scope]; ok {
			t.Errorf("%.20q and %.20q share a scope", value, other)
		}
		seen[scope] = value
		if len(scope) != 45 || !strings.HasPrefix(scope, "h:") || strings.Contains(scope, "Bearer") {
			t.Errorf("got scope %q", scope)
		}
	}
}

func TestByHeaderCountsTheName(t *testing.T) {
	r := withHeader(map[string]string{"X-A": "1", "X-B": "1"})
	if a, b := mustScope(t, ByHeader("X-A"), r), mustScope(t, ByHeader("X-B"), r); a == b {
		t.Errorf("two header fields share the scope %q", a)
	}
}

func TestByHeaderRefuses(t *testing.T) {
	f := ByHeader("Authorization")
	mustNotScope(t, f, withHeader(nil))
	mustNotScope(t, f, withHeader(map[string]string{"Authorization": ""}))
	r := withHeader(map[string]string{"Authorization": "a"})
	r.Header.Add("Authorization", "a")
	mustNotScope(t, f, r)
}

func TestByHeaderAllocatesOnce(t *testing.T) {
	f := ByHeader("Authorization")
	r := withHeader(map[string]string{"Authorization": "Bearer " + strings.Repeat("x", 900)})
	got := testing.AllocsPerRun(100, func() {
		if _, err := f(r); err != nil {
			t.Error(err)
		}
	})
	if got > 1 {
		t.Errorf("got %v allocations, want at most 1", got)
	}
}

// certificate returns a certificate of key that looks freshly issued.
func certificate(t *testing.T, key *ecdsa.PrivateKey, serial int64) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "client"},
		NotBefore: time.Unix(serial, 0), NotAfter: time.Unix(serial+1000, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestByClientCertificate(t *testing.T) {
	var keys [2]*ecdsa.PrivateKey
	for i := range keys {
		var err error
		if keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	verified := func(leaf *x509.Certificate) *http.Request {
		r := withHeader(nil)
		r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{leaf}}}
		return r
	}
	f := ByClientCertificate()
	first := mustScope(t, f, verified(certificate(t, keys[0], 1)))
	if renewed := mustScope(t, f, verified(certificate(t, keys[0], 2))); renewed != first {
		t.Errorf("got %q after a renewal with the same key pair, want %q", renewed, first)
	}
	if other := mustScope(t, f, verified(certificate(t, keys[1], 1))); other == first {
		t.Errorf("two key pairs share the scope %q", other)
	}

	mustNotScope(t, f, withHeader(nil))
	shown := withHeader(nil)
	shown.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate(t, keys[0], 1)}}
	mustNotScope(t, f, shown)
}

func TestByRemoteAddr(t *testing.T) {
	f := ByRemoteAddr()
	for remote, want := range map[string]string{
		"192.0.2.1:1234":                       "a:192.0.2.1",
		"[::ffff:192.0.2.1]:1":                 "a:192.0.2.1",
		"[2001:DB8:0::1]:1":                    "a:2001:db8::1",
		"[fe80::1%eth0]:1":                     "a:fe80::1",
		"[2001:db8:0000:0000:0000:0:0:1]:9999": "a:2001:db8::1",
	} {
		r := withHeader(nil)
		r.RemoteAddr = remote
		if got := mustScope(t, f, r); got != want {
			t.Errorf("%s: got %q, want %q", remote, got, want)
		}
	}
	for _, remote := range []string{"", "@", "192.0.2.1", "example.com:80", "/run/socket"} {
		r := withHeader(nil)
		r.RemoteAddr = remote
		mustNotScope(t, f, r)
	}
}

type principalKey struct{}

func byPrincipal() ScopeFunc {
	return ByContext(func(ctx context.Context) (string, bool) {
		id, ok := ctx.Value(principalKey{}).(string)
		return id, ok
	})
}

func as(id string) *http.Request {
	r := withHeader(nil)
	return r.WithContext(context.WithValue(r.Context(), principalKey{}, id))
}

func TestByContext(t *testing.T) {
	f := byPrincipal()
	if got, want := mustScope(t, f, as("acct_12")), "x:acct_12"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	mustNotScope(t, f, withHeader(nil))
	mustNotScope(t, f, as(""))

	fits, long := strings.Repeat("a", 253), strings.Repeat("a", 254)
	if got, want := mustScope(t, f, as(fits)), "x:"+fits; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	// What does not fit a text column is hashed, and a hash is never a name.
	seen := map[string]bool{}
	for _, id := range []string{long, long + "a", "a\x00", "a\n", "\xff", "\xfe"} {
		got := mustScope(t, f, as(id))
		if !strings.HasPrefix(got, "X:") || len(got) != 45 || seen[got] {
			t.Errorf("%.10q: got %q", id, got)
		}
		seen[got] = true
		if fake := mustScope(t, f, as(got[2:])); fake == got {
			t.Errorf("a name that looks like a hash collides: %q", got)
		}
	}
}

func TestGlobal(t *testing.T) {
	a, b := mustScope(t, Global(), as("a")), mustScope(t, Global(), as("b"))
	if a != b {
		t.Errorf("got %q and %q, want one scope", a, b)
	}
}

func TestKindsNeverCollide(t *testing.T) {
	r := as("x")
	r.Header.Set("X", "x")
	r.RemoteAddr = "192.0.2.1:1"
	seen := map[string]int{}
	for i, f := range []ScopeFunc{
		ByHeader("X"), ByRemoteAddr(), byPrincipal(), Global(), Join(byPrincipal()),
		Join(byPrincipal(), byPrincipal()), Join(Join(byPrincipal(), byPrincipal())),
		Join(Global(), byPrincipal()), Join(byPrincipal(), Global()),
	} {
		scope := mustScope(t, f, r)
		if other, ok := seen[scope]; ok {
			t.Errorf("kinds %d and %d share the scope %q", other, i, scope)
		}
		seen[scope] = i
	}
}

// TestJoinKeepsPartsApart is I13 for composed scopes: no tenant and user can be
// chosen so that they look like another pair.
func TestJoinKeepsPartsApart(t *testing.T) {
	literal := func(s string) ScopeFunc { return func(*http.Request) (string, error) { return s, nil } }
	r := withHeader(nil)
	parts := []string{"a", "b", "ab", "1:a", "a1:b", "1:a1:b", "a:a", "a:b", ":", "", strings.Repeat("a", 255)}
	seen := map[string][2]string{}
	for _, one := range parts {
		for _, two := range parts {
			if one == "" || two == "" {
				mustNotScope(t, Join(literal(one), literal(two)), r)
				continue
			}
			scope := mustScope(t, Join(literal(one), literal(two)), r)
			if other, ok := seen[scope]; ok {
				t.Errorf("%q and %q share the scope %q", other, [2]string{one, two}, scope)
			}
			seen[scope] = [2]string{one, two}
		}
	}
}

func TestJoinRefuses(t *testing.T) {
	cause := errors.New("no tenant")
	fails := func(*http.Request) (string, error) { return "", cause }
	empty := func(*http.Request) (string, error) { return "", nil }
	r := withHeader(nil)
	if scope, err := Join(Global(), fails)(r); !errors.Is(err, cause) || scope != "" {
		t.Errorf("got %q, %v, want the cause", scope, err)
	}
	mustNotScope(t, Join(), r)
	mustNotScope(t, Join(Global(), empty), r)
}
