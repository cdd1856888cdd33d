package sqlitestore_test

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/sqlitestore"
)

// I8: what a transaction has written is there for all, or for nobody.
func TestTransactionsCommit(t *testing.T) {
	eachMode(t, func(b *bank, txs semel.Transactions) {
		t := b.t
		before := semel.StateReserved
		if txs.Mode() == semel.SingleTx {
			before = semel.StateFree
		}
		for _, commit := range []bool{false, true} {
			id := fmt.Sprint(commit)
			r, x, tx := b.enter(txs, id)
			b.book(tx, id)
			b.must(x.Complete(t.Context(), completion(r, "booked")))
			b.wantBooked(id, 0)
			b.wantHeld(r, before)
			if !commit {
				x.Rollback(t.Context())
				b.wantBooked(id, 0)
				b.wantHeld(r, before)
				continue
			}
			b.must(x.Commit(t.Context()))
			x.Rollback(t.Context()) // does nothing
			b.wantBooked(id, 1)
			b.wantHeld(r, semel.StateCompleted)
			if _, err := tx.ExecContext(t.Context(), book, id); !errors.Is(err, semel.ErrTxOver) {
				t.Errorf("after the commit: got error %v, want ErrTxOver", err)
			}
		}
	})
}

// I4, I8: who lost the slot hears so in its first step, or in the last.
func TestTransactionsLost(t *testing.T) {
	eachKind(t, func(b *bank) {
		t := b.t
		txs := b.transactions(semel.ClaimTx)
		r, _ := b.lapsed("a")
		next := heir(r)
		mustReserve(t, b, next)
		x, _ := b.begin(txs)
		wantLost(t, x.Lock(t.Context(), r.Key, r.Token))
		x.Rollback(t.Context())

		x, tx := b.begin(txs) // without Lock
		b.book(tx, "a")
		wantLost(t, x.Complete(t.Context(), completion(r, "late")))
		if err := x.Commit(t.Context()); err == nil {
			t.Error("got a commit, want none after ErrLost")
		}
		b.wantBooked("a", 0)
		b.wantHeld(next, semel.StateReserved)

		x, _ = b.begin(txs)
		b.must(x.Lock(t.Context(), next.Key, next.Token))
		b.must(x.Complete(t.Context(), completion(next, "first")))
		wantLost(t, x.Complete(t.Context(), completion(next, "second")))
		x.Rollback(t.Context())
		b.wantHeld(next, semel.StateReserved)
	})
}

// I8: nothing is committed without the record, whatever the business code does.
func TestNothingCommitsAlone(t *testing.T) {
	const dup = "INSERT OR ROLLBACK INTO once VALUES (1)"
	exec := func(query string, args ...any) func(*bank, *semelsql.Tx) {
		return func(b *bank, tx *semelsql.Tx) { _, _ = tx.ExecContext(b.t.Context(), query, args...) }
	}
	prepared := func(queries ...string) func(*bank, *semelsql.Tx) {
		return func(b *bank, tx *semelsql.Tx) {
			for _, query := range queries { // as a library that prepares everything first
				stmt, err := b.db.PrepareContext(b.t.Context(), query)
				b.must(err)
				_, _ = tx.StmtContext(b.t.Context(), stmt).ExecContext(b.t.Context()) //nolint:sqlclosecheck // the end closes it
				b.t.Cleanup(func() { _ = stmt.Close() })
			}
		}
	}
	for name, business := range map[string]func(*bank, *semelsql.Tx){
		"nothing":                      func(*bank, *semelsql.Tx) {},
		"rolled back":                  exec(dup),
		"rolled back by a trigger":     exec("DELETE FROM once"),
		"commits":                      exec("COMMIT"),
		"commits behind":               exec("SELECT 1; COMMIT"),
		"commits and begins":           exec("SELECT 1; COMMIT; BEGIN; INSERT INTO ledger VALUES ('a')"),
		"rolls back and begins behind": exec("SELECT 1; ROLLBACK; BEGIN; INSERT INTO ledger VALUES ('a')"),
		"prepared":                     prepared(dup, "INSERT INTO ledger VALUES ('a')"),
		"prepared commit":              prepared("COMMIT", "INSERT INTO ledger VALUES ('a')"),
		"prepared, begun anew":         prepared(dup, "BEGIN", "INSERT INTO ledger VALUES ('a')"),
		"full":                         exec("PRAGMA max_page_count = 1; INSERT INTO ledger VALUES (?)", strings.Repeat("x", 1<<20)),
	} {
		t.Run(name, func(t *testing.T) {
			eachMode(t, func(b *bank, txs semel.Transactions) {
				t := b.t
				execute(t, b.path, `CREATE TABLE once (n INTEGER PRIMARY KEY); INSERT INTO once VALUES (1);
					CREATE TRIGGER kept BEFORE DELETE ON once BEGIN SELECT RAISE(ROLLBACK, 'kept'); END`)
				r, x, tx := b.enter(txs, "a")
				b.book(tx, "a")
				business(b, tx)
				b.wantBooked("a", 0)
				_, _ = tx.ExecContext(t.Context(), book, "a")
				b.wantBooked("a", 0)
				err := x.Err()
				if spoilt := name != "nothing" && name != "rolls back and begins behind"; spoilt && err == nil {
					t.Errorf("got no error, want why there is no commit")
				}
				if name != "nothing" {
					if err := x.Complete(t.Context(), completion(r, "booked")); err == nil {
						t.Errorf("got a completion, want an error")
					}
				}
				if err := x.Commit(t.Context()); err == nil || errors.Is(err, semel.ErrCommitUnknown) {
					t.Errorf("got error %v, want a commit that was refused", err)
				}
				b.wantBooked("a", 0)
				if got := look(t, b.path, "SELECT count(*) FROM "+b.table("slots")+" WHERE state = 2"); got != 0 {
					t.Error("got a completed record, want none")
				}
			})
		})
	}
}

