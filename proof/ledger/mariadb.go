package ledger

import (
	"context"
	"database/sql"
	"errors"

	"github.com/go-sql-driver/mysql"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/mysqlstore"
)

func openMariaDB(dsn string, level sql.IsolationLevel) (bank, error) {
	if err := mysql.SetLogger(mute{}); err != nil { // of connections that were killed
		return nil, err
	}
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(20)
	db.SetMaxIdleConns(20)
	slots, err := mysqlstore.New(db, mysqlstore.Config{Logger: silent})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	number := func(err error) uint16 {
		if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
			return e.Number
		}
		return 0
	}
	return &sqlBank{
		db: db, slots: slots,
		txs: func(mode semel.TxMode) (semel.Transactions, error) {
			return slots.Transactions(db, mysqlstore.TxConfig{Mode: mode, Isolation: level}), nil
		},
		tx: mysqlstore.Tx,
		begin: func(ctx context.Context) (*sql.Tx, error) {
			return db.BeginTx(ctx, &sql.TxOptions{Isolation: level})
		},
		retryable: func(err error) bool { return number(err) == 1213 || number(err) == 1205 },
		refused:   func(err error) bool { return number(err) != 0 },
		schema: []string{
			"CREATE TABLE accounts (name VARCHAR(40) PRIMARY KEY, balance BIGINT NOT NULL) ENGINE = InnoDB",
			"CREATE TABLE transfers (id BIGINT AUTO_INCREMENT PRIMARY KEY, idem VARCHAR(255) NOT NULL, attempt VARCHAR(40) NOT NULL, source VARCHAR(40) NOT NULL, target VARCHAR(40) NOT NULL, amount BIGINT NOT NULL) ENGINE = InnoDB",
		},
		migrateSlot: slots.Migrate,
		shut:        func() { _ = errors.Join(slots.Close(), db.Close()) },
	}, nil
}

// mute is a log that nobody reads.
type mute struct{}

// Print implements the driver's logger.
func (mute) Print(...any) {}
