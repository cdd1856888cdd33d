package memstore

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/semel-go/semel"
)

func ask(id string) semel.Reservation {
	return semel.Reservation{
		Key: semel.Key{Scope: "scope", ID: id}, Fingerprint: semel.Fingerprint{1}, Token: semel.NewToken(),
		Lease: time.Second, Retention: time.Minute,
	}
}

// reserve takes the slot of id and fails the test if it is not free.
func reserve(t *testing.T, s *Store, id string) semel.Reservation {
	t.Helper()
	r := ask(id)
	if held, err := s.Reserve(t.Context(), r); err != nil || held.Token != r.Token {
		t.Fatalf("reserve %s: got token %v, error %v, want token %v", id, held.Token, err, r.Token)
	}
	return r
}

func complete(t *testing.T, s *Store, r semel.Reservation) {
	t.Helper()
	if err := s.Complete(t.Context(), semel.Completion{Key: r.Key, Token: r.Token}); err != nil {
		t.Fatalf("complete %s: %v", r.Key.ID, err)
	}
}

func wantFull(t *testing.T, s *Store, id string) {
	t.Helper()
	if _, err := s.Reserve(t.Context(), ask(id)); !errors.Is(err, semel.ErrFull) {
		t.Errorf("reserve %s: got error %v, want ErrFull", id, err)
	}
}

// A bounded store refuses a new key while everything it holds still counts
// (I9: no silent loss), goes on to serve the keys it has, and makes room as
// soon as something is over.
func TestBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{MaxRecords: 3})
		running, done, freed := reserve(t, s, "running"), reserve(t, s, "done"), reserve(t, s, "freed")
		complete(t, s, done)
		if err := s.Release(t.Context(), freed.Key, freed.Token); err != nil {
			t.Fatal(err)
		}
		wantFull(t, s, "new")
		reserve(t, s, "freed") // a key that has a record needs no room

		time.Sleep(time.Minute) // done is over; running and freed are lapsed
		reserve(t, s, "new")
		wantFull(t, s, "newer")
		for _, id := range []string{running.Key.ID, "freed"} {
			held, err := s.Reserve(t.Context(), ask(id))
			if err != nil || held.State != semel.StateReserved || !held.Lapsed {
				t.Errorf("%s: got %v, lapsed %v, error %v, want a lapsed reservation", id, held.State, held.Lapsed, err)
			}
		}
		if got, want := s.count.Load(), int64(3); got != want {
			t.Errorf("got %d records, want %d", got, want)
		}
	})
}

// Callers who race for the last places of a bounded store get exactly as many
// as there are, while others settle and purge.
func TestBoundedRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound, callers = 100, 400
		s := New(Config{MaxRecords: bound})
		for i := range bound / 2 {
			complete(t, s, reserve(t, s, fmt.Sprint("old ", i)))
		}
		time.Sleep(time.Minute) // all of them are over
		var got, full atomic.Int64
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				switch _, err := s.Reserve(t.Context(), ask(fmt.Sprint("new ", i))); {
				case err == nil:
					got.Add(1)
				case errors.Is(err, semel.ErrFull):
					full.Add(1)
				default:
					t.Errorf("reserve: got error %v, want none or ErrFull", err)
				}
				if i%10 == 0 {
					_, _ = s.Purge(t.Context(), 1)
				}
			})
		}
		wg.Wait()
		if got.Load() != bound || full.Load() != callers-bound {
			t.Errorf("got %d reserved and %d refused, want %d and %d", got.Load(), full.Load(), bound, callers-bound)
		}
		held := 0
		for i := range s.shards {
			held += len(s.shards[i].records)
		}
		if held != bound || s.count.Load() != bound {
			t.Errorf("got %d records and a count of %d, want %d", held, s.count.Load(), bound)
		}
	})
}

