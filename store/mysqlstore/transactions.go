package mysqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelsql"
)

// TxConfig is what [Store.Transactions] may be told. The zero value is safe.
type TxConfig struct {
	// Mode says what of an attempt lies in its transaction. Default
	// [semel.ClaimTx].
	Mode semel.TxMode
	// Isolation is the level of the transactions: LevelReadCommitted,
	// LevelRepeatableRead or LevelSerializable. Default: LevelReadCommitted, with
	// which transactions wait for each other least, whatever the session's own is.
	Isolation sql.IsolationLevel
}

// Transactions returns transactions for [semel.Engine.InTx] on connections of db, or of
// the store's own pool when db is nil. db must lead to the store's database; the first
// Begin finds out. It does no I/O. What is wrong with cfg is the error of each Begin.
//
// Business code writes by the handle of [semelsql.TxFrom]. Besides COMMIT and its kin the
// handle refuses what commits by itself, as DDL does. Whether a procedure has committed,
// or a second statement in one text, it finds out afterwards, for two round trips: what
// came before is committed then, and the outcome is unknown ([semel.ErrTxEnded]). Such
// statements cannot be prepared by the handle. One that was prepared on the pool is not seen:
// if it commits, that is found out when the transaction is not committed in the end, as after
// every other statement that is not known to be harmless. It takes one question then, on the
// connection of the transaction. Only where that is gone, or somebody has the row locked, it
// is put by the store's pool, and without an answer within 2 s the outcome is unknown. An attempt that dies after
// such a commit leaves an unknown outcome. Tables that cannot roll back (MyISAM, Aria, MEMORY) keep what was
// written. Named locks that business code takes are given back with the transaction in
// [semel.SingleTx].
//
// While a transaction is open, other attempts on its slot hear at once that one is in
// flight, when its lease is over after 150 ms, and renewals pass it over. In [semel.SingleTx] a request that uses the same key
// without a transaction waits for it, up to innodb_lock_wait_timeout. Who dies with its
// connection frees the slot when the server notices: set wait_timeout and TCP keepalives.
//
// A transaction takes one connection, and in claim mode the reservation one before it. A
// handler that uses the pool beside its handle takes a second one: give the pool room.
func (s *Store) Transactions(db *sql.DB, cfg TxConfig) semel.Transactions {
	d := &dialect{store: s, db: db, mode: cfg.Mode}
	if db == nil {
		d.db = s.db
	}
	if cfg.Isolation == sql.LevelDefault {
		cfg.Isolation = sql.LevelReadCommitted
	}
	if !slices.Contains([]sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable}, cfg.Isolation) {
		d.wrong = fmt.Errorf("mysqlstore: TxConfig.Isolation is %v, which is none for transactions", cfg.Isolation)
	}
	if cfg.Mode != semel.ClaimTx && cfg.Mode != semel.SingleTx {
		d.wrong = fmt.Errorf("mysqlstore: TxConfig.Mode is %v", cfg.Mode)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dialects = append(s.dialects, d)
	return &transactions{semelsql.New(d.db, s, d, cfg.Mode, cfg.Isolation), d}
}

// transactions are those of semelsql, on a pool that was made ready.
type transactions struct {
	semel.Transactions
	dialect *dialect
}

// Begin implements [semel.Transactions]. What needs connections of its own is done
// before the transaction has one.
func (t *transactions) Begin(ctx context.Context) (semel.Transaction, error) {
	if err := t.dialect.ready(context.WithoutCancel(ctx)); err != nil {
		return nil, explain("begin", err)
	}
	x, err := t.Transactions.Begin(ctx)
	if err != nil {
		return nil, explain("begin", err)
	}
	return x, nil
}