// I8: an error that SQLite lets pass is the business code's to handle.
func TestHandledError(t *testing.T) {
	eachMode(t, func(b *bank, txs semel.Transactions) {
		t := b.t
		execute(t, b.path, "CREATE TABLE once (n INTEGER PRIMARY KEY); INSERT INTO once VALUES (1)")
		r, x, tx := b.enter(txs, "a")
		if _, err := tx.ExecContext(t.Context(), "INSERT INTO once VALUES (1)"); err == nil {
			t.Error("got no error, want a duplicate key")
		}
		if _, err := tx.ExecContext(t.Context(), "no SQL"); err == nil {
			t.Error("got no error, want a syntax error")
		}
		b.book(tx, "a")
		b.must(x.Err())
		b.must(x.Complete(t.Context(), completion(r, "booked")))
		b.must(x.Commit(t.Context()))
		b.wantBooked("a", 1)
		b.wantHeld(r, semel.StateCompleted)
	})
}

func TestTransactionsAreRefused(t *testing.T) {
	t.Parallel()
	b := openBank(t, newPath(t), sqlitestore.Config{})
	elsewhere := openBank(t, newPath(t), sqlitestore.Config{})
	if _, err := b.Transactions(nil, sqlitestore.TxConfig{}); err == nil {
		t.Error("no database: got transactions, want an error")
	}
	if _, err := b.Transactions(b.db, sqlitestore.TxConfig{Mode: 7}); err == nil {
		t.Error("no mode: got transactions, want an error")
	}
	reader := open(t, b.path, sqlitestore.Config{ReadOnly: true})
	if _, err := reader.Transactions(b.db, sqlitestore.TxConfig{}); !errors.Is(err, sqlitestore.ErrReadOnly) {
		t.Errorf("read-only: got error %v, want ErrReadOnly", err)
	}
	for name, c := range map[string]struct {
		db  *sql.DB
		why string
	}{
		"another file":   {elsewhere.db, "the records are in"},
		"no sync":        {b.ledger("_pragma=synchronous(NORMAL)"), "synchronous(FULL)"},
		"another driver": {sql.OpenDB(foreign{b.path}), "modernc.org/sqlite"},
	} {
		if _, err := b.Transactions(c.db, sqlitestore.TxConfig{}); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: got error %v, want one about %q", name, err, c.why)
		}
	}
	b.db.SetMaxOpenConns(1)
	txs := b.transactions(semel.ClaimTx)
	_, err := b.db.ExecContext(t.Context(), "PRAGMA synchronous = NORMAL") // since it was looked at
	b.must(err)
	if _, err := txs.Begin(t.Context()); err == nil || !strings.Contains(err.Error(), "synchronous") {
		t.Errorf("no sync any more: got error %v, want one about it", err)
	}
	b.db.SetMaxOpenConns(0)
	if txs.Store() != semel.Store(b.Store) {
		t.Errorf("got transactions of another store")
	}
	b.must(b.Close())
	if _, err := txs.Begin(t.Context()); !errors.Is(err, sqlitestore.ErrClosed) {
		t.Errorf("closed: got error %v, want ErrClosed", err)
	}
}

// A store that closes lets no transaction complete any more.
func TestCloseAmongTransactions(t *testing.T) {
	eachMode(t, func(b *bank, txs semel.Transactions) {
		t := b.t
		r, x, tx := b.enter(txs, "a")
		b.book(tx, "a")
		closed := make(chan error)
		go func() { closed <- b.Close() }()
		b.must(<-closed) // it does not wait for transactions
		if err := x.Complete(t.Context(), completion(r, "")); !errors.Is(err, sqlitestore.ErrClosed) {
			t.Errorf("got error %v, want ErrClosed", err)
		}
		x.Rollback(t.Context())
		b.wantBooked("a", 0)
	})
}
