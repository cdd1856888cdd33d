package ledger

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/sqlitestore"
	_ "modernc.org/sqlite" // the driver of package sql
)

// openSQLite opens a bank whose accounts and records are in one file, which several
// processes share.
func openSQLite(file string) (bank, error) {
	slots, err := sqlitestore.Open(file, sqlitestore.Config{Guest: true, Logger: silent})
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", "file:"+file+"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=synchronous(FULL)&_pragma=wal_autocheckpoint(0)")
	if err != nil {
		return nil, errors.Join(err, slots.Close())
	}
	return &sqlBank{
		db: db, slots: slots,
		txs: func(mode semel.TxMode) (semel.Transactions, error) {
			return slots.Transactions(db, sqlitestore.TxConfig{Mode: mode})
		},
		tx:        sqlitestore.Tx,
		begin:     func(ctx context.Context) (*sql.Tx, error) { return db.BeginTx(ctx, nil) },
		retryable: func(err error) bool { return strings.Contains(err.Error(), "SQLITE_BUSY") },
		refused:   func(err error) bool { return strings.Contains(err.Error(), "SQLITE_BUSY") },
		schema: []string{
			"CREATE TABLE accounts (name TEXT PRIMARY KEY, balance INTEGER NOT NULL)",
			"CREATE TABLE transfers (id INTEGER PRIMARY KEY, idem TEXT NOT NULL, attempt TEXT NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL, amount INTEGER NOT NULL)",
		},
		migrateSlot: func(context.Context) error { return nil }, // Open has
		shut:        func() { _ = errors.Join(db.Close(), slots.Close()) },
	}, nil
}
