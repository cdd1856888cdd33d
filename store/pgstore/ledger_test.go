package pgstore_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/pgstore"
)

// ledger is a store and a table of business rows beside its own.
type ledger struct {
	*pgstore.Store
	schema, url string
	watch       *pgxpool.Pool // past the store
}

func newLedger(t *testing.T, url string) *ledger {
	t.Helper()
	l := &ledger{schema: servertest.Name(t), url: url, watch: poolOf(t, url)}
	l.Store = opened(t, url, pgstore.Config{Schema: l.schema})
	migrate(t, l.Store)
	run(t, l.watch, "CREATE TABLE "+l.schema+".payments (id text PRIMARY KEY, by text)")
	return l
}

// insert is the business statement. Its argument is what is paid.
func (l *ledger) insert() string { return "INSERT INTO " + l.schema + ".payments (id) VALUES ($1)" }

func (l *ledger) paid(t *testing.T, id string) int {
	t.Helper()
	return look[int](t, l.watch, "SELECT count(*) FROM "+l.schema+".payments WHERE id = $1", id)
}

// wantExactly checks I8: the record is completed, and its effect is there, or
// neither is.
func (l *ledger) wantExactly(t *testing.T, r semel.Reservation, completed bool) {
	t.Helper()
	held, err := l.Look(t.Context(), r.Key)
	if err != nil {
		t.Fatal(err)
	}
	if got := held.State == semel.StateCompleted; got != completed {
		t.Errorf("got a %v slot, want it completed: %v", held.State, completed)
	}
	if got := l.paid(t, r.Key.ID); got != btoi(completed) {
		t.Errorf("got %d effects of a %v slot", got, held.State)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// begun is a transaction that has begun, and is rolled back with the test.
func begun(t *testing.T, txs semel.Transactions) semel.Transaction {
	t.Helper()
	tx, err := txs.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tx.Rollback(context.WithoutCancel(t.Context())) })
	return tx
}

// handleOf is what the business code of tx has.
func handleOf(t *testing.T, tx semel.Transaction) pgx.Tx {
	t.Helper()
	h := pgstore.TxFrom(tx.Attach(t.Context()))
	if h == nil {
		t.Fatal("got no handle")
	}
	return h
}

// exec runs a statement of the business code of tx, whatever its driver.
func exec(t *testing.T, tx semel.Transaction, text string, args ...any) error {
	t.Helper()
	return execIn(tx.Attach(t.Context()), text, args...)
}

func execIn(ctx context.Context, text string, args ...any) (err error) {
	if h := semelsql.TxFrom(ctx); h != nil {
		_, err = h.ExecContext(ctx, text, args...)
		return err
	}
	_, err = pgstore.TxFrom(ctx).Exec(ctx, text, args...)
	return err
}

// ask returns the one value of a query of the business code of tx.
func ask[T any](t *testing.T, tx semel.Transaction, text string, args ...any) (v T) {
	t.Helper()
	ctx := tx.Attach(t.Context())
	var row pgx.Row
	if h := semelsql.TxFrom(ctx); h != nil {
		row = h.QueryRowContext(ctx, text, args...)
	} else {
		row = pgstore.TxFrom(ctx).QueryRow(ctx, text, args...)
	}
	must(t, row.Scan(&v))
	return v
}

// pay is the business code: one write that names the request.
func (l *ledger) pay(t *testing.T, tx semel.Transaction, id string) {
	t.Helper()
	must(t, exec(t, tx, l.insert(), id))
}

// inMode is a transaction of r, in the mode of txs, whose business code has run.
func (l *ledger) inMode(t *testing.T, txs semel.Transactions, r semel.Reservation) semel.Transaction {
	t.Helper()
	tx := l.begin(t, txs, r)
	l.pay(t, tx, r.Key.ID)
	return tx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var levels = []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable}

// setting is a kind of transactions.
type setting struct {
	name string
	txs  semel.Transactions
}

// settings are those of every level in each mode.
func (l *ledger) settings() (all []setting) {
	for _, mode := range modes {
		for _, level := range levels {
			txs := l.Transactions(pgstore.TxConfig{Mode: mode, Isolation: level})
			all = append(all, setting{mode.String() + " " + string(level), txs})
		}
	}
	return all
}

// sqlSettings are settings, on database/sql.
func (l *ledger) sqlSettings(t *testing.T) (all []setting) {
	t.Helper()
	db, err := sql.Open("pgx", l.url)
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	for _, mode := range modes {
		for _, level := range []sql.IsolationLevel{sql.LevelDefault, sql.LevelRepeatableRead, sql.LevelSerializable} {
			txs := l.SQLTransactions(db, pgstore.SQLTxConfig{Mode: mode, Isolation: level})
			all = append(all, setting{"sql " + mode.String() + " " + level.String(), txs})
		}
	}
	return all
}

var modes = []semel.TxMode{semel.ClaimTx, semel.SingleTx}

// higher reports whether a level keeps its first snapshot.
func higher(level pgx.TxIsoLevel) bool { return level != pgx.ReadCommitted }

// within fails the test when f has not come back after half a minute: it waits for
// something that the test alone could end.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s: it waits", what)
	}
}

// awaitBlocked waits until a session of the server waits for that of pid.
func (l *ledger) awaitBlocked(t *testing.T, what string, pid uint32) {
	t.Helper()
	eventually(t, what, func() bool {
		return look[bool](t, l.watch, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE $1::integer = ANY (pg_blocking_pids(pid)))", int32(pid))
	})
}

// pidOf is the server's process of a transaction.
func pidOf(t *testing.T, tx semel.Transaction) uint32 {
	t.Helper()
	return uint32(ask[int32](t, tx, "SELECT pg_backend_pid()"))
}

// begin is a transaction in which the slot of r is locked, or reserved.
func (l *ledger) begin(t *testing.T, txs semel.Transactions, r semel.Reservation) semel.Transaction {
	t.Helper()
	if txs.Mode() == semel.ClaimTx {
		mustReserve(t, l, r)
	}
	tx := begun(t, txs)
	if txs.Mode() == semel.ClaimTx {
		must(t, tx.Lock(t.Context(), r.Key, r.Token))
		return tx
	}
	if held, err := tx.Reserve(t.Context(), r); err != nil || held.Token != r.Token {
		t.Fatalf("got a %v slot held by %v (%v), want it", held.State, held.Token, err)
	}
	return tx
}
