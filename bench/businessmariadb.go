//go:build unix

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/mysqlstore"
)

func mariadbBusiness(ctx context.Context, r *rig, found *section) (err error) {
	m := &mariadb{rig: r, server: servertest.NewMariaDB(r, mariadbLog)}
	root, err := m.plainPool("", 1)
	if err != nil {
		return err
	}
	_, err = root.ExecContext(ctx, "CREATE DATABASE bench")
	if err := errors.Join(err, root.Close()); err != nil {
		return err
	}
	db, err := m.plainPool("bench", 64)
	if err != nil {
		return err
	}
	defer closeInto(&err, db)
	store, err := mysqlstore.New(db, mysqlstore.Config{Logger: quiet})
	if err != nil {
		return err
	}
	defer closeInto(&err, store)
	if err := store.Migrate(ctx); err != nil {
		return err
	}
	for _, text := range []string{
		"SET GLOBAL innodb_monitor_enable = 'trx_rw_commits'",
		"CREATE TABLE accounts (id INT PRIMARY KEY, balance BIGINT NOT NULL) ENGINE = InnoDB",
		"CREATE TABLE transfers (id BIGINT AUTO_INCREMENT PRIMARY KEY, debtor INT NOT NULL, creditor INT NOT NULL, amount BIGINT NOT NULL) ENGINE = InnoDB",
		"CREATE TABLE by_hand (`key` VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY, fingerprint BINARY(32) NOT NULL, status INT, answer TEXT, " +
			"created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP) ENGINE = InnoDB",
		fmt.Sprintf("INSERT INTO accounts SELECT seq, 1000000 FROM seq_0_to_%d", accounts-1),
	} {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	b := &business{env: r.env, name: "MariaDB", modes: map[semel.TxMode]semel.Transactions{}}
	for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
		b.modes[mode] = store.Transactions(db, mysqlstore.TxConfig{Mode: mode})
	}
	const read = "SELECT balance FROM accounts WHERE id = ? FOR UPDATE"
	b.joined = func(ctx context.Context, m movement) error { return moveSQL(ctx, semelsql.TxFrom(ctx), read, m) }
	committed := &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	b.alone = func(ctx context.Context, m movement) error { return moveAlone(ctx, db, committed, read, m) }
	b.byHand = func(ctx context.Context, mode semel.TxMode, key semel.Key, m movement) error {
		return handmadeMariaDB.sql(ctx, db, committed, mode, key, func(tx writer) error { return moveSQL(ctx, tx, read, m) })
	}
	b.commits = func(ctx context.Context) (n int64, err error) {
		err = db.QueryRowContext(ctx, "SELECT count FROM information_schema.innodb_metrics WHERE name = 'trx_rw_commits'").Scan(&n)
		return n, err
	}
	if err := b.newEngine(store); err != nil {
		return err
	}
	defer b.close(ctx, &err)
	return b.compare(ctx, found)
}
