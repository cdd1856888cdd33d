package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/semel-go/semel"
)

// TestDerivedKeyIsTheSidecars: guarded requests have one, another for each
// operation, and the same in each attempt; a client's never passes.
func TestDerivedKeyIsTheSidecars(t *testing.T) {
	up := newService(t, nil)
	s := newSidecar(t, up.url, func(c *setup) { c.HTTP.Lapsed, c.HTTP.Optional = semel.Rerun, true })
	forged := []string{HeaderDerivedKey, "forged", "Semel_Derived_Key", "forged", HeaderStatus, "500"}
	s.send(t, "POST", "/", "k1", "x", forged...)
	s.send(t, "POST", "/", "k1", "x", forged...)
	s.send(t, "POST", "/", "k2", "x", forged...)
	s.send(t, "POST", "/", "", "x", forged...)
	keys := up.keys()
	if len(keys) != 4 || len(keys[0]) != 64 || keys[0] != keys[1] || len(keys[2]) != 64 || keys[2] == keys[0] || keys[3] != "" {
		t.Errorf("got %q", keys)
	}
	for _, h := range up.saw() {
		if strings.Contains(fmt.Sprint(h), "forged") || h.Get(HeaderStatus) != "" {
			t.Errorf("a client's field has passed: %v", h)
		}
	}
}

// TestSemelFieldsDoNotLeak: whatever of Semel's an upstream answers is not for
// the client, guarded or not.
func TestSemelFieldsDoNotLeak(t *testing.T) {
	up, _ := testUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		for name, lines := range r.Header {
			if ours(name) {
				w.Header()[name] = lines
			}
		}
		w.Header().Set(HeaderStatus, "201")
		w.Header().Set("Semel-Stored", "false")
	})
	s := newSidecar(t, up, nil)
	for _, method := range []string{"POST", "GET"} {
		a := s.send(t, method, "/", "k", "")
		want(t, a, 200, "")
		for name := range a.Header {
			if ours(name) {
				t.Errorf("%s: %s leaked", method, name)
			}
		}
	}
}
