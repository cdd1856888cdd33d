package mysqlstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/mysqlstore"
)

// doubted begins a transaction that may have been committed, and was not.
func (b *bank) doubted() *begun {
	b.t.Helper()
	r := reservation(semel.NewToken().String())
	r.Deferred = true
	x := b.open(r)
	x.write("k")
	if err := x.exec("EXPLAIN SELECT 1"); err != nil {
		b.t.Fatal(err)
	}
	return x
}

// I7: in doubt no answer is a yes: of a transaction whose connection is gone where the store
// cannot ask, and where somebody works on the row. It is not said that a statement has
// ended the transaction, which nobody knows.
func TestFateWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	bothModes(t, func(t *testing.T, b *bank) {
		t.Helper()
		severed := func() *begun {
			x := b.doubted()
			run(t, b.db, "KILL ?", x.connection())
			x.Rollback(x.ctx)
			return x
		}
		untold := func(err error) {
			t.Helper()
			wantError(t, err, semel.ErrTxEnded)
			if err != nil && (b.txs.Again(err) || !strings.Contains(err.Error(), "it cannot be found out whether")) {
				t.Errorf("got %v, again %v, want that nobody knows", err, b.txs.Again(err))
			}
		}
		x := severed()
		if err := x.Err(); err != nil {
			t.Errorf("got %v, want that nothing is committed", err)
		}
		x = severed()
		other, err := b.db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Rollback() }()
		if _, err := other.Exec("SELECT 1 FROM semel_slots FOR UPDATE"); err != nil {
			t.Fatal(err)
		}
		if b.txs.Mode() == semel.ClaimTx { // in single mode there is no row
			untold(x.Err())
		}
		_ = other.Rollback()
		x = severed()
		_ = b.store.Close()
		untold(x.Err())
	})
}

// I7: a transaction that ended cleanly needs no other connection to be asked for, so that a
// busy pool makes no unknown outcome of an error of the business code.
func TestFateInABusyPool(t *testing.T) {
	t.Parallel()
	for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
		b := newBank(t, servertest.MariaDB(t), mysqlstore.TxConfig{})
		b.store = on(t, b.db, mysqlstore.Config{})
		b.txs = b.store.Transactions(nil, mysqlstore.TxConfig{Mode: mode})
		x := b.doubted()
		b.db.SetMaxIdleConns(0)
		b.db.SetMaxOpenConns(1)
		waited := b.db.Stats().WaitCount
		busy, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			if c, err := b.db.Conn(context.Background()); err == nil {
				<-busy
				_ = c.Close()
			}
		}()
		waitFor(t, func() bool { return b.db.Stats().WaitCount > waited })
		x.Rollback(x.ctx)
		if err := x.Err(); err != nil {
			t.Errorf("%v: got %v, want that nothing is committed", mode, err)
		}
		close(busy)
		<-ended
	}
}

// I7: a connection that business code has led to another database, where the store's tables
// are too, is asked for those of the store.
func TestFateInAnotherDatabase(t *testing.T) {
	t.Parallel()
	bothModes(t, func(t *testing.T, b *bank) {
		t.Helper()
		dsn := database(t, b.server, "")
		open(t, dsn, mysqlstore.Config{})
		commit := b.prepared("COMMIT")
		b.db.SetMaxIdleConns(1)
		b.db.SetMaxOpenConns(1)
		b.txs = b.store.Transactions(b.db, mysqlstore.TxConfig{Mode: b.txs.Mode()})
		for _, ends := range []bool{true, false} {
			x := b.doubted()
			if ends {
				if err := commit(x.ctx, semelsql.TxFrom(x.ctx)); err != nil {
					t.Fatal(err)
				}
			}
			if err := x.exec("USE " + dsn[strings.LastIndex(dsn, "/")+1:]); err != nil {
				t.Fatal(err)
			}
			x.Rollback(x.ctx)
			if err := x.Err(); errors.Is(err, semel.ErrTxEnded) != ends {
				t.Errorf("committed is %v, and got %v", ends, err)
			}
			run(t, b.db, "USE "+b.dsn[strings.LastIndex(b.dsn, "/")+1:])
		}
	})
}

// I7: the connection has no answer of a row that somebody works on. Then the store is asked,
// once that is over.
func TestFateOfALockedRow(t *testing.T) {
	t.Parallel()
	bothModes(t, func(t *testing.T, b *bank) {
		t.Helper()
		if b.txs.Mode() == semel.SingleTx {
			return // there is no row
		}
		x := b.doubted()
		if err := b.prepared("COMMIT")(x.ctx, semelsql.TxFrom(x.ctx)); err != nil {
			t.Fatal(err)
		}
		other, err := b.db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Rollback() }()
		if _, err := other.Exec("SELECT 1 FROM semel_slots FOR UPDATE"); err != nil {
			t.Fatal(err)
		}
		x.Rollback(x.ctx)
		_ = other.Rollback()
		if err := x.Err(); !errors.Is(err, semel.ErrTxEnded) || strings.Contains(err.Error(), "cannot be found out") {
			t.Errorf("got %v, want that it was committed", err)
		}
	})
}

// A connection whose sessions have no autocommit goes back without a transaction.
func TestFateLeavesNothingOpen(t *testing.T) {
	t.Parallel()
	b := newBank(t, servertest.MariaDB(t), mysqlstore.TxConfig{})
	b.txs = b.store.Transactions(pool(t, b.dsn+"?autocommit=0"), mysqlstore.TxConfig{})
	x := b.doubted()
	x.Rollback(x.ctx)
	if err := x.Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.db.Exec("SELECT 1 FROM semel_slots FOR UPDATE NOWAIT"); err != nil {
		t.Errorf("got %v, want no row locked", err)
	}
}
