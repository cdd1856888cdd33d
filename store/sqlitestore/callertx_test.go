package sqlitestore_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
	"github.com/semel-go/semel/store/sqlitestore"
)

// I8: effect and record are committed together, and replayed.
func TestTxCommits(t *testing.T) {
	eachKind(t, func(b *bank) {
		t := b.t
		r, held := b.claim("a")
		tx := b.beginTx(b.db)
		b.must(tx.Lock(t.Context(), r.Key, r.Token))
		b.book(tx, "a")
		b.must(tx.Complete(t.Context(), completion(r, "booked")))
		b.wantBooked("a", 0)
		b.wantHeld(r, semel.StateReserved)
		b.must(tx.Commit())
		b.wantBooked("a", 1)
		got, err := b.Reserve(t.Context(), heir(r))
		if err != nil || got.State != semel.StateCompleted || string(got.Response.Body) != "booked" ||
			got.Token != r.Token || got.Fence != held.Fence || got.Deferred {
			t.Errorf("got %+v, error %v, want the response", got, err)
		}
	})
}

// I8: a transaction that is rolled back leaves the attempt as it was, which may try
// again.
func TestTxRollsBack(t *testing.T) {
	eachKind(t, func(b *bank) {
		t := b.t
		r, _ := b.claim("a")
		for range 3 {
			tx := b.beginTx(b.db)
			b.must(tx.Lock(t.Context(), r.Key, r.Token))
			b.book(tx, "a")
			b.must(tx.Complete(t.Context(), completion(r, "booked")))
			b.must(tx.Rollback())
			b.wantBooked("a", 0)
			b.wantHeld(r, semel.StateReserved)
		}
		if got := look(t, b.path, "SELECT count(*) FROM "+b.table("bodies")); got != 0 {
			t.Errorf("got %d bodies, want none", got)
		}
		tx := b.beginTx(b.db) // without Lock
		b.book(tx, "a")
		b.must(tx.Complete(t.Context(), completion(r, "booked")))
		b.must(tx.Commit())
		b.wantBooked("a", 1)
		b.wantHeld(r, semel.StateCompleted)
	})
}

// table is the name of a table of the store.
func (b *bank) table(name string) string {
	if look(b.t, b.path, "SELECT count(*) FROM sqlite_schema WHERE name = 'semel_schema'") > 0 {
		return "semel_" + name
	}
	return name
}

// I4: who lost the slot hears so before anything is written, and before anything is
// committed.
func TestTxLost(t *testing.T) {
	eachKind(t, func(b *bank) {
		t := b.t
		r, _ := b.lapsed("a")
		next := heir(r)
		mustReserve(t, b, next)
		tx := b.beginTx(b.db)
		wantLost(t, tx.Lock(t.Context(), r.Key, r.Token))
		b.must(tx.Rollback())
		tx = b.beginTx(b.db)
		b.book(tx, "a")
		wantLost(t, tx.Complete(t.Context(), completion(r, "late")))
		b.must(tx.Rollback())

		tx = b.beginTx(b.db)
		absent := reservation("absent")
		wantLost(t, tx.Lock(t.Context(), absent.Key, absent.Token))
		wantLost(t, tx.Complete(t.Context(), completion(absent, "late")))
		b.must(tx.Commit()) // a careless caller
		b.wantHeld(absent, semel.StateFree)
		b.wantHeld(next, semel.StateReserved)
	})
}

func wantLost(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, semel.ErrLost) {
		t.Errorf("got error %v, want ErrLost", err)
	}
}

// I8: a token completes once in transactions: who hears nil commits business
// writes with it.
func TestTxCompletesOnce(t *testing.T) {
	eachKind(t, func(b *bank) {
		t := b.t
		r, _ := b.claim("a")
		tx := b.beginTx(b.db)
		b.must(tx.Complete(t.Context(), completion(r, "first")))
		wantLost(t, tx.Complete(t.Context(), completion(r, "second")))
		b.must(tx.Rollback())
		tx = b.beginTx(b.db)
		b.must(tx.Complete(t.Context(), completion(r, "first")))
		b.must(tx.Commit())
		tx = b.beginTx(b.db)
		wantLost(t, tx.Lock(t.Context(), r.Key, r.Token))
		wantLost(t, tx.Complete(t.Context(), completion(r, "second")))
		b.must(tx.Rollback())
		if err := b.Complete(t.Context(), completion(r, "second")); err != nil {
			t.Errorf("on its own: got error %v, want none for the same token", err)
		}
	})
}

