package natsstore_test

import (
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/natsstore"
	"github.com/semel-go/semel/store/natsstore/natstest"
	"github.com/semel-go/semel/store/storetest"
)

// Leases and retentions are measured by the server's clock: a process whose own
// is a year ahead or behind keeps every promise.
func TestConformanceSkewed(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	for name, skew := range map[string]time.Duration{"ahead": 8760 * time.Hour, "behind": -8760 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Suite{Open: func(t *testing.T) semel.Store {
				t.Helper()
				s := connect(t, server.URL(), natsstore.Config{})
				s.SetClock(func() time.Time { return time.Now().Add(skew) })
				if err := s.Migrate(t.Context()); err != nil {
					t.Fatal(err)
				}
				return s
			}, Expires: true}.Run(t)
		})
	}
}

// I1: two processes whose clocks differ by hours see the same lease: the one
// that is ahead takes nothing over while it runs, and the one that is behind
// takes it over when it has ended. No instant in a record is of their clocks.
func TestSkewBetweenProcesses(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	cfg := natsstore.Config{Stream: "SKEW"}
	straight := open(t, server.URL(), cfg)
	skewed := func(d time.Duration) *natsstore.Store {
		s := connect(t, server.URL(), cfg)
		s.SetClock(func() time.Time { return time.Now().Add(d) })
		return s
	}
	ahead, behind := skewed(5*time.Hour), skewed(-5*time.Hour)

	r := request("a")
	before := time.Now()
	if _, err := behind.Reserve(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	taker := r
	taker.Token, taker.TakeOver = semel.NewToken(), true
	held, err := ahead.Reserve(t.Context(), taker)
	if err != nil || held.Token != r.Token || held.Lapsed {
		t.Errorf("ahead: got it held by %v, lapsed %v, error %v, want %v running", held.Token, held.Lapsed, err, r.Token)
	}
	if age := held.CreatedAt.Sub(before); age.Abs() > time.Hour { // one machine: the server's clock is ours
		t.Errorf("got a record made %v from now, want the server's time", age)
	}

	brief := request("b")
	brief.Lease = time.Millisecond
	if _, err := ahead.Reserve(t.Context(), brief); err != nil {
		t.Fatal(err)
	}
	taker = brief
	taker.Token, taker.TakeOver = semel.NewToken(), true
	natstest.Poll(t, "the one behind takes over (L1)", func() error {
		held, err = behind.Reserve(t.Context(), taker)
		if err == nil && held.Token != taker.Token {
			err = semel.ErrInFlight
		}
		return err
	})
	// A clock that is set back and forth under way does no harm either.
	jumps := 0
	straight.SetClock(func() time.Time {
		jumps++
		return time.Now().Round(0).Add(time.Duration(jumps%3-1) * 5 * time.Hour)
	})
	taker = r
	for range 20 {
		taker.Token, taker.TakeOver = semel.NewToken(), true
		held, err := straight.Reserve(t.Context(), taker)
		if err != nil || held.Token != r.Token || held.Lapsed {
			t.Fatalf("jumping: got it held by %v, lapsed %v, error %v, want %v running", held.Token, held.Lapsed, err, r.Token)
		}
	}
}
