package cli

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/semel-go/semel/cmd/semel/internal/verify"
)

// Whatever is on this machine is not asked for; everything else is.
func TestLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1": true, "127.8.9.1:80": true, "[::1]:8080": true, "localhost": true, "LOCALHOST:1": true,
		"192.0.2.1": false, "localhost.example": false, "0.0.0.0": false, "[::]": false, "127.0.0.1.example": false, "2130706433": false,
	} {
		if got := isLoopback(&url.URL{Host: host}); got != want {
			t.Errorf("%s: got %v", host, got)
		}
	}
}

// A counter elsewhere is asked for as well: nothing leaves this machine without a question.
func TestLocal(t *testing.T) {
	here, there := &url.URL{Host: "127.0.0.1"}, &url.URL{Host: "192.0.2.1"}
	for _, c := range []struct {
		endpoint, counter *url.URL
		want              bool
	}{{here, nil, true}, {here, here, true}, {here, there, false}, {there, here, false}, {there, nil, false}} {
		if got := local(verify.Target{URL: c.endpoint, Effects: verify.Counter{URL: c.counter}}); got != c.want {
			t.Errorf("%v with the counter %v: got %v", c.endpoint, c.counter, got)
		}
	}
}

// Two callers who are one would break the rules of scopes.
func TestAnotherCallerIsAnother(t *testing.T) {
	alice := http.Header{"Authorization": {"Bearer alice"}}
	for name, c := range map[string]struct {
		other http.Header
		ok    bool
	}{
		"bob":           {http.Header{"Authorization": {"Bearer bob"}}, true},
		"alice":         {http.Header{"Authorization": {"Bearer alice"}}, false},
		"another field": {http.Header{"X-Other": {"bob"}}, false},
	} {
		if err := another(verify.Target{Header: alice, Other: c.other}); (err == nil) != c.ok {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A header line is read, or refused; nothing that is read can end the field or begin another.
func FuzzVerifyFields(f *testing.F) {
	for _, seed := range []string{"Authorization: Bearer x", "a:b", "X:", ":", "no colon", "X: a\r\nY: b", "X: \x00", "Idempotency-Key: k", "X: \tü"} {
		f.Add(seed)
	}
	profile, err := verify.ProfileOf("ietf")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line string) {
		h, err := new(verifying).fields("--header", []string{line}, profile)
		if err != nil {
			return
		}
		if len(h) != 1 {
			t.Fatalf("%q is %d fields", line, len(h))
		}
		for name, values := range h {
			if strings.ContainsAny(name+values[0], "\r\n\x00") || name != http.CanonicalHeaderKey(name) || strings.EqualFold(name, profile.Header) {
				t.Fatalf("%q is %q: %q", line, name, values)
			}
		}
	})
}
