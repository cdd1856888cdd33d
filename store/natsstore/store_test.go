package natsstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/natsstore"
	"github.com/semel-go/semel/store/natsstore/natstest"
)

// L2: what each outcome costs, in requests to the server.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	cfg := natsstore.Config{Stream: "TRIPS"}
	now := time.Now()
	frozen := func() time.Time { return now } // nothing grows old
	s, other := open(t, server.URL(), cfg), open(t, server.URL(), cfg)
	for _, store := range []*natsstore.Store{s, other} {
		store.SetClock(frozen)
		if err := store.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	cost := func(what string, s *natsstore.Store, want uint64, step func() error) {
		t.Helper()
		before := s.Conn().Stats().OutMsgs
		if err := step(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if got := s.Conn().Stats().OutMsgs - before; got != want {
			t.Errorf("%s: got %d requests, want %d", what, got, want)
		}
	}
	ask := func(r semel.Reservation) func() error {
		return func() error { _, err := s.Reserve(t.Context(), r); return err }
	}
	settle := func(s *natsstore.Store, r semel.Reservation) func() error {
		return func() error { return s.Complete(t.Context(), semel.Completion{Key: r.Key, Token: r.Token}) }
	}
	begun := func(s *natsstore.Store, r semel.Reservation) func() error {
		return func() error { return s.BeginEffects(t.Context(), r.Key, r.Token) }
	}
	holder := func(r semel.Reservation) []semel.Holder { return []semel.Holder{{Key: r.Key, Token: r.Token}} }
	another := func(r semel.Reservation) semel.Reservation { r.Token = semel.NewToken(); return r }

	r := request("a")
	cost("a fresh reservation", s, 1, ask(r))
	cost("in flight", s, 2, ask(another(r)))
	cost("a beginning", s, 1, begun(s, r))
	cost("a renewal", s, 1, func() error { _, err := s.Renew(t.Context(), time.Hour, holder(r)); return err })
	cost("a completion", s, 1, settle(s, r))
	cost("a replay", s, 2, ask(another(r)))
	r = request("b")
	cost("a fresh reservation", s, 1, ask(r))
	cost("a renewal elsewhere", other, 2, func() error { _, err := other.Renew(t.Context(), time.Hour, holder(r)); return err })
	cost("a completion after that", s, 3, settle(s, r))
	r = request("c")
	cost("a fresh reservation", s, 1, ask(r))
	cost("a beginning elsewhere", other, 2, begun(other, r))
	cost("a completion after that", other, 2, settle(other, r))
	r = request("d")
	cost("a fresh reservation", s, 1, ask(r))
	cost("a release", s, 1, func() error { return s.Release(t.Context(), r.Key, r.Token) })
	cost("a released slot", s, 3, ask(another(r)))
}

// I1, I4: hints are hints. A store whose attempt was taken over, completed or
// resolved by another process is told so by the slot itself.
func TestStaleHints(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	cfg := natsstore.Config{Stream: "HINTS"}
	s, other := open(t, server.URL(), cfg), open(t, server.URL(), cfg)
	for name, step := range map[string]func(r semel.Reservation) error{
		"complete": func(r semel.Reservation) error {
			return s.Complete(t.Context(), semel.Completion{Key: r.Key, Token: r.Token})
		},
		"begin":   func(r semel.Reservation) error { return s.BeginEffects(t.Context(), r.Key, r.Token) },
		"release": func(r semel.Reservation) error { return s.Release(t.Context(), r.Key, r.Token) },
		"renew": func(r semel.Reservation) error {
			lost, err := s.Renew(t.Context(), time.Hour, []semel.Holder{{Key: r.Key, Token: r.Token}})
			if len(lost) == 1 && lost[0] == r.Token {
				return semel.ErrLost
			}
			return err
		},
	} {
		r := request(name)
		reserve(t, s, r)
		if _, err := other.Renew(t.Context(), 0, []semel.Holder{{Key: r.Key, Token: r.Token}}); err != nil {
			t.Fatal(err)
		}
		next := r
		next.Token, next.TakeOver = semel.NewToken(), true
		reserve(t, other, next)
		if err := step(r); !errors.Is(err, semel.ErrLost) {
			t.Errorf("%s: got error %v, want ErrLost", name, err)
		}
		complete(t, other, next, answerOf("next"))
	}
}

// I12: steps do not look at the context of the caller, which may have ended.
func TestCanceled(t *testing.T) {
	t.Parallel()
	s := open(t, natstest.Start(t, natstest.Options{}).URL(), natsstore.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := request("a")
	if held, err := s.Reserve(ctx, r); err != nil || held.Token != r.Token {
		t.Errorf("reserve: got it held by %v, error %v, want %v", held.Token, err, r.Token)
	}
	if err := s.Complete(ctx, semel.Completion{Key: r.Key, Token: r.Token}); err != nil {
		t.Errorf("complete: %v", err)
	}
	for _, err := range s.List(ctx, semel.Filter{}) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("list: got error %v, want context.Canceled", err)
		}
	}
	if err := s.Ping(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("ping: got error %v, want context.Canceled", err)
	}
}

// A store on a client of somebody else works, leaves it open, and says that it
// buffers what it should not.
func TestNew(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	nc, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := natsstore.New(js, natsstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	reserve(t, s, request("a"))
	found, err := s.Inspect(t.Context())
	if err != nil || !has(found, "reconnect buffer", "8388608", semel.Weak) {
		t.Errorf("got findings %+v, error %v, want the buffer", found.Findings, err)
	}
	server.Kill(t)
	natstest.Poll(t, "the client hears of it", func() error {
		if nc.IsConnected() {
			return errors.New("it is connected")
		}
		return nil
	})
	if _, err := s.Reserve(t.Context(), request("b")); err == nil {
		t.Error("a step succeeds without a server")
	}
	if n, err := nc.Buffered(); n != 0 || err != nil {
		t.Errorf("got %d bytes buffered, error %v, want none: a step that failed would happen later", n, err)
	}
	if err := s.Close(); err != nil || nc.IsClosed() {
		t.Errorf("close: got error %v, closed %v, want the client left alone", err, nc.IsClosed())
	}
	if _, err := natsstore.New(nil, natsstore.Config{}); err == nil {
		t.Error("a store on nothing")
	}
}

// I3: a list shows every slot once, with what it holds, while others write.
func TestListUnderLoad(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	s := open(t, server.URL(), natsstore.Config{Stream: "LIST"})
	const n = 200
	var holders []semel.Holder
	for i := range n {
		r := request(fmt.Sprint(i))
		reserve(t, s, r)
		holders = append(holders, semel.Holder{Key: r.Key, Token: r.Token})
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // each renewal moves a slot to the end of the stream
		for i := 0; ; i = (i + 1) % n {
			select {
			case <-stop:
				return
			default:
			}
			if lost, err := s.Renew(t.Context(), time.Hour, holders[i:i+1]); err != nil || len(lost) > 0 {
				t.Errorf("renew: lost %v, error %v", lost, err)
				return
			}
		}
	})
	for range 5 {
		seen := make(map[string]bool)
		for rec, err := range s.List(t.Context(), semel.Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			if seen[rec.Key.ID] {
				t.Errorf("slot %s is listed twice", rec.Key.ID)
			}
			seen[rec.Key.ID] = true
		}
		if len(seen) != n {
			t.Errorf("got %d slots, want %d", len(seen), n)
		}
	}
	close(stop)
	wg.Wait()
}
