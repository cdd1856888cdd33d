package mysqlstore_test

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/mysqlstore"
)

// I1, L1: when a transaction that has inserted the slot rolls back under two
// waiting reservations, InnoDB calls that a deadlock of the two. The loser
// repeats, and both hear of one owner.
func TestThreeSessions(t *testing.T) {
	t.Parallel()
	server := servertest.NewMariaDB(t)
	dsn := database(t, server, "")
	s := open(t, dsn, mysqlstore.Config{})
	works(t, s)
	db := pool(t, dsn)
	before := status(t, db, "Innodb_deadlocks")
	for round := range 10 {
		r := reservation(fmt.Sprint(round))
		slot := r.Key.Slot()
		tx, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		_, err = tx.Exec(`INSERT INTO semel_slots (slot, scope, id, state, fingerprint, token, fence, lease_until, attempts, lapses, owner, created_at, expires_at)
			VALUES (?, '', '', 1, ?, ?, 1, 1, 1, 0, '', 1, 1)`, slot[:], r.Fingerprint[:], r.Token[:])
		if err != nil {
			t.Fatal(err)
		}
		var held [2]semel.Record
		var asked [2]semel.Reservation
		var wg sync.WaitGroup
		for i := range held {
			asked[i] = anew(r)
			wg.Go(func() {
				var err error
				if held[i], err = s.Reserve(t.Context(), asked[i]); err != nil {
					t.Errorf("got %v, want the deadlock repeated", err)
				}
			})
		}
		waitFor(t, func() bool { return status(t, db, "Innodb_row_lock_current_waits") == 2 })
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if held[0].Token != held[1].Token || held[0].Token != asked[0].Token && held[0].Token != asked[1].Token {
			t.Errorf("got owners %v and %v, want one of the two callers", held[0].Token, held[1].Token)
		}
	}
	if status(t, db, "Innodb_deadlocks") == before {
		t.Error("there was no deadlock: the test shows nothing")
	}
}

