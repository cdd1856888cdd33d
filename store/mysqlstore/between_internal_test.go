package mysqlstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
)

// testDatabase makes a database of the test's own and returns its DSN.
func testDatabase(t *testing.T) string {
	t.Helper()
	server := servertest.MariaDB(t)
	name := servertest.Name(t)
	admin := opened(t, server.DSN()+"mysql")
	if _, err := admin.db.Exec("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = admin.db.Exec("DROP DATABASE " + name) }) // the server may be somebody else's
	return server.DSN() + name
}

// opened is a store that is not migrated.
func opened(t *testing.T, dsn string) *Store {
	t.Helper()
	s, err := Open(t.Context(), dsn, Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// newTestStore is a migrated store on a table of its own, for what only happens
// between two statements of a step.
func newTestStore(t *testing.T) *Store {
	t.Helper()
	s := opened(t, testDatabase(t))
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func ask(id string) semel.Reservation {
	return semel.Reservation{
		Key: semel.Key{Scope: "tenant-1", ID: id}, Fingerprint: semel.FingerprintOf([]byte("request")),
		Token: semel.NewToken(), Lease: time.Microsecond, Retention: time.Hour,
	}
}

// I1, I4: what happens to a slot between the look and the UPDATE that takes it
// makes the UPDATE take nothing.
func TestBetweenLookAndTake(t *testing.T) {
	t.Parallel()
	s := newTestStore(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for what, between := range map[string]func(ctx context.Context, r semel.Reservation) error{
		"a renewal": func(ctx context.Context, r semel.Reservation) error {
			_, err := s.Renew(ctx, time.Hour, []semel.Holder{{Key: r.Key, Token: r.Token}})
			return err
		},
		"a late completion": func(ctx context.Context, r semel.Reservation) error {
			return s.Complete(ctx, semel.Completion{Key: r.Key, Token: r.Token, Retention: time.Hour})
		},
		"the begin of its effects": func(ctx context.Context, r semel.Reservation) error {
			return s.BeginEffects(ctx, r.Key, r.Token)
		},
		"a release": func(ctx context.Context, r semel.Reservation) error { return s.Release(ctx, r.Key, r.Token) },
		"another taker": func(ctx context.Context, r semel.Reservation) error {
			r.Token, r.TakeOver = semel.NewToken(), true
			_, err := s.Reserve(ctx, r)
			return err
		},
		"another taker who has given up": func(ctx context.Context, r semel.Reservation) error {
			r.Token, r.TakeOver = semel.NewToken(), true
			_, err := s.Reserve(ctx, r)
			must(err)
			_, err = s.db.ExecContext(ctx, "UPDATE semel_slots SET lease_until = 1 WHERE id = ?", r.Key.ID)
			return err
		},
	} {
		ctx := t.Context()
		r := ask(what)
		r.Deferred = what == "the begin of its effects" // or fence and promise would both tell
		_, err := s.Reserve(ctx, r)
		must(err)
		_, err = s.db.ExecContext(ctx, "UPDATE semel_slots SET lease_until = 1 WHERE id = ?", r.Key.ID)
		must(err)
		slot := r.Key.Slot()
		held, found, err := s.find(ctx, s.kept.Load(), s.sql.find, slot)
		must(err)
		taker := r
		taker.Token, taker.TakeOver = semel.NewToken(), true
		if !found || !held.takeable(taker) {
			t.Fatalf("%s: the slot is not lapsed", what)
		}
		must(between(ctx, r))
		if _, ok, err := s.take(ctx, s.kept.Load(), &held, taker); err != nil || ok {
			t.Errorf("%s: got the slot taken (%v), want nothing done", what, err)
		}
	}
}

// I9, I2: a slot that is reserved again between the look of a purge and its
// DELETE is not deleted, whether its new retention is over or not.
func TestBetweenLookAndPurge(t *testing.T) {
	t.Parallel()
	s := newTestStore(t)
	for _, retention := range []time.Duration{time.Hour, time.Microsecond} {
		r := ask("k" + retention.String())
		r.Retention = time.Microsecond
		if _, err := s.Reserve(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if err := s.Release(t.Context(), r.Key, r.Token); err != nil {
			t.Fatal(err)
		}
		var slots []any
		for len(slots) == 0 { // the server's clock goes on
			var err error
			if slots, err = s.purgeable(t.Context(), 10); err != nil {
				t.Fatal(err)
			}
		}
		r.Token, r.Retention = semel.NewToken(), retention
		if _, err := s.Reserve(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond) // the short retention is over by then
		if _, err := s.db.Exec(lists(s.sql.purge, len(slots)), slots...); err != nil {
			t.Fatal(err)
		}
		if _, found, err := s.find(t.Context(), s.kept.Load(), s.sql.find, r.Key.Slot()); err != nil || !found {
			t.Errorf("a reservation was purged (%v)", err)
		}
		if retention == time.Hour { // a completed record that is kept
			if err := s.Complete(t.Context(), semel.Completion{Key: r.Key, Token: r.Token, Retention: time.Hour}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.db.Exec(lists(s.sql.purge, len(slots)), slots...); err != nil {
				t.Fatal(err)
			}
			if _, found, err := s.find(t.Context(), s.kept.Load(), s.sql.find, r.Key.Slot()); err != nil || !found {
				t.Errorf("a kept response was purged (%v)", err)
			}
		}
	}
}

// I4: a reservation that arrives between the two statements of a renewal that
// ends leases is not taken for one that was ended, and is ended by the next try.
func TestLateReservationIsEnded(t *testing.T) {
	t.Parallel()
	s := newTestStore(t)
	r := ask("k")
	r.Lease = time.Hour
	if _, err := s.Reserve(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	slot := r.Key.Slot()
	part := []holder{{slot, r.Token}}
	lost, short, err := s.look(t.Context(), lists(s.sql.renewHeld, 1), []any{slot[:]}, part, 0)
	if err != nil || len(short) != 1 || len(lost) > 0 {
		t.Errorf("got %d lost, %d short (%v), want a lease that is still to be ended", len(lost), len(short), err)
	}
	if _, err := s.Renew(t.Context(), 0, []semel.Holder{{Key: r.Key, Token: r.Token}}); err != nil {
		t.Fatal(err)
	}
	_, short, err = s.look(t.Context(), lists(s.sql.renewHeld, 1), []any{slot[:]}, part, 0)
	if err != nil || len(short) > 0 {
		t.Errorf("got %d short (%v) after the lease was ended", len(short), err)
	}
	// And ending it again, which changes nothing, loses nothing.
	if lost, err := s.Renew(t.Context(), 0, []semel.Holder{{Key: r.Key, Token: r.Token}}); err != nil || len(lost) > 0 {
		t.Errorf("got %d lost (%v), want none", len(lost), err)
	}
}

// I4: a batch of which nothing could be renewed is no batch that was.
func TestNothingRenewed(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"10.5.29-MariaDB", "10.6.1-MariaDB", "8.0.36"} {
		s := newTestStore(t)
		s.forms.Store(s.sql.formsOf(server(version)))
		r := ask("k")
		r.Lease = time.Hour
		if _, err := s.Reserve(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		unlock := lockRow(t, s, r.Key)
		for _, lease := range []time.Duration{0, 2 * time.Hour} {
			lost, err := s.Renew(t.Context(), lease, []semel.Holder{{Key: r.Key, Token: r.Token}})
			some, ok := errors.AsType[*semel.UnrenewedError](err)
			if !ok || len(lost) > 0 || len(some.Tokens) != 1 || some.Tokens[0] != r.Token {
				t.Errorf("%s, lease %v: got %d lost, %v, want the holder named", version, lease, len(lost), err)
			}
		}
		unlock()
	}
}

// server is one of that version, at READ COMMITTED.
func server(version string) *facts {
	return &facts{version: version, settings: map[string]string{"transaction_isolation": "READ-COMMITTED"}}
}

// lockRow locks a row in a transaction of somebody else's, until it is called.
func lockRow(t *testing.T, s *Store, key semel.Key) func() {
	t.Helper()
	tx, err := s.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	slot := key.Slot()
	if _, err := tx.Exec("SELECT 1 FROM semel_slots WHERE slot = ? FOR UPDATE", slot[:]); err != nil {
		t.Fatal(err)
	}
	return func() { _ = tx.Rollback() }
}

// L1: the store of a server without SKIP LOCKED waits for no locked row either:
// renewals name its holder, and a take-over answers with what the slot holds.
func TestWithoutSkipLocked(t *testing.T) {
	t.Parallel()
	s := newTestStore(t)
	s.forms.Store(s.sql.formsOf(server("10.5.29-MariaDB")))
	var holders []semel.Holder
	for i := range 25 {
		r := ask(fmt.Sprint(i))
		r.Deferred = true
		if _, err := s.Reserve(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		holders = append(holders, semel.Holder{Key: r.Key, Token: r.Token})
	}
	unlock := lockRow(t, s, holders[7].Key)
	taker := ask("7")
	taker.TakeOverBlameless = true
	held, err := s.Reserve(t.Context(), taker)
	if err != nil || held.Token != holders[7].Token || !held.Lapsed {
		t.Errorf("got it held by %v, lapsed %v (%v), want the lapsed owner", held.Token, held.Lapsed, err)
	}
	lost, err := s.Renew(t.Context(), time.Hour, holders)
	some, ok := errors.AsType[*semel.UnrenewedError](err)
	if !ok || len(lost) > 0 || len(some.Tokens) != 1 || some.Tokens[0] != holders[7].Token {
		t.Errorf("got %d lost, %v, want the holder of the locked row named", len(lost), err)
	}
	unlock()
	if held, err = s.Reserve(t.Context(), taker); err != nil || held.Token != taker.Token || held.Lapses != 0 {
		t.Errorf("got it held by %v after %d lapses (%v), want it taken over", held.Token, held.Lapses, err)
	}
	lost, err = s.Renew(t.Context(), time.Hour, holders)
	if err != nil || len(lost) != 1 || lost[0] != holders[7].Token {
		t.Errorf("got lost %v, %v, want the one that was taken over", lost, err)
	}
}