// The clock and the terms of a record reach the end of time without wrapping.
func TestAfter(t *testing.T) {
	for _, c := range []struct {
		t    int64
		d    time.Duration
		want int64
	}{
		{5, 3, 8},
		{5, 0, 5},
		{5, math.MaxInt64, math.MaxInt64},
		{math.MaxInt64, 1, math.MaxInt64},
		{math.MaxInt64 - 1, 1, math.MaxInt64},
	} {
		if got := after(c.t, c.d); got != c.want {
			t.Errorf("after(%d, %d): got %d, want %d", c.t, c.d, got, c.want)
		}
	}
}

// A replay allocates nothing, and a reservation with its completion one record,
// besides what maps and queues grow by.
func TestAllocations(t *testing.T) {
	s := New(Config{})
	done := reserve(t, s, "done")
	complete(t, s, done)
	again := ask("done")
	if got := testing.AllocsPerRun(100, func() { _, _ = s.Reserve(t.Context(), again) }); got != 0 {
		t.Errorf("replay: got %v allocations, want 0", got)
	}
	var fresh []semel.Reservation
	for i := range 2000 {
		fresh = append(fresh, ask(fmt.Sprint(i)))
	}
	next := 0
	pair := func() {
		r := fresh[next]
		next++
		_, _ = s.Reserve(t.Context(), r)
		_ = s.Complete(t.Context(), semel.Completion{Key: r.Key, Token: r.Token})
	}
	if got := testing.AllocsPerRun(len(fresh)-1, pair); got > 2 {
		t.Errorf("pair: got %v allocations, want 1 and a few for growth", got)
	}
}

// A record fits in the allocator's class of 224 bytes; the next one has 240.
// With the index that makes the 300 bytes at most that a record costs.
func TestRecordSize(t *testing.T) {
	if got := unsafe.Sizeof(record{}); got > 224 && unsafe.Sizeof(uintptr(0)) == 8 {
		t.Errorf("got a record of %d bytes, want 224 at most", got)
	}
}

// One purge visits every shard once at most, and deletes no more than its
// limit; the next one goes on where it ended.
func TestPurgeInSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{})
		for i := range 1000 {
			complete(t, s, reserve(t, s, fmt.Sprint(i)))
		}
		time.Sleep(time.Minute)
		var steps []int
		for {
			n, err := s.Purge(t.Context(), 300)
			if err != nil {
				t.Fatal(err)
			}
			if steps = append(steps, n); n == 0 {
				break
			}
		}
		if got, want := fmt.Sprint(steps), "[300 300 300 100 0]"; got != want {
			t.Errorf("got steps %s, want %s", got, want)
		}
		for i := range s.shards {
			if sh := &s.shards[i]; len(sh.records) != 0 || len(sh.over) != 0 {
				t.Errorf("shard %d: got %d records, %d queued, want none", i, len(sh.records), len(sh.over))
			}
		}
	})
}

// I6: a purge does not let a fence go back, even if it had run ahead of the clock.
func TestFenceOutlivesPurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{})
		var last int64
		for range 3 {
			r := ask("a")
			r.Retention = 0 // over at once, in the same instant of the bubble
			held, err := s.Reserve(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if held.Fence <= last {
				t.Errorf("got fence %d, want more than %d", held.Fence, last)
			}
			last = held.Fence
			complete(t, s, r)
			if n, _ := s.Purge(t.Context(), 10); n != 1 {
				t.Fatalf("purged %d, want 1", n)
			}
		}
	})
}

// Keys whose hashes collide stay apart: they are compared in full (I13).
func TestChain(t *testing.T) {
	var sh shard
	sh.records = make(map[uint64]*record)
	made := map[string]*record{}
	for _, id := range []string{"a", "b", "c", "d"} {
		made[id] = sh.insert(7, semel.Key{Scope: "s", ID: id})
	}
	for _, gone := range []string{"b", "d", "a", "c"} { // from the middle, the front and the end
		sh.remove(7, made[gone])
		delete(made, gone)
		for _, id := range []string{"a", "b", "c", "d"} {
			if got, want := sh.find(7, &semel.Key{Scope: "s", ID: id}), made[id]; got != want {
				t.Errorf("after %s was removed: got record %p for %s, want %p", gone, got, id, want)
			}
		}
	}
	if got := len(sh.records); got != 0 {
		t.Errorf("got %d hashes left, want 0", got)
	}
}
