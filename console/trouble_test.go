package console_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/console"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

// closedVault is a sealer whose key service does not answer.
type closedVault struct{ turn }

func TestStoreThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, lapsed := filled(t, func(c *console.Config) { c.Meter = console.NewMeter() })
		down := errors.New("dial tcp 10.0.0.7:5432: <refused>")
		s.store.list = func(context.Context) error { return down }
		s.store.ping = func() error { return down }
		for _, path := range []string{"/inflight", "/lapsed", "/records", at(lapsed), "/search?q=ab", "/store"} {
			w := s.get(path)
			s.want(w, http.StatusServiceUnavailable, "The store does not answer", "dial tcp 10.0.0.7:5432: <refused>")
			clean(t, "", w.Body.String())
		}
		s.want(s.get("/"), http.StatusServiceUnavailable, "Trouble", "The store does not answer", "?")
		s.want(s.post(at(lapsed, "/release"), release(lapsed)), http.StatusServiceUnavailable, "Nothing was changed")
		s.store.list, s.store.ping = nil, nil
		time.Sleep(time.Minute)
		s.want(s.get("/"), http.StatusOK)
		s.want(s.get("/store"), http.StatusOK, "yes")
	})
}

func TestStoreThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		s.store.list = func(ctx context.Context) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}
		start := time.Now()
		s.want(s.get("/records"), http.StatusServiceUnavailable, "It took too long")
		if waited := time.Since(start); waited != console.DefaultTimeout {
			t.Errorf("waited for %v, want %v", waited, console.DefaultTimeout)
		}
	})
}

// People who press reload must not load a store that has trouble already.
func TestPagesThatAskAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, func(c *console.Config) { c.Reads = 2 })
		asked := make(chan struct{}, 9)
		s.store.list = func(context.Context) error { // it looks at no time-out either
			asked <- struct{}{}
			time.Sleep(20 * time.Second)
			return nil
		}
		answers := make(chan *httptest.ResponseRecorder, 5)
		for range cap(answers) {
			go func() { answers <- s.get("/records") }()
		}
		time.Sleep(6 * time.Second)
		for range 3 {
			s.want(<-answers, http.StatusServiceUnavailable, "Too many pages")
		}
		if len(asked) != 2 {
			t.Errorf("got %d reads, want 2", len(asked))
		}
		if w := s.get("/signin"); w.Code != http.StatusOK {
			t.Errorf("a page that asks no store: got %d", w.Code)
		}
		<-answers
		<-answers
		s.store.list = nil
		s.want(s.get("/records"), http.StatusOK)
	})
}

// Pages that wait must not keep anybody from acting.
func TestPagesLeaveActionsTheirPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, func(c *console.Config) { c.Reads = 1 })
		rec := s.reserve("order-1")
		s.lapse()
		first := true
		s.store.list = func(context.Context) error {
			if first {
				first = false
				time.Sleep(20 * time.Second)
			}
			return nil
		}
		read := make(chan struct{})
		go func() {
			s.get("/records")
			close(read)
		}()
		synctest.Wait()
		s.want(s.post(at(rec, "/release"), release(rec)), http.StatusOK, "Released")
		<-read
	})
}

// What many look at is read once.
func TestOverviewsShareALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := filled(t)
		reads := make(chan struct{}, 100)
		s.store.list = func(context.Context) error {
			reads <- struct{}{}
			time.Sleep(time.Millisecond)
			return nil
		}
		done := make(chan *httptest.ResponseRecorder)
		for range 6 {
			go func() { done <- s.get("/") }()
		}
		for range 6 {
			s.want(<-done, http.StatusOK, "Need a decision")
		}
		if n := len(reads); n != 2 {
			t.Errorf("got %d reads, want the two of one look", n)
		}
	})
}

// A store that has to read much for the overview must not be at it all the time.
func TestOverviewsLeaveASlowStoreInPeace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := filled(t)
		reads := 0
		s.store.list = func(context.Context) error {
			reads++
			time.Sleep(time.Second)
			return nil
		}
		for range 10 * 60 {
			s.want(s.get("/"), http.StatusOK)
			time.Sleep(time.Second)
		}
		if reads < 40 || reads > 62 {
			t.Errorf("got %d reads of a second each in ten minutes, want a tenth of the time", reads)
		}
		time.Sleep(time.Minute)
		s.want(s.get("/"), http.StatusOK)
		time.Sleep(10 * time.Second)
		s.want(s.get("/"), http.StatusOK, ", seen 10s ago")
	})
}

// Who opens the overview does not wait for a slow store, but for the first time.
func TestOverviewShowsTheLastLookMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := filled(t)
		s.store.list = func(context.Context) error {
			time.Sleep(time.Second)
			return nil
		}
		for i, want := range []time.Duration{2 * time.Second, 0, 0, 2 * time.Second} {
			start := time.Now()
			s.want(s.get("/"), http.StatusOK, "Need a decision")
			if waited := time.Since(start); waited != want {
				t.Errorf("view %d: waited for %v, want %v", i, waited, want)
			}
			time.Sleep([]time.Duration{30 * time.Second, 10 * time.Second, 2 * time.Minute, 0}[i])
		}
	})
}

func TestOverviewOfAStoreThatPanics(t *testing.T) {
	s := open(t)
	s.store.list = func(context.Context) error { panic("broken driver") }
	s.want(s.get("/"), http.StatusServiceUnavailable, "Trouble", "The store does not answer")
}

func TestRevealWithoutAKeyService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openWith(t, &faulty{Store: memstore.New(memstore.Config{})}, semel.Config{Sealer: closedVault{}})
		rec := s.keep("order-1", semelhttp.Kept{Status: 200})
		s.want(s.post(at(rec, "/reveal"), url.Values{"reason": {"dispute 7"}, "fence": {"1"}}), http.StatusServiceUnavailable, "Nothing is damaged")
	})
}
