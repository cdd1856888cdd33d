package semelgrpc_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelgrpc"
	"github.com/semel-go/semel/semelhttp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// withPeer is the context of a call over TLS whose client certificate was verified, or only shown.
func withPeer(ctx context.Context, leaf *x509.Certificate, verified bool) context.Context {
	state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}
	if verified {
		state.VerifiedChains = [][]*x509.Certificate{{leaf}}
	}
	return peer.NewContext(ctx, &peer.Peer{AuthInfo: credentials.TLSInfo{State: state}})
}

// I13: each scope tells callers apart, refuses who cannot be told, and is that of semelhttp.
func TestScopes(t *testing.T) {
	type account struct{}
	in := func(pairs ...string) context.Context {
		return metadata.NewIncomingContext(t.Context(), metadata.Pairs(pairs...))
	}
	leaf := func(name string) *x509.Certificate {
		return &x509.Certificate{RawSubjectPublicKeyInfo: []byte(name), Subject: pkix.Name{CommonName: name}}
	}
	spiffe := &x509.Certificate{RawSubjectPublicKeyInfo: []byte("s"), URIs: []*url.URL{{Scheme: "spiffe", Host: "shop", Path: "/pay"}}}
	byAccount := func(ctx context.Context) (string, bool) { name, ok := ctx.Value(account{}).(string); return name, ok }
	as := func(name string) context.Context { return context.WithValue(t.Context(), account{}, name) }
	request := func(leaf *x509.Certificate) *http.Request {
		return &http.Request{TLS: &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{leaf}}}}
	}
	for name, tc := range map[string]struct {
		scope        semelgrpc.ScopeFunc
		alice, bob   context.Context //nolint:containedctx // of two callers
		nobody       []context.Context
		http         semelhttp.ScopeFunc
		aliceRequest *http.Request
	}{
		"metadata": {
			semelgrpc.ByMetadata("Authorization"), in("authorization", "a"), in("authorization", "b"),
			[]context.Context{t.Context(), in(), in("authorization", ""), in("authorization", "a", "authorization", "a")},
			semelhttp.ByHeader("Authorization"), &http.Request{Header: http.Header{"Authorization": {"a"}}},
		},
		"certificate": {
			semelgrpc.ByClientCertificate(), withPeer(t.Context(), leaf("a"), true), withPeer(t.Context(), leaf("b"), true),
			[]context.Context{t.Context(), peer.NewContext(t.Context(), &peer.Peer{}), withPeer(t.Context(), leaf("a"), false)},
			semelhttp.ByClientCertificate(), request(leaf("a")),
		},
		"subject": {
			semelgrpc.ByClientSubject(), withPeer(t.Context(), spiffe, true), withPeer(t.Context(), leaf("b"), true),
			[]context.Context{t.Context(), withPeer(t.Context(), spiffe, false)},
			semelhttp.ByClientSubject(), request(spiffe),
		},
		"context": {
			semelgrpc.ByContext(byAccount), as("a"), as("b"),
			[]context.Context{t.Context(), as("")},
			semelhttp.ByContext(byAccount), new(http.Request).WithContext(as("a")),
		},
		"joined": {
			semelgrpc.Join(semelgrpc.ByContext(byAccount), semelgrpc.Global()), as("a"), as("b"),
			[]context.Context{t.Context()},
			semelhttp.Join(semelhttp.ByContext(byAccount), semelhttp.Global()), new(http.Request).WithContext(as("a")),
		},
	} {
		a, err := tc.scope(tc.alice, payMethod)
		b, err2 := tc.scope(tc.bob, payMethod)
		again, _ := tc.scope(tc.alice, payMethod)
		if err != nil || err2 != nil || a == b || a != again || (semel.Key{Scope: a, ID: "k"}).Validate() != nil {
			t.Errorf("%s: %q and %q (%v, %v)", name, a, b, err, err2)
		}
		if over, err := tc.http(tc.aliceRequest); err != nil || over != a {
			t.Errorf("%s: %q over HTTP (%v), %q over gRPC", name, over, err, a)
		}
		for i, ctx := range tc.nobody {
			if got, err := tc.scope(ctx, payMethod); !errors.Is(err, semelgrpc.ErrNoScope) {
				t.Errorf("%s: nobody %d is %q, %v", name, i, got, err)
			}
		}
	}
	if one, err := semelgrpc.Global()(t.Context(), payMethod); err != nil || one == "" {
		t.Errorf("global: %q, %v", one, err)
	}
}

// A scope that cannot name a slot is nobody's.
func TestUnusableScope(t *testing.T) {
	handler, runs := counted()
	guard, err := semelgrpc.New(newEngine(t, memory(), semel.Config{}), func(context.Context, string) (string, error) { return "", nil }, semelgrpc.Config{})
	if err != nil {
		t.Fatal(err)
	}
	pay(as(t, "k"), serve(t, shop(handler), nil, guard.Unary()), "x").want(t, codes.Unauthenticated, "SCOPE_MISSING")
	if runs.Load() != 0 {
		t.Errorf("%d runs", runs.Load())
	}
}

// A lapsed attempt that a later one asks about is worth a retry: with the policy Recover the
// answer that is found is replayed, made with Kept.Encode.
func TestRecover(t *testing.T) {
	found, err := semelgrpc.Kept{Message: wrapperspb.String("found in the ledger")}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var runs atomic.Int64
	known := new(atomic.Bool)
	guard := newGuard(t, newEngine(t, memory(), semel.Config{Margin: -1}), semelgrpc.Config{
		Lapsed: semel.Recover,
		Recover: func(context.Context, semel.Record) (semel.Recovery, error) {
			if !known.Load() {
				return semel.Recovery{}, nil
			}
			return semel.Recovery{Verdict: semel.Executed, Response: found}, nil
		},
	})
	cc := serve(t, shop(func(context.Context, *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
		runs.Add(1)
		return nil, status.Error(codes.DeadlineExceeded, "the bank is slow")
	}), nil, guard.Unary())
	pay(as(t, "k"), cc, "x").want(t, codes.DeadlineExceeded, "")
	a := pay(as(t, "k"), cc, "x")
	a.want(t, codes.Aborted, "OUTCOME_UNKNOWN")
	if _, again := retryInfo(a.status); !again {
		t.Error("a retry finds out, and is not asked for")
	}
	known.Store(true)
	pay(as(t, "k"), cc, "x").wantReply(t, "found in the ledger", true)
	if runs.Load() != 1 {
		t.Errorf("%d runs", runs.Load())
	}
}

// SettleSuccess keeps OK, SettleAll everything; what nobody chooses as an answer is held by the
// first, as by Settle.
func TestSettleFuncs(t *testing.T) {
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		s := status.New(code, "")
		want := semel.Free
		switch code { //nolint:exhaustive // the others are free
		case codes.OK:
			want = semel.Keep
		case codes.Unavailable, codes.ResourceExhausted, codes.Canceled, codes.DeadlineExceeded:
			want = semel.Unknown
		}
		if got := semelgrpc.SettleSuccess(s); got != want {
			t.Errorf("SettleSuccess(%s) is %s, want %s", code, got, want)
		}
		if got := semelgrpc.SettleAll(s); got != semel.Keep {
			t.Errorf("SettleAll(%s) is %s", code, got)
		}
	}
}
