package semelhttp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// jwt is a token with this payload; nobody looks at the rest.
func jwt(payload string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
}

func bearing(token string) *http.Request {
	return withHeader(map[string]string{"Authorization": token})
}

// I13: the account is the scope, whatever else a token says.
func TestByBearerClaim(t *testing.T) {
	f := ByBearerClaim("sub")
	first := mustScope(t, f, bearing("Bearer "+jwt(`{"sub":"alice","exp":1}`)))
	for _, token := range []string{
		"bearer " + jwt(`{"exp":2,"sub":"alice"}`), "Bearer  " + jwt(`{"sub":"\u0061lice"}`),
	} {
		if again := mustScope(t, f, bearing(token)); again != first {
			t.Errorf("got %q and %q for one account", again, first)
		}
	}
	if first != "t:sub=alice" {
		t.Errorf("got %q, want it readable", first)
	}
	if other := mustScope(t, f, bearing("Bearer "+jwt(`{"sub":"bob"}`))); other == first {
		t.Errorf("two accounts share %q", other)
	}
	if other := mustScope(t, ByBearerClaim("act"), bearing("Bearer "+jwt(`{"act":"alice"}`))); other == first {
		t.Errorf("two claims share %q", other)
	}
	if long := mustScope(t, f, bearing("Bearer "+jwt(`{"sub":"`+strings.Repeat("x", 4000)+`"}`))); !strings.HasPrefix(long, "T:") {
		t.Errorf("got %q, want a hash", long)
	}
}

func TestByBearerClaimRefuses(t *testing.T) {
	f := ByBearerClaim("sub")
	mustNotScope(t, f, withHeader(nil))
	for _, token := range []string{
		"", "Bearer", "Bearer ", "Bearer a.b", "Bearer a.b.c.d", "Bearer a.!.c", "Basic " + jwt(`{"sub":"a"}`), jwt(`{"sub":"a"}`),
		"Bearer " + jwt(`{}`), "Bearer " + jwt(`[]`), "Bearer " + jwt(`{"sub":""}`), "Bearer " + jwt(`{"sub":17}`), "Bearer " + jwt(`{"sub":null}`),
		"Bearer " + jwt(`{"sub":"a","sub":"b"}`), "Bearer " + jwt(`{"sub":"a","SUB":"b"}`), "Bearer " + jwt(`{"SUB":"b"}`), "Bearer " + jwt(`{"sub":"a"`),
		"Bearer " + jwt(`{"sub":"a\ud800"}`), "Bearer " + jwt(`{"sub":"a\ufffd"}`), "Bearer " + jwt("{\"sub\":\"a\xff\"}"),
		"Bearer " + jwt(`{"sub":["a"]}`), "Bearer " + jwt(`{"sub":"a"}`) + ", Bearer x",
	} {
		mustNotScope(t, f, bearing(token))
	}
	twice := bearing("Bearer " + jwt(`{"sub":"a"}`))
	twice.Header.Add("Authorization", "Bearer "+jwt(`{"sub":"b"}`))
	mustNotScope(t, f, twice)
}

func TestByClientSubject(t *testing.T) {
	keys := make([]*ecdsa.PrivateKey, 2)
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
	f := ByClientSubject()
	first := mustScope(t, f, verified(certificate(t, keys[0], 1)))
	if first != "s:CN=client" {
		t.Errorf("got %q", first)
	}
	if renewed := mustScope(t, f, verified(certificate(t, keys[1], 2))); renewed != first {
		t.Errorf("got %q after a renewal with new keys, want %q", renewed, first)
	}
	spiffe, err := url.Parse("spiffe://bank/payments")
	if err != nil {
		t.Fatal(err)
	}
	named := certificate(t, keys[0], 3)
	named.URIs = []*url.URL{spiffe}
	if got := mustScope(t, f, verified(named)); got != "u:spiffe://bank/payments" {
		t.Errorf("got %q", got)
	}
	named.URIs = []*url.URL{spiffe, spiffe}
	mustNotScope(t, f, verified(named))
	mustNotScope(t, f, verified(&x509.Certificate{}))
	for _, kind := range []int{3, 5} { // a common name, a serial number
		one := pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, kind}, Value: "alice"}
		twins := certificate(t, keys[0], 4)
		twins.Subject.Names = []pkix.AttributeTypeAndValue{one, one}
		mustNotScope(t, f, verified(twins))
	}
	mustNotScope(t, f, withHeader(nil))
	shown := withHeader(nil)
	shown.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate(t, keys[0], 1)}}
	mustNotScope(t, f, shown)
}

// A member that is found is what encoding/json reads, and it stands there once.
func FuzzJSONMember(f *testing.F) {
	for _, text := range []string{`{"sub":"a"}`, `{"sub":"a","SUB":1}`, `{"a":{"sub":2},"sub":"x"}`, `[]`, `{"sub":"a"`, `{"\u0073ub":"a"}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		raw, err := jsonMember([]byte(text), "sub")
		if err != nil || raw == nil {
			return
		}
		var all map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &all); err != nil && json.Valid([]byte(text)) {
			t.Fatalf("%q: %v", text, err)
		} else if err == nil && string(all["sub"]) != string(raw) {
			t.Errorf("%q: got %s, want %s", text, raw, all["sub"])
		}
		var s struct {
			Sub json.RawMessage `json:"sub"`
		}
		if err := json.Unmarshal([]byte(text), &s); err == nil && string(s.Sub) != string(raw) {
			t.Errorf("%q: another decoder reads %s, not %s", text, s.Sub, raw)
		}
	})
}
