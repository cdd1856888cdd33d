package pgstore

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
)

// reserveFirst reserves as the program of schema 1 does.
func reserveFirst(t *testing.T, s *Store, r semel.Reservation) {
	t.Helper()
	reserveOld(t, s, 1, r)
}

// reserveOld reserves as the program of that schema does.
func reserveOld(t *testing.T, s *Store, schema int, r semel.Reservation) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("testdata/reserve_schema_%d.sql", schema))
	if err != nil {
		t.Fatal(err)
	}
	slot := r.Key.Slot()
	args := []any{
		slot[:], r.Token[:], r.Fingerprint[:], micros(r.Lease), micros(r.Retention), micros(r.Margin), r.TakeOver,
		[]byte(r.Key.Scope), []byte(r.Key.ID), []byte(r.Owner),
	}
	if schema == 2 {
		args = append(args, r.TakeOverBlameless, r.Deferred, s.names.number(slot))
	}
	rows, err := s.pool.Query(t.Context(), s.names.replacer.Replace(string(text)), args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if !rows.Next() {
		t.Fatalf("got no row (%v)", rows.Err())
	}
	values, err := rows.Values()
	if err != nil {
		t.Fatal(err)
	}
	if token := values[2].([]byte); semel.Token(token) != r.Token {
		t.Fatalf("got it held by %x, want it held by %v", token, r.Token)
	}
}

// lapseOf ends the lease of r.
func lapseOf(t *testing.T, s *Store, r semel.Reservation) {
	t.Helper()
	if lost, err := s.Renew(t.Context(), 0, []semel.Holder{{Key: r.Key, Token: r.Token}}); err != nil || len(lost) > 0 {
		t.Fatalf("renew: got %d lost (%v)", len(lost), err)
	}
}

// next is the same request in another attempt.
func next(r semel.Reservation) semel.Reservation {
	r.Token = semel.NewToken()
	return r
}

func reserved(t *testing.T, s *Store, r semel.Reservation) semel.Record {
	t.Helper()
	held, err := s.Reserve(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return held
}

// I7, I10: the schema of the first program is brought to this one's in place,
// whoever of ten is first. Nothing that was acknowledged is lost, and no
// reservation of before counts as one that has not begun.
func TestFirstSchema(t *testing.T) {
	t.Parallel()
	schema := servertest.Name(t)
	first := withFiles(t, schema, 1)
	if err := first.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	var kept []semel.Reservation
	for i := range 20 {
		r := ask(fmt.Sprint("kept ", i))
		reserveFirst(t, first, r)
		c := semel.Completion{Key: r.Key, Token: r.Token, Retention: r.Retention, Response: semel.Response{Status: 200, Body: []byte(r.Key.ID)}}
		if err := first.Complete(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, r)
	}
	running, lapsed, free := ask("running"), ask("lapsed"), ask("free")
	for _, r := range []semel.Reservation{running, lapsed, free} {
		reserveFirst(t, first, r)
	}
	lapseOf(t, first, lapsed)
	if err := first.Release(t.Context(), free.Key, free.Token); err != nil {
		t.Fatal(err)
	}

	wantVersions(t, newTestStore(t, schema).Validate(t.Context()), "validate", 1, newest, "migrate it")
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range 10 {
		s := newTestStore(t, schema)
		wg.Go(func() {
			<-start
			if err := s.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	close(start)
	wg.Wait()

	s := newTestStore(t, schema)
	replayed(t, s, kept)
	if held := reserved(t, s, next(running)); held.Token != running.Token || held.Deferred {
		t.Errorf("got it held by %v, deferred %v, want the attempt that runs", held.Token, held.Deferred)
	}
	asker := next(lapsed)
	asker.TakeOverBlameless = true
	if held := reserved(t, s, asker); held.Token != lapsed.Token || !held.Lapsed || held.Deferred {
		t.Errorf("got it held by %v, deferred %v, want the lapsed attempt, which may have begun", held.Token, held.Deferred)
	}
	asker.TakeOver = true
	if held := reserved(t, s, asker); held.Token != asker.Token || held.Lapses != 1 {
		t.Errorf("got it held by %v after %d lapses, want it taken over", held.Token, held.Lapses)
	}
	if held := reserved(t, s, next(free)); held.Attempts != 2 || held.Deferred || held.Reason != "" {
		t.Errorf("got attempt %d, deferred %v, reason %q, want the second one", held.Attempts, held.Deferred, held.Reason)
	}
}

// I7: the program of schema 1 goes on beside this one, and knows of no promise. None
// of its reservations inherits that of the one before.
func TestPromiseIsNotInherited(t *testing.T) {
	t.Parallel()
	schema := servertest.Name(t)
	s := newTestStore(t, schema)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	promised := func(id string) semel.Reservation {
		r := ask(id)
		r.Deferred, r.Retention = true, time.Microsecond
		if held := reserved(t, s, r); held.Token != r.Token || !held.Blameless() {
			t.Fatalf("got it held by %v, deferred %v", held.Token, held.Deferred)
		}
		return r
	}
	for name, end := range map[string]func(r semel.Reservation) semel.Reservation{
		"taken over": func(r semel.Reservation) semel.Reservation {
			lapseOf(t, s, r)
			r.TakeOver = true
			return next(r)
		},
		"released": func(r semel.Reservation) semel.Reservation {
			if err := s.Release(t.Context(), r.Key, r.Token); err != nil {
				t.Fatal(err)
			}
			return next(r)
		},
		"over": func(r semel.Reservation) semel.Reservation {
			if err := s.Complete(t.Context(), semel.Completion{Key: r.Key, Token: r.Token}); err != nil {
				t.Fatal(err)
			}
			return next(r)
		},
		"taken over and over": func(r semel.Reservation) semel.Reservation {
			lapseOf(t, s, r)
			r.TakeOver = true
			r = next(r)
			reserveFirst(t, s, r)
			if err := s.Complete(t.Context(), semel.Completion{Key: r.Key, Token: r.Token}); err != nil {
				t.Fatal(err)
			}
			return next(r)
		},
	} {
		r := end(promised(name))
		reserveFirst(t, s, r)
		if held := reserved(t, s, r); held.Token != r.Token || held.Deferred {
			t.Errorf("%s: got it held by %v, deferred %v, want no promise", name, held.Token, held.Deferred)
		}
		lapseOf(t, s, r)
		asker := next(r)
		asker.TakeOver, asker.TakeOverBlameless = false, true
		if held := reserved(t, s, asker); held.Token != r.Token {
			t.Errorf("%s: got it taken over, want it held", name)
		}
	}
}
