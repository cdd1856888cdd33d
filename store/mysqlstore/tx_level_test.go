package mysqlstore_test

import (
	"database/sql"
	"errors"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/mysqlstore"
)

func (x *begun) count() (n int) {
	x.b.t.Helper()
	if err := semelsql.TxFrom(x.ctx).QueryRowContext(x.ctx, "SELECT COUNT(*) FROM effects").Scan(&n); err != nil {
		x.b.t.Fatal(err)
	}
	return n
}

// Transactions have the level that was asked for, whatever the sessions of their pool
// have, and READ COMMITTED when nothing was.
func TestTxLevels(t *testing.T) {
	t.Parallel()
	for _, params := range []string{"?tx_isolation=%27REPEATABLE-READ%27", readCommitted} {
		for _, level := range append(isolations, sql.LevelDefault) {
			b := newBank(t, servertest.MariaDB(t), mysqlstore.TxConfig{})
			b.txs = b.store.Transactions(pool(t, b.dsn+params), mysqlstore.TxConfig{Isolation: level})
			run(t, b.db, "INSERT INTO effects VALUES ('old')")
			x := b.begin()
			before := x.count()
			_, err := b.db.Exec("SET STATEMENT innodb_lock_wait_timeout = 0 FOR UPDATE effects SET name = 'changed'")
			if locked := err != nil; locked != (level == sql.LevelSerializable) {
				t.Errorf("%v: got what was read locked %v (%v)", level, locked, err)
			}
			if level != sql.LevelSerializable {
				run(t, b.db, "INSERT INTO effects VALUES ('new')")
				moves := level == sql.LevelReadCommitted || level == sql.LevelDefault
				if got := x.count(); (got != before) != moves {
					t.Errorf("%v: got %d rows after %d", level, got, before)
				}
			}
			x.Rollback(x.ctx)
		}
	}
}

// I4, I8: with innodb_snapshot_isolation a lost slot is an error that says to begin
// anew, and then ErrLost.
func TestTxLostUnderSnapshot(t *testing.T) {
	t.Parallel()
	server := servertest.NewMariaDB(t, "innodb_snapshot_isolation=ON")
	for _, level := range []sql.IsolationLevel{sql.LevelRepeatableRead, sql.LevelSerializable} {
		b := newBank(t, server, mysqlstore.TxConfig{Isolation: level})
		r := reservation("k")
		mustReserve(t, b.store, r)
		x := b.begin()
		x.count() // makes the snapshot
		b.overtake(r)
		err := x.Lock(x.ctx, r.Key, r.Token)
		if me, ok := errors.AsType[*mysql.MySQLError](err); !ok || me.Number != 1020 || !b.txs.Again(err) || x.Err() == nil {
			t.Errorf("%v: got %v, again %v, want a record that has changed", level, err, b.txs.Again(err))
		}
		x.Rollback(x.ctx)
		x = b.begin()
		err = x.Lock(x.ctx, r.Key, r.Token)
		wantError(t, err, semel.ErrLost)
		x.Rollback(x.ctx)
	}
}

// I8: a commit that the server refuses has not happened, and that is certain.
func TestCommitRefused(t *testing.T) {
	t.Parallel()
	server := servertest.NewMariaDB(t)
	b := newBank(t, server, mysqlstore.TxConfig{})
	run(t, b.db, "CREATE USER clerk IDENTIFIED BY 'x'")
	run(t, b.db, "GRANT SELECT, INSERT, UPDATE, DELETE ON "+nameOf(b.dsn)+".* TO clerk")
	b.txs = b.store.Transactions(pool(t, as(b.dsn, "clerk", "x")), mysqlstore.TxConfig{})
	r := reservation("k")
	mustReserve(t, b.store, r)
	x := b.locked(r)
	x.write("k")
	if err := x.Complete(x.ctx, completion(r, "body")); err != nil {
		t.Fatal(err)
	}
	run(t, b.db, "SET GLOBAL read_only = 1")
	err := x.Commit(x.ctx)
	run(t, b.db, "SET GLOBAL read_only = 0")
	if err == nil || errors.Is(err, semel.ErrCommitUnknown) {
		t.Errorf("got %v, want a refusal", err)
	}
	if held, err := b.store.Look(t.Context(), r.Key); err != nil || held.State != semel.StateReserved || held.Token != r.Token {
		t.Errorf("got a %v slot (%v), want it reserved", held.State, err)
	}
	b.wantEffects("k", 0)
}
