package pgstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/pgstore"
)

// I8: an error of the server spoils a transaction of database/sql too, and going back
// to a savepoint heals it. Errors of the driver spoil nothing.
func TestSpoiledSQLTransactions(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	for _, c := range l.sqlSettings(t) {
		t.Run(c.name, func(t *testing.T) {
			r := reservation(servertest.Name(t))
			tx := l.inMode(t, c.txs, r)
			h := semelsql.TxFrom(tx.Attach(t.Context()))
			var n int
			if err := h.QueryRowContext(t.Context(), "SELECT 'x'").Scan(&n); err == nil {
				t.Error("got an x as a number")
			}
			if _, err := h.ExecContext(t.Context(), "SELECT $1::integer", "x", "y"); err == nil {
				t.Error("got a statement through with an argument too many")
			}
			must(t, tx.Err())
			must(t, exec(t, tx, "SAVEPOINT a"))
			first := exec(t, tx, "SELECT 1/0")
			if err := exec(t, tx, "SELECT 1"); err == nil || !errors.Is(tx.Err(), first) {
				t.Errorf("got %v, and the reason %v, want %v", err, tx.Err(), first)
			}
			must(t, exec(t, tx, "ROLLBACK TO a"))
			must(t, tx.Err())
			rows, err := h.QueryContext(t.Context(), "SELECT 1 / (3 - i) FROM generate_series(1, 5) AS i") //nolint:sqlclosecheck,rowserrcheck // that is the case
			must(t, err)
			for rows.Next() { //nolint:revive // to the end
			}
			reason := tx.Err()
			if pe, ok := errors.AsType[*pgconn.PgError](reason); !ok || pe.Code != "22012" || c.txs.Again(reason) {
				t.Errorf("got the reason %v, want the division", reason)
			}
			if err := tx.Complete(t.Context(), completion(r, "body")); err == nil {
				t.Error("got it completed")
			}
			wantNotCommitted(t, c.txs, tx.Commit(t.Context()), false)
			l.wantExactly(t, r, false)
		})
	}
}

// I8: what the handle does not see, the server tells: an error of a prepared statement
// makes of the commit a rollback, which is known, and after a transaction that was
// ended nothing goes on.
func TestUnseenEndsOfSQLTransactions(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	for _, c := range l.sqlSettings(t) {
		t.Run(c.name, func(t *testing.T) {
			r := reservation(servertest.Name(t))
			tx := l.inMode(t, c.txs, r)
			stmt, err := semelsql.TxFrom(tx.Attach(t.Context())).PrepareContext(t.Context(), "SELECT 1 / $1::integer")
			must(t, err)
			defer func() { _ = stmt.Close() }()
			if _, err := stmt.ExecContext(t.Context(), 0); err == nil {
				t.Error("got a division by nothing")
			}
			wantNotCommitted(t, c.txs, tx.Commit(t.Context()), false)
			l.wantExactly(t, r, false)

			r = reservation(servertest.Name(t))
			tx = l.inMode(t, c.txs, r)
			must(t, exec(t, tx, "SELECT 1; ROLLBACK"))
			if err := exec(t, tx, l.insert(), r.Key.ID); !errors.Is(err, semel.ErrTxOwned) {
				t.Errorf("got %v for a statement behind it, want ErrTxOwned: it would stand alone", err)
			}
			if err := tx.Err(); !errors.Is(err, semel.ErrTxOwned) {
				t.Errorf("got %v, want ErrTxOwned", err)
			}
			if err := tx.Complete(t.Context(), completion(r, "body")); !errors.Is(err, semel.ErrTxOwned) {
				t.Errorf("got %v, want ErrTxOwned", err)
			}
			if err := tx.Commit(t.Context()); !errors.Is(err, semel.ErrTxOwned) || errors.Is(err, semel.ErrCommitUnknown) {
				t.Errorf("got %v, want ErrTxOwned", err)
			}
			l.wantExactly(t, r, false)
		})
	}
}

