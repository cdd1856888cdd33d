//go:build unix

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver of package sql

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/sqlitestore"
)

func sqliteBusiness(ctx context.Context, r *rig, found *section) (err error) {
	dir, err := os.MkdirTemp(r.dir, "business-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "bank.db")
	store, err := sqlitestore.Open(file, sqlitestore.Config{Guest: true, Logger: quiet})
	if err != nil {
		return err
	}
	defer closeInto(&err, store)
	db, err := sql.Open("sqlite", "file:"+file+"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=synchronous(FULL)&_pragma=wal_autocheckpoint(0)")
	if err != nil {
		return err
	}
	defer closeInto(&err, db)
	db.SetMaxIdleConns(64)
	db.SetMaxOpenConns(64)
	for _, text := range []string{
		"CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)",
		"CREATE TABLE transfers (id INTEGER PRIMARY KEY, debtor INTEGER NOT NULL, creditor INTEGER NOT NULL, amount INTEGER NOT NULL)",
		"CREATE TABLE by_hand (key TEXT PRIMARY KEY, fingerprint BLOB NOT NULL, status INTEGER, answer TEXT, created_at INTEGER NOT NULL DEFAULT (unixepoch()))",
		fmt.Sprintf("WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < %d) INSERT INTO accounts SELECT n, 1000000 FROM n", accounts-1),
	} {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	b := &business{env: r.env, name: "SQLite", modes: map[semel.TxMode]semel.Transactions{}}
	for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
		if b.modes[mode], err = store.Transactions(db, sqlitestore.TxConfig{Mode: mode}); err != nil {
			return err
		}
	}
	const read = "SELECT balance FROM accounts WHERE id = ?" // whoever writes is alone
	b.joined = func(ctx context.Context, m movement) error { return moveSQL(ctx, semelsql.TxFrom(ctx), read, m) }
	b.alone = func(ctx context.Context, m movement) error { return moveAlone(ctx, db, nil, read, m) }
	b.byHand = func(ctx context.Context, mode semel.TxMode, key semel.Key, m movement) error {
		return handmadeSQLite.sql(ctx, db, nil, mode, key, func(tx writer) error { return moveSQL(ctx, tx, read, m) })
	}
	if err := b.newEngine(store); err != nil {
		return err
	}
	defer b.close(ctx, &err)
	return b.compare(ctx, found)
}

// writer is a handle of Semel's or a transaction of one's own.
type writer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func moveSQL(ctx context.Context, tx writer, read string, m movement) error {
	var have int64
	if err := tx.QueryRowContext(ctx, read, m.from).Scan(&have); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = balance - ? WHERE id = ?", m.amount, m.from); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = balance + ? WHERE id = ?", m.amount, m.to); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO transfers (debtor, creditor, amount) VALUES (?, ?, ?)", m.from, m.to, m.amount)
	return err
}

func moveAlone(ctx context.Context, db *sql.DB, opts *sql.TxOptions, read string, m movement) error {
	tx, err := db.BeginTx(ctx, opts)
	if err != nil {
		return err
	}
	if err := moveSQL(ctx, tx, read, m); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
