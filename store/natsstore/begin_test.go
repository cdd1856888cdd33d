package natsstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/natsstore"
	"github.com/semel-go/semel/store/natsstore/natstest"
)

// I1, I7: to begin changes nothing but the promise, whether the process made the
// reservation and knows its message or has to look: who lapsed stays lapsed, also
// for those with a margin, the lease that runs is renewed and completed as before.
func TestBeginEffects(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	cfg := natsstore.Config{Stream: "BEGIN"}
	s, other := open(t, server.URL(), cfg), open(t, server.URL(), cfg)
	const margin = 200 * time.Millisecond
	lapsed := func(key semel.Key) (n int) {
		for _, err := range s.List(t.Context(), semel.Filter{Scope: key.Scope, ID: key.ID, Lapsed: true, Margin: margin}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	for name, beginner := range map[string]*natsstore.Store{"its own": s, "another": other} {
		late := request("late " + name)
		late.Lease, late.Deferred = time.Millisecond, true
		reserve(t, s, late)
		natstest.Poll(t, "the lease and the margin are over", func() error {
			if lapsed(late.Key) == 0 {
				return errors.New("they are not")
			}
			return nil
		})
		begin(t, beginner, late)
		if lapsed(late.Key) == 0 {
			t.Errorf("%s: the lease runs again, or its margin does", name)
		}
		taker := request(late.Key.ID)
		taker.TakeOverBlameless = true
		if held, err := s.Reserve(t.Context(), taker); err != nil || held.Token != late.Token || held.Deferred {
			t.Errorf("%s: got a slot of %v, deferred %v, error %v, want that of the attempt that began", name, held.Token, held.Deferred, err)
		}

		r := request("running " + name)
		r.Deferred = true
		before := reserve(t, s, r)
		begin(t, beginner, r)
		begin(t, beginner, r) // harmless
		held, err := s.Reserve(t.Context(), request(r.Key.ID))
		if err != nil || held.Token != r.Token || held.Deferred || held.Lapsed || held.Fence != before.Fence || held.Attempts != 1 {
			t.Errorf("%s: got %+v, error %v, want %+v begun", name, held, err, before)
		}
		if lost, err := beginner.Renew(t.Context(), time.Hour, []semel.Holder{{Key: r.Key, Token: r.Token}}); err != nil || len(lost) > 0 {
			t.Errorf("%s: renew: got %d lost, error %v", name, len(lost), err)
		}
		begin(t, beginner, r)
		complete(t, beginner, r, answerOf("a"))
		if err := beginner.BeginEffects(t.Context(), r.Key, r.Token); !errors.Is(err, semel.ErrLost) {
			t.Errorf("%s: got error %v when all is over, want ErrLost", name, err)
		}
	}
}

func begin(t testing.TB, s *natsstore.Store, r semel.Reservation) {
	t.Helper()
	if err := s.BeginEffects(t.Context(), r.Key, r.Token); err != nil {
		t.Fatalf("begin effects: %v", err)
	}
}
