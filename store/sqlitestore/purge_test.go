package sqlitestore_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/sqlitestore"
)

// I9: reservations are passed over whatever their age and number, and those
// behind them are found.
func TestPurgePassesOverReservations(t *testing.T) {
	path := newPath(t)
	s := open(t, path, sqlitestore.Config{})
	var wg sync.WaitGroup
	for i := range 300 {
		wg.Go(func() {
			r := reservation(fmt.Sprint(i))
			r.Lease, r.Retention = time.Microsecond, time.Microsecond
			if _, err := s.Reserve(t.Context(), r); err != nil {
				t.Error(err)
				return
			}
			if i%3 != 0 {
				return
			}
			if err := s.Release(t.Context(), r.Key, r.Token); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, want := range []int{30, 30, 30, 10, 0, 0} {
		if got, err := s.Purge(t.Context(), 30); err != nil || got != want {
			t.Fatalf("got %d purged and error %v, want %d", got, err, want)
		}
	}
	if got := look(t, path, "SELECT count(*) FROM slots WHERE state = 1"); got != 200 {
		t.Errorf("got %d reservations after the purge, want 200", got)
	}
}

// What a purge passed over is found later, when it is over at last.
func TestPurgeStartsOver(t *testing.T) {
	s := open(t, newPath(t), sqlitestore.Config{})
	early := reservation("early")
	early.Retention = time.Microsecond
	mustReserve(t, s, early)
	var late []semel.Reservation
	for i := range 5 {
		r := reservation(fmt.Sprint(i))
		r.Retention = time.Microsecond
		mustReserve(t, s, r)
		mustComplete(t, s, r, "x")
		late = append(late, r)
	}
	total := 0
	for range len(late) {
		n, err := s.Purge(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		total += n
	}
	if total != len(late) {
		t.Fatalf("got %d purged, want %d", total, len(late))
	}
	if err := s.Release(t.Context(), early.Key, early.Token); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Purge(t.Context(), 1); err != nil || n != 1 {
		t.Errorf("got %d purged and error %v, want the released one", n, err)
	}
}

// One step is short, whatever it is asked for.
func TestPurgeIsBounded(t *testing.T) {
	s := open(t, newPath(t), sqlitestore.Config{})
	var wg sync.WaitGroup
	for i := range 150 {
		wg.Go(func() {
			r := reservation(fmt.Sprint(i))
			r.Retention = time.Microsecond
			if _, err := s.Reserve(t.Context(), r); err != nil {
				t.Error(err)
			}
			if err := s.Complete(t.Context(), completion(r, "x")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, want := range []int{100, 50, 0} {
		if got, err := s.Purge(t.Context(), 1_000_000); err != nil || got != want {
			t.Errorf("got %d purged and error %v, want %d", got, err, want)
		}
	}
}
