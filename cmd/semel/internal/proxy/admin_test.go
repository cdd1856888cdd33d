package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/semel-go/semel"
)

func get(t *testing.T, url string) answer {
	t.Helper()
	return ask(t, "GET", url)
}

func ask(t *testing.T, method, url string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := newClient(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res, string(body)}
}

// waitStatus asks until the answer has the status; the test's deadline ends it.
func waitStatus(t *testing.T, url string, status int) {
	t.Helper()
	for get(t, url).StatusCode != status {
		if t.Context().Err() != nil {
			t.Fatal(t.Context().Err())
		}
	}
}

// waitRefused dials until nobody listens.
func waitRefused(t *testing.T, url string) {
	t.Helper()
	for {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			return
		}
		conn.Close()
	}
}

// purgeWatch tells of every purge.
type purgeWatch struct {
	semel.Store
	purged chan struct{}
}

func (p purgeWatch) Purge(context.Context, int) (int, error) {
	select {
	case p.purged <- struct{}{}:
	default:
	}
	return 0, nil
}

// pinged is a store whose ping is the test's.
type pinged struct {
	unwrapper
	ping func() error
}

func (p pinged) Ping(context.Context) error { return p.ping() }

func TestReadyz(t *testing.T) {
	up, _ := testUpstream(t, new(seen).handler)
	var failure error
	s := newSidecar(t, up, func(s *setup) {
		s.store = pinged{unwrapper{s.store}, func() error { return failure }}
	})
	a := get(t, s.admin+"/readyz")
	want(t, a, 200, "")
	if a.body != "ok\n" {
		t.Errorf("got %q", a.body)
	}
	failure = errors.New("disk full")
	want(t, get(t, s.admin+"/readyz"), 503, "")
	a = get(t, s.admin+"/readyz?verbose")
	want(t, a, 503, "")
	if a.body != "store: disk full\ntraffic: ok\n" {
		t.Errorf("got %q", a.body)
	}
	want(t, get(t, s.admin+"/livez"), 200, "")
}

// TestPingOfAStoreThatHangs: it is never cancelled and never piled up, and
// those who ask may leave.
func TestPingOfAStoreThatHangs(t *testing.T) {
	hang, started := make(chan struct{}), make(chan struct{}, 10)
	p := newProber(pinged{unwrapper{newStore()}, func() error {
		started <- struct{}{}
		<-hang
		return errors.New("late")
	}})
	left, leave := context.WithCancel(t.Context())
	leave()
	for range 3 {
		if err := p.ping(left); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want canceled", err)
		}
	}
	<-started
	waiting := make(chan error, 1)
	go func() { waiting <- p.ping(t.Context()) }()
	close(hang)
	if err := <-waiting; err == nil || err.Error() != "late" {
		t.Errorf("got %v, want late", err)
	}
	p.wait(t.Context())
	if got := len(started); got > 1 { // the waiting caller may have come too late for the first
		t.Errorf("%d pings more, want at most 1", got)
	}
}

func TestAdminRefusesChanges(t *testing.T) {
	up, _ := testUpstream(t, new(seen).handler)
	s := newSidecar(t, up, nil)
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/version"} {
		want(t, ask(t, "HEAD", s.admin+path), 200, "")
		want(t, ask(t, "POST", s.admin+path), 405, "")
	}
	want(t, get(t, s.admin+"/"), 404, "")
	if a := get(t, s.admin+"/version"); !strings.Contains(a.body, `"version":"unknown"`) {
		t.Errorf("got %q", a.body)
	}
}

func TestNoAdmin(t *testing.T) {
	up, _ := testUpstream(t, new(seen).handler)
	s := newSidecar(t, up, func(s *setup) { s.Admin = "" })
	if s.admin != "" {
		t.Errorf("admin at %s, want none", s.admin)
	}
	want(t, s.send(t, "POST", "/", "k", "x"), 200, "")
}