// A context of the handler's that ends breaks the connection, and with it the
// transaction: nothing of it is committed, nor is it begun again.
func TestHandlersContextOfSQL(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	c := l.sqlSettings(t)[0]
	r := reservation("a")
	tx := l.inMode(t, c.txs, r)
	pid := int32(pidOf(t, tx))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- execIn(tx.Attach(ctx), "SELECT pg_sleep(600)") }()
	eventually(t, "the statement runs", func() bool {
		return look[bool](t, l.watch, "SELECT wait_event IS NOT DISTINCT FROM 'PgSleep' FROM pg_stat_activity WHERE pid = $1", pid)
	})
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	if err := tx.Err(); err == nil || c.txs.Again(err) {
		t.Errorf("got %v, again %v, want a reason not to commit, nor to begin again", err, c.txs.Again(err))
	}
	wantNotCommitted(t, c.txs, tx.Commit(t.Context()), false)
	l.wantExactly(t, r, false)
}

// otherDriver is not pgx's.
type otherDriver struct{}

func (otherDriver) Connect(context.Context) (driver.Conn, error) { return otherConn{}, nil }
func (d otherDriver) Driver() driver.Driver                      { return d }
func (otherDriver) Open(string) (driver.Conn, error)             { return otherConn{}, nil }

// otherConn answers every query with one false.
type otherConn struct{ driver.Conn }

func (otherConn) Close() error { return nil }
func (otherConn) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return &otherRows{}, nil
}

type otherRows struct{ read bool }

func (*otherRows) Columns() []string { return []string{"got"} }
func (*otherRows) Close() error      { return nil }
func (r *otherRows) Next(dest []driver.Value) error {
	if r.read {
		return sql.ErrNoRows
	}
	r.read, dest[0] = true, false
	return nil
}

// What is wrong with a configuration, or where a pool leads to, is the error of Begin.
func TestWhereTransactionsLead(t *testing.T) {
	t.Parallel()
	server := servertest.Postgres(t)
	l := newLedger(t, server.DSN())
	name := servertest.Name(t)
	run(t, l.watch, "CREATE DATABASE "+name)
	t.Cleanup(func() { run(t, l.watch, "DROP DATABASE "+name+" WITH (FORCE)") })
	elsewhere := newLedger(t, withDatabase(t, server.DSN(), name))
	far, err := sql.Open("pgx", elsewhere.url)
	must(t, err)
	t.Cleanup(func() { _ = far.Close() })
	near, err := sql.Open("pgx", l.url)
	must(t, err)
	t.Cleanup(func() { _ = near.Close() })
	other := sql.OpenDB(otherDriver{})
	t.Cleanup(func() { _ = other.Close() })

	for what, txs := range map[string]semel.Transactions{
		"a pool of another database":    l.Transactions(pgstore.TxConfig{Pool: elsewhere.watch}),
		"a sql.DB of another database":  l.SQLTransactions(far, pgstore.SQLTxConfig{}),
		"a sql.DB of another driver":    l.SQLTransactions(other, pgstore.SQLTxConfig{}),
		"no sql.DB":                     l.SQLTransactions(nil, pgstore.SQLTxConfig{}),
		"no mode":                       l.SQLTransactions(near, pgstore.SQLTxConfig{Mode: 2}),
		"no level":                      l.SQLTransactions(near, pgstore.SQLTxConfig{Isolation: sql.LevelSnapshot}),
		"a store that was not migrated": opened(t, l.url, pgstore.Config{Schema: name}).SQLTransactions(near, pgstore.SQLTxConfig{}),
	} {
		tx, err := txs.Begin(t.Context())
		if err == nil {
			tx.Rollback(t.Context())
			t.Errorf("%s: got a transaction", what)
			continue
		}
		wantError(t, err, "begin", nil)
		if leads := errors.Is(err, semel.ErrOtherStore); leads != (what[:2] == "a " && what[len(what)-8:] == "database") {
			t.Errorf("%s: got %v", what, err)
		}
	}
	for _, txs := range []semel.Transactions{l.Transactions(pgstore.TxConfig{Pool: l.watch}), l.SQLTransactions(near, pgstore.SQLTxConfig{})} {
		tx := begun(t, txs)
		if txs.Store() != semel.Store(l.Store) || ask[string](t, tx, "SHOW transaction_isolation") != "read committed" {
			t.Errorf("got a transaction at %s", ask[string](t, tx, "SHOW transaction_isolation"))
		}
	}
}
