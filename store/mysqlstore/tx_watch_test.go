package mysqlstore_test

import (
	"context"
	"errors"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/mysqlstore"
)

// I8: what commits behind the handle is found out: nothing more is committed with it,
// and the outcome is one that nobody knows.
func TestHandlerCommitsByStealth(t *testing.T) {
	t.Parallel()
	for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
		b := newBank(t, servertest.MariaDB(t), mysqlstore.TxConfig{})
		run(t, b.db, "CREATE PROCEDURE commits() BEGIN COMMIT; END")
		run(t, b.db, "CREATE PROCEDURE makes() BEGIN CREATE TABLE IF NOT EXISTS made (n INT); END")
		run(t, b.db, "CREATE PROCEDURE fails() BEGIN COMMIT; SIGNAL SQLSTATE '45000'; END")
		run(t, b.db, "CREATE PROCEDURE selects() BEGIN COMMIT; SELECT 1; END")
		b.txs = b.store.Transactions(pool(t, b.dsn+"?multiStatements=true"), mysqlstore.TxConfig{Mode: mode})
		for _, text := range []string{
			"CALL commits()", "CALL makes()", "INSERT INTO effects VALUES ('x'); COMMIT", "/*! COMMIT */", "/*M! COMMIT */",
			"SET SESSION autocommit = 1", "SET @n = 1, autocommit = ON", "BEGIN NOT ATOMIC COMMIT; END", "IF 1 THEN COMMIT; END IF",
		} {
			x := b.open(reservation(text))
			x.write("k")
			if err := x.exec(text); err != nil {
				t.Errorf("%s: got %v", text, err)
			}
			b.wantEnded(x, text)
		}
		x := b.open(reservation("fails"))
		if err := x.exec("CALL fails()"); err == nil {
			t.Error("got no error of the procedure")
		}
		b.wantEnded(x, "CALL fails()")
		x = b.open(reservation("selects"))
		var n int
		if err := semelsql.TxFrom(x.ctx).QueryRowContext(x.ctx, "CALL selects()").Scan(&n); err != nil {
			t.Fatal(err)
		}
		b.wantEnded(x, "CALL selects()")
		x = b.open(reservation("prepares"))
		if _, err := semelsql.TxFrom(x.ctx).PrepareContext(x.ctx, "CALL commits()"); err == nil { //nolint:sqlclosecheck // there is none
			t.Error("got a prepared statement that nobody watches")
		}
	}
}

// wantEnded checks that a transaction which text has ended is known to be.
func (b *bank) wantEnded(x *begun, text string) {
	b.t.Helper()
	if err := x.Err(); !errors.Is(err, semel.ErrTxEnded) || !errors.Is(err, semel.ErrTxOwned) || b.txs.Again(err) {
		b.t.Errorf("%s: got %v, again %v, want a transaction that has ended", text, err, b.txs.Again(err))
	}
	if err := x.commit(reservation(text), "body"); !errors.Is(err, semel.ErrTxEnded) {
		b.t.Errorf("%s: got %v, want no commit", text, err)
	}
	x.Rollback(x.ctx)
	if held := b.holds(reservation(text)); held.State == semel.StateCompleted {
		b.t.Errorf("%s: got a completed slot", text)
	}
}

// Procedures, and texts with semicolons, that end nothing are the handler's own business.
func TestHandlerCallsProcedures(t *testing.T) {
	t.Parallel()
	b := newBank(t, servertest.MariaDB(t), mysqlstore.TxConfig{})
	run(t, b.db, "CREATE PROCEDURE writes() BEGIN INSERT INTO effects VALUES ('k'); SELECT 7; END")
	b.txs = b.store.Transactions(pool(t, b.dsn+"?multiStatements=true"), mysqlstore.TxConfig{})
	r := reservation("k")
	mustReserve(t, b.store, r)
	x := b.locked(r)
	tx := semelsql.TxFrom(x.ctx)
	var n int
	if err := tx.QueryRowContext(x.ctx, "CALL writes()").Scan(&n); err != nil || n != 7 {
		t.Fatalf("got %d, %v", n, err)
	}
	rows, err := tx.QueryContext(x.ctx, "CALL writes()")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil { //nolint:sqlclosecheck // as handlers do
		t.Fatal(err)
	}
	for _, text := range []string{"CALL writes()", "INSERT INTO effects VALUES ('a;b')", "SET @n = 1; SET @m = 2", "SAVEPOINT semel", "INSERT INTO effects VALUES ('k');"} {
		if err := x.exec(text); err != nil {
			t.Errorf("%s: got %v", text, err)
		}
	}
	if err := x.commit(r, "body"); err != nil {
		t.Fatal(err)
	}
	b.wantEffects("k", 4)
	b.wantEffects("a;b", 1)
}

// I7, I8: the key of an attempt whose procedure has committed half of it is not given to
// the next one: what happened is for an operator to say.
func TestStealthHoldsTheKey(t *testing.T) {
	t.Parallel()
	for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
		b := newBank(t, servertest.MariaDB(t), mysqlstore.TxConfig{Mode: mode})
		run(t, b.db, "CREATE PROCEDURE commits() BEGIN COMMIT; END")
		engine := b.engine()
		r := reservation("k")
		call := semel.Call{Key: r.Key, Fingerprint: r.Fingerprint}
		ran := 0
		do := func() error {
			_, err := semel.DoTx(t.Context(), engine, call, b.txs, func(ctx context.Context) (string, error) {
				ran++
				tx := semelsql.TxFrom(ctx)
				if _, err := tx.ExecContext(ctx, "INSERT INTO effects VALUES ('k')"); err != nil {
					return "", err
				}
				_, err := tx.ExecContext(ctx, "CALL commits()")
				return "done", err
			})
			return err
		}
		wantError(t, do(), semel.ErrTxEnded)
		for range 3 {
			if err := do(); !errors.Is(err, semel.ErrOutcomeUnknown) && !errors.Is(err, semel.ErrInFlight) {
				t.Errorf("%v: got %v, want a key that is held", mode, err)
			}
		}
		if ran != 1 {
			t.Errorf("%v: it ran %d times, want once", mode, ran)
		}
		b.wantEffects("k", 1)
	}
}
