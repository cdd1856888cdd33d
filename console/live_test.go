package console_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel/console"
)

// stream is the other end of server-sent events.
type stream struct {
	mu     sync.Mutex
	head   http.Header
	status int
	sent   bytes.Buffer
	done   chan struct{} // closed when the handler has returned
}

func (s *stream) Header() http.Header { return s.head }
func (s *stream) WriteHeader(n int)   { s.status = n }
func (s *stream) Flush()              {}

func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent.Write(p)
}

func (s *stream) events() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.sent.String(), "event: pulse\n")
}

func (s *stream) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// watch opens the stream.
func (s *site) watch(ctx context.Context, change func(*http.Request)) *stream {
	out := &stream{head: make(http.Header), done: make(chan struct{})}
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/live", nil)
	change(r)
	go func() {
		s.pages.ServeHTTP(out, r)
		close(out.done)
	}()
	synctest.Wait()
	return out
}

func bearer(r *http.Request) { r.Header.Set("Authorization", "Bearer "+readToken) }

func metered(c *console.Config) { c.Meter, c.LiveEvery = console.NewMeter(), 2*time.Second }

func TestLiveIsSentAtABoundedRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, metered)
		ctx, leave := context.WithCancel(t.Context())
		out := s.watch(ctx, bearer)
		if out.status != http.StatusOK || out.head.Get("Content-Type") != "text/event-stream" || out.events() != 1 {
			t.Errorf("got %d, %q and %d events", out.status, out.head.Get("Content-Type"), out.events())
		}
		time.Sleep(9 * time.Second)
		if n := out.events(); n != 5 {
			t.Errorf("got %d events in nine seconds, want one every other second", n)
		}
		for line := range strings.Lines(out.sent.String()) {
			if line = strings.TrimRight(line, "\n"); line != "" && !strings.HasPrefix(line, "data: ") && !strings.HasPrefix(line, "event: ") && !strings.HasPrefix(line, "retry: ") {
				t.Fatalf("got the line %q", line)
			}
		}
		leave()
		synctest.Wait()
		if !out.ended() {
			t.Error("the stream goes on without its reader")
		}
	})
}

func TestLiveEndsAtClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, metered)
		out := s.watch(t.Context(), bearer)
		start := time.Now()
		must(t, s.pages.Close(t.Context()))
		if waited := time.Since(start); !out.ended() || waited != 0 {
			t.Errorf("the stream has ended: %v, after %v; want it ended by Close", out.ended(), waited)
		}
		if late := s.watch(t.Context(), bearer); late.status != http.StatusServiceUnavailable || !late.ended() {
			t.Errorf("after Close: got %d", late.status)
		}
	})
}

func TestLiveEndsWithTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, metered)
		cookie, _ := s.signIn(readToken, "")
		out := s.watch(t.Context(), with(cookie))
		s.ask(http.MethodPost, "/signout", "", url.Values{}, with(cookie))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !out.ended() {
			t.Error("the stream goes on after the sign-out")
		}
	})
}

func TestLiveEndsAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, metered)
		out := s.watch(t.Context(), bearer)
		time.Sleep(11 * time.Minute)
		if !out.ended() {
			t.Error("the stream has no end")
		}
	})
}

func TestLiveIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, metered, func(c *console.Config) { c.Streams = 2 })
		ctx, leave := context.WithCancel(t.Context())
		s.watch(ctx, bearer)
		s.watch(ctx, bearer)
		if out := s.watch(ctx, bearer); out.status != http.StatusServiceUnavailable {
			t.Errorf("the third: got %d, want 503", out.status)
		}
		leave()
		synctest.Wait()
		ctx, leave = context.WithCancel(t.Context())
		if out := s.watch(ctx, bearer); out.status != http.StatusOK {
			t.Errorf("after the others: got %d", out.status)
		}
		leave()
		synctest.Wait()
	})
}

func TestLiveHasAnOffSwitch(t *testing.T) {
	off := open(t, metered, func(c *console.Config) { c.LiveEvery = -1 })
	if w := off.get("/live"); w.Code != http.StatusNotFound {
		t.Errorf("got %d, want 404", w.Code)
	}
	if strings.Contains(off.get("/").Body.String(), "data-live") {
		t.Error("the page asks for what there is not")
	}
	s := open(t, metered)
	if !strings.Contains(s.get("/").Body.String(), `data-live="/live"`) {
		t.Error("the page does not ask for it")
	}
}
