package proxy

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/semel-go/semel/semelhttp"
)

// to makes a sidecar dial addr, whatever its upstream is called: the address of
// a sidecar is not known before it runs.
func to(addr *atomic.Value) dialFunc {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer()(ctx, network, addr.Load().(string))
	}
}

func hostOf(s *sidecar) string { return strings.TrimPrefix(s.url, "http://") }

// TestLoop: a sidecar that is its own upstream, by itself or behind another one,
// refuses at the first turn, guarded or not.
func TestLoop(t *testing.T) {
	for _, scheme := range schemes {
		for _, behind := range []string{"itself", "another"} {
			t.Run(scheme+" "+behind, func(t *testing.T) {
				var addr atomic.Value
				s := newSidecar(t, scheme+"://upstream.example", func(s *setup) { s.dial = to(&addr) })
				addr.Store(hostOf(s))
				if behind == "another" {
					addr.Store(hostOf(newSidecar(t, s.url, nil)))
				}
				for _, method := range []string{"POST", "GET"} {
					a := s.send(t, method, "/", "k", "")
					want(t, a, http.StatusLoopDetected, "")
					if got := a.Header.Get(HeaderSettle); got != "" {
						t.Errorf("%s: the client sees %s: %s", method, HeaderSettle, got)
					}
				}
				if got := strings.Count(s.logs.String(), "its own upstream"); got != 2 {
					t.Errorf("the log says it %d times, want 2:\n%s", got, s.logs)
				}
			})
		}
	}
}

// TestLoopFreesTheKey: nothing happened in a loop, whatever the preset keeps.
func TestLoopFreesTheKey(t *testing.T) {
	var addr atomic.Value
	s := newSidecar(t, "http://upstream.example", func(s *setup) { s.dial, s.HTTP.Preset = to(&addr), semelhttp.FreezeAll })
	addr.Store(hostOf(s))
	for range 2 {
		a := s.send(t, "POST", "/", "k", "x")
		want(t, a, http.StatusLoopDetected, "")
		if a.replayed() {
			t.Error("the refusal was kept")
		}
	}
}

// TestVia: sidecars may stand one behind another, and each adds itself.
func TestVia(t *testing.T) {
	var up seen
	url, _ := testUpstream(t, up.handler)
	s := newSidecar(t, newSidecar(t, url, nil).url, nil)
	for _, key := range []string{"k", ""} {
		method := map[string]string{"k": "POST", "": "GET"}[key]
		want(t, s.send(t, method, "/", key, "", HeaderVia, "client"), 200, "")
		r, _ := up.last()
		if got := r.Header[HeaderVia]; len(got) != 3 || got[0] != "client" || got[1] == got[2] {
			t.Errorf("%s: got %q, want the client's and two more", method, got)
		}
	}
}
