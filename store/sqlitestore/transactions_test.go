package sqlitestore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/sqlitestore"
)

// I3, I8: a call books once and answers the same, however often it comes.
func TestTransactionsDo(t *testing.T) {
	eachMode(t, func(b *bank, txs semel.Transactions) {
		t := b.t
		e := b.engine()
		for i := range 3 {
			got, err := b.doTx(e, txs, "a")
			if err != nil || got.Value != "booked a" || got.Replayed != (i > 0) {
				t.Errorf("call %d: got %+v, error %v, want it booked", i, got, err)
			}
		}
		b.wantBooked("a", 1)
	})
}

// I8: an error of the business code leaves nothing, and the key free.
func TestTransactionsFail(t *testing.T) {
	eachMode(t, func(b *bank, txs semel.Transactions) {
		t := b.t
		e := b.engine()
		errNo := errors.New("no")
		for range 2 {
			_, err := semel.DoTx(t.Context(), e, callOf("a"), txs, func(ctx context.Context) (string, error) {
				b.book(semelsql.TxFrom(ctx), "a")
				return "", errNo
			})
			if !errors.Is(err, errNo) {
				t.Errorf("got error %v, want that of the business code", err)
			}
		}
		b.wantBooked("a", 0)
		if _, err := b.doTx(e, txs, "a"); err != nil {
			t.Error(err)
		}
		b.wantBooked("a", 1)
	})
}

// I1, I3, I8: of many at once on few keys each books once, and all answers are equal.
func TestTransactionsRace(t *testing.T) {
	eachMode(t, func(b *bank, txs semel.Transactions) {
		t := b.t
		const keys, callers = 8, 64
		e := b.engine()
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				id := fmt.Sprint("key ", i%keys)
				for {
					got, err := b.doTx(e, txs, id)
					if errors.Is(err, semel.ErrInFlight) {
						continue
					}
					if err != nil || got.Value != "booked "+id {
						t.Errorf("%s: got %+v, error %v, want it booked", id, got, err)
					}
					return
				}
			})
		}
		wg.Wait()
		for i := range keys {
			b.wantBooked(fmt.Sprint("key ", i), 1)
		}
		if got := b.total(); got != keys {
			t.Errorf("got %d entries, want %d", got, keys)
		}
	})
}

// Beside the application's own writes, which take no turns, everything comes through.
func TestTransactionsBesideOthers(t *testing.T) {
	eachMode(t, func(b *bank, txs semel.Transactions) {
		t := b.t
		const callers, calls = 4, 25
		e := b.engine()
		var wg sync.WaitGroup
		for caller := range callers {
			wg.Go(func() {
				for i := range calls {
					id := fmt.Sprint(caller, "/", i)
					if _, err := b.doTx(e, txs, id); err != nil {
						t.Errorf("%s: %v", id, err)
					}
					if _, err := b.db.ExecContext(t.Context(), book, "free"); err != nil {
						t.Errorf("%s: %v", id, err)
					}
				}
			})
		}
		wg.Wait()
		b.wantBooked("free", callers*calls)
		if got := b.total(); got != 2*callers*calls {
			t.Errorf("got %d entries, want %d", got, 2*callers*calls)
		}
	})
}

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

// A connection goes back to its pool as it was: it commits what it is told to.
func TestConnectionIsGivenBack(t *testing.T) {
	eachMode(t, func(b *bank, _ semel.Transactions) {
		t := b.t
		b.db = b.ledger("_pragma=synchronous(EXTRA)&_txlock=immediate")
		b.db.SetMaxOpenConns(1)
		for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
			txs := b.transactions(mode)
			for _, commit := range []bool{false, true} {
				r, x, _ := b.enter(txs, fmt.Sprint(mode, commit))
				if commit {
					b.must(x.Complete(t.Context(), completion(r, "")))
					b.must(x.Commit(t.Context()))
				}
				x.Rollback(t.Context())
				tx, err := b.db.BeginTx(t.Context(), nil)
				b.must(err)
				b.book(tx, "own")
				b.must(tx.Commit())
			}
		}
		b.wantBooked("own", 4)
		if got := b.db.Stats().MaxIdleClosed + b.db.Stats().MaxLifetimeClosed; got != 0 {
			t.Errorf("got %d connections closed, want none", got)
		}
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
		txs, err := b.Transactions(c.db, sqlitestore.TxConfig{})
		b.must(err)
		if _, err := txs.Begin(t.Context()); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: got error %v, want one about %q", name, err, c.why)
		}
	}
	txs := b.transactions(semel.ClaimTx)
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
