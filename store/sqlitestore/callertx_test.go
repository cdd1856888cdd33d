package sqlitestore_test

import (
	"errors"
	"testing"

	"github.com/semel-go/semel"
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
		if err := tx.Complete(t.Context(), completion(r, "booked")); !errors.Is(err, semel.ErrTxEnded) {
			t.Errorf("got error %v, want ErrTxEnded: what was written since is committed on its own", err)
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
