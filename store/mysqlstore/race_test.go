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

// I4: a row that somebody keeps locked costs only its own holder the renewal.
func TestRenewBesideALockedRow(t *testing.T) {
	t.Parallel()
	dsn := database(t, servertest.MariaDB(t), "")
	db := pool(t, dsn+"?innodb_lock_wait_timeout=1")
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
	lost, err := s.Renew(t.Context(), time.Hour, holders)
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