// status reads a counter of the server.
func status(t *testing.T, db *sql.DB, variable string) (n int) {
	t.Helper()
	var name string
	if err := db.QueryRow("SHOW GLOBAL STATUS LIKE '"+variable+"'").Scan(&name, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// L1: a lapsed attempt is no immortal zombie: however many others ask for its
// slot, none of them prolongs its lease, and the first who may takes it over.
func TestLapsedUnderPressure(t *testing.T) {
	t.Parallel()
	s := open(t, database(t, servertest.MariaDB(t), ""), mysqlstore.Config{})
	r := reservation("k")
	r.Lease = 200 * time.Millisecond
	mustReserve(t, s, r)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				holder, stranger := anew(r), anew(r)
				stranger.Fingerprint, stranger.TakeOver = semel.FingerprintOf([]byte("another request")), true
				for _, ask := range []semel.Reservation{holder, stranger} {
					if _, err := s.Reserve(t.Context(), ask); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	waitFor(t, func() bool {
		taker := anew(r)
		taker.TakeOver, taker.Lease = true, time.Hour
		held, err := s.Reserve(t.Context(), taker)
		if err != nil {
			t.Fatal(err)
		}
		return held.Token == taker.Token
	})
	close(stop)
	wg.Wait()
}

// I4: a row that somebody keeps locked, as an attempt's own transaction does, costs
// only its own holder the renewal, and nobody waits for it.
func TestRenewBesideALockedRow(t *testing.T) {
	t.Parallel()
	server := servertest.NewMariaDB(t, "innodb_lock_wait_timeout=5")
	dsn := database(t, server, "")
	db := pool(t, dsn)
	s := on(t, db, mysqlstore.Config{})
	var holders []semel.Holder
	for i := range 4 {
		r := reservation(fmt.Sprint(i))
		r.Lease = time.Microsecond
		mustReserve(t, s, r)
		holders = append(holders, semel.Holder{Key: r.Key, Token: r.Token})
	}
	tx, err := pool(t, dsn).Begin()
	if err != nil {
		t.Fatal(err)
	}
	slot := holders[0].Key.Slot()
	if _, err := tx.Exec("SELECT 1 FROM semel_slots WHERE slot = ? FOR UPDATE", slot[:]); err != nil {
		t.Fatal(err)
	}
	waits := status(t, db, "Innodb_row_lock_waits")
	lost, err := s.Renew(t.Context(), time.Hour, holders)
	if got := status(t, db, "Innodb_row_lock_waits"); got != waits {
		t.Errorf("got %d waits for a row, want none", got-waits)
	}
	some, ok := errors.AsType[*semel.UnrenewedError](err)
	if !ok || len(lost) > 0 || !slices.Equal(some.Tokens, []semel.Token{holders[0].Token}) {
		t.Errorf("got %d lost, error %v, want the holder of the locked row named", len(lost), err)
	}
	_ = tx.Rollback()
	running := 0
	for rec, err := range s.List(t.Context(), semel.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if !rec.Lapsed {
			running++
		}
	}
	if running != 3 {
		t.Errorf("got %d renewed, want the 3 whose rows were not locked", running)
	}
	if lost, err := s.Renew(t.Context(), time.Hour, holders); err != nil || len(lost) > 0 {
		t.Errorf("got %d lost, %v: want all renewed when the row is free", len(lost), err)
	}
}

// L1, L2: while an attempt's transaction has its row locked, nobody waits for it: all
// others hear what the slot holds, whether the lease runs or not and whatever they want
// to take over. When it has ended, a lapsed reservation is taken over at once.
func TestNobodyWaits(t *testing.T) {
	t.Parallel()
	server := servertest.NewMariaDB(t, "innodb_lock_wait_timeout=5")
	for _, c := range []struct{ version, params string }{
		{"10.11.6-MariaDB", readCommitted},
		{"10.11.6-MariaDB", ""},
		{"10.5.29-MariaDB", ""},
		{"8.4.0", readCommitted},
		{"8.4.0", ""},
	} {
		db := pool(t, database(t, server, c.params))
		s := on(t, db, mysqlstore.Config{})
		if err := s.Pretend(t.Context(), c.version); err != nil {
			t.Fatal(err)
		}
		running, lapsed := reservation("running"), reservation("lapsed")
		lapsed.Lease, lapsed.Deferred = time.Microsecond, true
		mustReserve(t, s, running)
		mustReserve(t, s, lapsed)
		tx, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec("SELECT 1 FROM semel_slots FOR UPDATE"); err != nil {
			t.Fatal(err)
		}
		waits := status(t, db, "Innodb_row_lock_waits")
		for _, r := range []semel.Reservation{running, lapsed} {
			taker, blameless, stranger := anew(r), anew(r), anew(r)
			taker.TakeOver, blameless.TakeOverBlameless = true, true
			stranger.Fingerprint = semel.FingerprintOf([]byte("another request"))
			for _, ask := range []semel.Reservation{r, anew(r), taker, blameless, stranger} {
				held, err := s.Reserve(t.Context(), ask)
				if err != nil || held.State != semel.StateReserved || held.Token != r.Token || held.Lapsed != (r.Lease < time.Second) {
					t.Fatalf("%v: got a %v slot held by %v, lapsed %v (%v), want it as it is", c, held.State, held.Token, held.Lapsed, err)
				}
			}
		}
		if got := status(t, db, "Innodb_row_lock_waits"); got != waits {
			t.Errorf("%v: got %d waits for a row, want none", c, got-waits)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		taker := anew(lapsed)
		taker.TakeOverBlameless = true
		if held := mustReserve(t, s, taker); held.Lapses != 0 || held.Attempts != 2 {
			t.Errorf("%v: got attempt %d after %d lapses, want the second after none", c, held.Attempts, held.Lapses)
		}
	}
}

// A step that waits for a locked row longer than the server lets it says so.
func TestLockedSlot(t *testing.T) {
	t.Parallel()
	dsn := database(t, servertest.MariaDB(t), "")
	s := on(t, pool(t, dsn+"?innodb_lock_wait_timeout=1"), mysqlstore.Config{})
	r := reservation("k")
	mustReserve(t, s, r)
	tx, err := pool(t, dsn).Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("SELECT 1 FROM semel_slots FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	if err := s.Complete(t.Context(), completion(r, "body")); err == nil {
		t.Error("got a completion of a locked row")
	}
	_ = tx.Rollback()
	mustComplete(t, s, r, "body")
}
