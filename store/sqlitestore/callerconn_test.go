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

// What cannot keep the promise is refused.
func TestTxIsRefused(t *testing.T) {
	t.Parallel()
	b := openBank(t, newPath(t), sqlitestore.Config{})
	elsewhere := openBank(t, newPath(t), sqlitestore.Config{})
	guest := openBank(t, newPath(t), sqlitestore.Config{Guest: true})
	r, _ := b.claim("a")
	for name, c := range map[string]struct {
		db  *sql.DB
		why string
	}{
		"another file":   {elsewhere.db, "the records are in"},
		"no such tables": {guest.db, "the records are in"},
		"no sync":        {b.ledger(pragmas + "&_pragma=synchronous(NORMAL)"), "synchronous"},
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
			if err == nil || !strings.Contains(err.Error(), c.why) {
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