// I8: SQLite may end a transaction by itself. What is written then is committed on
// its own, so there must be no record of it.
func TestTxThatWasRolledBack(t *testing.T) {
	eachKind(t, func(b *bank) {
		t := b.t
		execute(t, b.path, "CREATE TABLE once (n INTEGER PRIMARY KEY); INSERT INTO once VALUES (1)")
		r, _ := b.claim("a")
		tx := b.beginTx(b.db)
		b.must(tx.Lock(t.Context(), r.Key, r.Token))
		b.book(tx, "a")
		if _, err := tx.ExecContext(t.Context(), "INSERT OR ROLLBACK INTO once VALUES (1)"); err == nil {
			t.Fatal("got no error, want a duplicate key")
		}
		if err := tx.Complete(t.Context(), completion(r, "booked")); err == nil || !strings.Contains(err.Error(), "rolled the transaction back") {
			t.Errorf("got error %v, want one that tells of the rollback", err)
		}
		_ = tx.Rollback()
		b.wantBooked("a", 0)
		b.wantHeld(r, semel.StateReserved)
	})
}

// Reserving in the application's own transaction, too, takes effect with it, and
// takes nothing over.
func TestTxReserves(t *testing.T) {
	eachKind(t, func(b *bank) {
		t := b.t
		r := reservation("a")
		tx := b.beginTx(b.db)
		held, err := tx.Reserve(t.Context(), r)
		if err != nil || held.Token != r.Token || held.Attempts != 1 {
			t.Errorf("got %+v, error %v, want the reservation", held, err)
		}
		again, err := tx.Reserve(t.Context(), r)
		if err != nil || again.Token != r.Token || again.Fence != held.Fence || again.Attempts != 1 {
			t.Errorf("again: got %+v, error %v, want the same", again, err)
		}
		b.wantHeld(r, semel.StateFree)
		b.must(tx.Complete(t.Context(), completion(r, "booked")))
		b.must(tx.Commit())
		b.wantHeld(r, semel.StateCompleted)

		lapsed, _ := b.lapsed("b")
		tx = b.beginTx(b.db)
		held, err = tx.Reserve(t.Context(), heir(lapsed))
		if err != nil || held.Token != lapsed.Token || !held.Lapsed {
			t.Errorf("got %+v, error %v, want the lapsed reservation as it is", held, err)
		}
	})
}

// What cannot keep the promise is refused.
func TestTxIsRefused(t *testing.T) {
	t.Parallel()
	b := openBank(t, newPath(t), sqlitestore.Config{})
	elsewhere := openBank(t, newPath(t), sqlitestore.Config{})
	r, _ := b.claim("a")
	for name, c := range map[string]struct {
		db  *sql.DB
		why string
	}{
		"another file": {elsewhere.db, "the records are in"},
		"no sync":      {b.ledger(pragmas + "&_pragma=synchronous(NORMAL)"), "synchronous"},
	} {
		for step, run := range map[string]func(begun) error{
			"lock": func(tx begun) error { return tx.Lock(t.Context(), r.Key, r.Token) },
			"reserve": func(tx begun) error {
				_, err := tx.Reserve(t.Context(), reservation("new"))
				return err
			},
			"complete": func(tx begun) error { return tx.Complete(t.Context(), completion(r, "booked")) },
		} {
			tx := b.beginTx(c.db)
			err := run(tx)
			if lost := name == "another file" && errors.Is(err, semel.ErrLost); !lost && (err == nil || !strings.Contains(err.Error(), c.why)) {
				t.Errorf("%s: %s: got error %v, want one about %q", name, step, err, c.why)
			}
			b.must(tx.Rollback())
		}
	}
	if _, err := sqlitestore.Tx(nil).Steps(b.Store); err == nil {
		t.Error("no transaction: got steps, want an error")
	}
	tx := b.beginTx(b.db)
	if _, err := sqlitestore.Tx(tx.Tx).Steps(memstore.New(memstore.Config{})); !errors.Is(err, semel.ErrOtherStore) {
		t.Errorf("another store: got error %v, want ErrOtherStore", err)
	}
	if _, err := sqlitestore.Tx(tx.Tx).Steps(struct{ semel.Store }{b.Store}); !errors.Is(err, semel.ErrOtherStore) {
		t.Errorf("a store that hides: got error %v, want ErrOtherStore", err)
	}
	if _, err := sqlitestore.Tx(tx.Tx).Steps(wrapped{b.Store, b.Store}); err != nil {
		t.Errorf("a wrapped store: got error %v, want steps", err)
	}
	reader := open(t, b.path, sqlitestore.Config{ReadOnly: true})
	if _, err := sqlitestore.Tx(tx.Tx).Steps(reader); !errors.Is(err, sqlitestore.ErrReadOnly) {
		t.Errorf("read-only: got error %v, want ErrReadOnly", err)
	}
	if _, err := reader.Look(t.Context(), r.Key); !errors.Is(err, sqlitestore.ErrReadOnly) {
		t.Errorf("read-only: Look: got error %v, want ErrReadOnly", err)
	}
}

