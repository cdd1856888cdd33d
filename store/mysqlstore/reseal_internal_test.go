package mysqlstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel"
)

// I4: a reseal beside a reservation, or the purge, of the same slot replaces the
// response that it means or none.
func TestResealBesideReservation(t *testing.T) {
	t.Parallel()
	s := newTestStore(t)
	for i := range 30 {
		r := ask(fmt.Sprint(i))
		r.Lease, r.Retention = time.Hour, time.Microsecond
		if _, err := s.Reserve(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if err := s.Complete(t.Context(), semel.Completion{Key: r.Key, Token: r.Token, Response: semel.Response{Status: 201, Body: []byte("old")}}); err != nil {
			t.Fatal(err)
		}
		next := r
		next.Token, next.Retention = semel.NewToken(), time.Hour
		var wg sync.WaitGroup
		var lost error
		wg.Go(func() { lost = s.Reseal(t.Context(), semel.Holder{Key: r.Key, Token: r.Token}, nil, []byte("new")) })
		wg.Go(func() {
			if i%3 == 0 {
				_, _ = s.Purge(t.Context(), 100)
			}
			if held, err := s.Reserve(t.Context(), next); err != nil || held.Token != next.Token {
				t.Errorf("got it held by %v (%v), want the reservation", held.Token, err)
			}
			if err := s.Complete(t.Context(), semel.Completion{Key: r.Key, Token: next.Token, Response: semel.Response{Status: 201, Body: []byte("next")}}); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		if lost != nil && !errors.Is(lost, semel.ErrLost) {
			t.Errorf("reseal: got %v, want nil or ErrLost", lost)
		}
		held, err := s.Look(t.Context(), r.Key)
		if err != nil || held.Token != next.Token || string(held.Response.Body) != "next" {
			t.Errorf("got %q (%v), want the response of the next attempt", held.Response.Body, err)
		}
	}
}

// A reseal with what is there already has replaced it: no changed row is no lost one.
func TestResealWithTheSame(t *testing.T) {
	t.Parallel()
	s := newTestStore(t)
	r := keep(t, s, 1)[0]
	holder := semel.Holder{Key: r.Key, Token: r.Token}
	for range 2 {
		if err := s.Reseal(t.Context(), holder, nil, []byte(r.Key.ID)); err != nil {
			t.Errorf("got %v, want none", err)
		}
	}
	s.packet.Store(spare + 10)
	if err := s.Reseal(t.Context(), holder, []byte("header"), []byte("body!")); !errors.Is(err, semel.ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Reseal(ctx, holder, nil, []byte("later")); err != nil {
		t.Errorf("a caller who is gone: got %v, want none", err)
	}
}
