package semel_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// listed is the only record of the tests' scope.
func listed(t *testing.T, store *memstore.Store) (found semel.Record) {
	t.Helper()
	n := 0
	for rec, err := range store.List(t.Context(), semel.Filter{Scope: secretKey.Scope}) {
		if err != nil {
			t.Fatal(err)
		}
		n, found = n+1, rec
	}
	if n != 1 {
		t.Fatalf("got %d records, want 1", n)
	}
	return found
}

// The hook is told the route of the attempt, and the record keeps it.
func TestSweepKeepsRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		c := semel.Call{Key: secretKey, Route: "POST /payments"}
		crashed(t, store, c)
		time.Sleep(lapse)
		asked := ""
		book := &ledger{then: func(_ context.Context, held semel.Record) { asked = held.Route }}
		e, _ := process(t, store, semel.Config{})
		sweeping(t, e, semel.Sweeping{Recover: book.recover})
		time.Sleep(time.Second)
		if rec := listed(t, store); asked != c.Route || rec.Route != c.Route {
			t.Errorf("asked about the route %q, and left %q, want %q", asked, rec.Route, c.Route)
		}
	})
}

// asks are the minutes at which a hook that knows nothing is asked about one lapsed attempt
// in a day. during, if not nil, is called after the first hour.
func asks(t *testing.T, store *memstore.Store, processes int, during func()) (minutes []int) {
	t.Helper()
	crashed(t, store, semel.Call{Key: secretKey})
	time.Sleep(lapse)
	start := time.Now()
	book := &ledger{then: func(context.Context, semel.Record) {
		minutes = append(minutes, int(time.Since(start)/time.Minute))
	}}
	for range processes {
		e, _ := process(t, store, semel.Config{})
		sweeping(t, e, semel.Sweeping{Recover: book.recover})
		time.Sleep(time.Second)
	}
	time.Sleep(time.Hour)
	if during != nil {
		during()
	}
	time.Sleep(23 * time.Hour)
	synctest.Wait()
	return minutes
}

// I9: each question gives the record another fence, which an operator has to name. What stays
// unknown is asked about less and less, and at last once an hour.
func TestSweepPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := asks(t, memstore.New(memstore.Config{}), 1, nil)
		if first := []int{0, 1, 3, 7, 15, 31, 63, 123, 183}; len(got) < len(first) || !slices.Equal(got[:len(first)], first) || len(got) > 32 {
			t.Errorf("asked in the minutes %v, want %v and once an hour", got, first)
		}
	})
}

// I9: what was executed and cannot be kept stays unknown, and is asked about less and less as well.
func TestSweepPausesAfterErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		crashed(t, store, semel.Call{Key: secretKey})
		time.Sleep(lapse)
		e, w := process(t, store, semel.Config{})
		w.set(at(semel.StepComplete, func() error { return semel.ErrTooLarge }), nil)
		book := &ledger{knows: map[string]semel.Recovery{secretKey.ID: {Verdict: semel.Executed, Response: answer("found")}}}
		sweeping(t, e, semel.Sweeping{Recover: book.recover})
		time.Sleep(5 * time.Hour)
		if n := book.times(secretKey.ID); n < 9 || n > 12 {
			t.Errorf("asked %d times in 5 hours, want once an hour at last", n)
		}
		w.heal()
		time.Sleep(time.Hour)
		wantReplay(t, begin(t, e, semel.Call{Key: secretKey}), answer("found"))
	})
}

// That another process has asked is no news.
func TestSweepPausesInEveryProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if got := asks(t, memstore.New(memstore.Config{}), 3, nil); len(got) > 100 {
			t.Errorf("asked %d times, want about once an hour for each process", len(got))
		}
	})
}

// An attempt that began anew is asked about as the first was.
func TestSweepOfANewAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		got := asks(t, store, 1, func() {
			if err := store.Resolve(t.Context(), semel.Resolution{Key: secretKey, Fence: listed(t, store).Fence}); err != nil {
				t.Fatal(err)
			}
			crashed(t, store, semel.Call{Key: secretKey})
		})
		if i := slices.IndexFunc(got, func(m int) bool { return m >= 60 }); i < 0 || got[i] > 62 {
			t.Errorf("asked in the minutes %v, want soon after the new one has lapsed", got)
		}
	})
}

// What nobody is to be asked about stays as it is, and what cannot have begun is freed all the same (I9).
func TestSweepOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Config{})
		crashed(t, store, semel.Call{Key: secretKey, Route: "held"})
		crashed(t, store, deferring("blameless", "x"))
		time.Sleep(lapse)
		before := listed(t, store).Fence
		book := &ledger{}
		e, _ := process(t, store, semel.Config{})
		sweeping(t, e, semel.Sweeping{Recover: book.recover, Only: func(held semel.Record) bool { return held.Route != "held" && held.Route != "" }})
		time.Sleep(time.Hour)
		if got := listed(t, store).Fence; got != before || book.times(secretKey.ID) != 0 {
			t.Errorf("asked %d times, and the fence is %d, want never, and %d", book.times(secretKey.ID), got, before)
		}
		reserve(t, e, call("blameless", "another request"))
	})
}