type wrapped struct {
	semel.Store
	inner semel.Store
}

func (w wrapped) Unwrap() semel.Store { return w.inner }

// A transaction that has read and then writes may be too old: the error says
// what to do.
func TestTxThatReadsFirst(t *testing.T) {
	t.Parallel()
	b := openBank(t, newPath(t), sqlitestore.Config{})
	r, _ := b.claim("a")
	tx := b.beginTx(b.db)
	var n int
	b.must(tx.QueryRowContext(t.Context(), "SELECT count(*) FROM ledger").Scan(&n))
	b.claim("b") // somebody writes
	if err := tx.Lock(t.Context(), r.Key, r.Token); err == nil || !strings.Contains(err.Error(), "lock first") {
		t.Errorf("got error %v, want one that says what to do", err)
	}
}

// A connection that does not wait for other writers is made to.
func TestTxWaits(t *testing.T) {
	t.Parallel()
	b := openBank(t, newPath(t), sqlitestore.Config{})
	for step, run := range map[string]func(tx begun, r semel.Reservation) error{
		"lock":     func(tx begun, r semel.Reservation) error { return tx.Lock(t.Context(), r.Key, r.Token) },
		"complete": func(tx begun, r semel.Reservation) error { return tx.Complete(t.Context(), completion(r, "")) },
	} {
		r, _ := b.claim(step)
		other, err := b.ledger(pragmas).Conn(t.Context())
		b.must(err)
		_, err = other.ExecContext(t.Context(), "BEGIN IMMEDIATE")
		b.must(err)
		tx := b.beginTx(b.ledger(""))
		var ms int
		b.must(tx.QueryRowContext(t.Context(), "PRAGMA busy_timeout").Scan(&ms))
		if ms != 0 {
			t.Fatalf("got a busy_timeout of %d, want a connection without one", ms)
		}
		done := make(chan error)
		go func() { done <- run(tx, r) }()
		_, err = other.ExecContext(t.Context(), "COMMIT")
		b.must(err)
		b.must(<-done)
		b.must(tx.QueryRowContext(t.Context(), "PRAGMA busy_timeout").Scan(&ms))
		if ms != 5000 {
			t.Errorf("%s: got a busy_timeout of %d, want 5000", step, ms)
		}
		b.must(tx.Rollback())
		b.must(other.Close())
	}
}

// A table of the application that has a name of ours is not taken for it.
func TestTxAmongOtherTables(t *testing.T) {
	eachKind(t, func(b *bank) {
		t := b.t
		b.db.SetMaxOpenConns(1)
		for _, name := range []string{"slots", "bodies", "fence_floor", "semel_slots", "semel_bodies", "semel_fence_floor"} {
			_, err := b.db.ExecContext(t.Context(), "CREATE TEMPORARY TABLE "+name+" (n)")
			b.must(err)
		}
		r, _ := b.claim("a")
		tx := b.beginTx(b.db)
		b.must(tx.Lock(t.Context(), r.Key, r.Token))
		_, err := tx.Reserve(t.Context(), reservation("b"))
		b.must(err)
		b.must(tx.Complete(t.Context(), completion(r, "booked")))
		b.must(tx.Commit())
		b.wantHeld(r, semel.StateCompleted)
	})
}

// A claim locks, completes and confirms in the application's transaction.
func TestClaimInTx(t *testing.T) {
	eachKind(t, func(b *bank) {
		t := b.t
		e := b.engine()
		call := callOf("a")
		call.DeferEffects = true
		out, err := e.Begin(t.Context(), call)
		b.must(err)
		tx := b.beginTx(b.db)
		b.must(out.Claim.LockIn(t.Context(), sqlitestore.Tx(tx.Tx)))
		b.book(tx, "a")
		b.must(out.Claim.CompleteIn(t.Context(), sqlitestore.Tx(tx.Tx), semel.Response{Status: 201}))
		b.must(tx.Commit())
		confirmed, err := out.Claim.Confirm(context.WithoutCancel(t.Context()))
		if err != nil || confirmed.Kind != semel.Replay || confirmed.Record.Response.Status != 201 {
			t.Errorf("got %+v, error %v, want the response confirmed", confirmed, err)
		}
		b.wantBooked("a", 1)
	})
}
