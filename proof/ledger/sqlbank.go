package ledger

import (
	"context"
	"database/sql"
	"errors"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelsql"
)

// sqlBank is what the banks on database/sql have in common.
type sqlBank struct {
	db          *sql.DB
	slots       semel.Store
	txs         func(semel.TxMode) (semel.Transactions, error)
	tx          func(*sql.Tx) semel.Tx
	retryable   func(error) bool
	refused     func(error) bool // a commit that certainly did not happen
	schema      []string
	begin       func(ctx context.Context) (*sql.Tx, error)
	migrateSlot func(ctx context.Context) error
	shut        func()
}

func (b *sqlBank) store() semel.Store { return b.slots }

func (b *sqlBank) transactions(mode semel.TxMode) (semel.Transactions, error) { return b.txs(mode) }

func (b *sqlBank) move(ctx context.Context, key string, o order) error {
	return moveSQL(ctx, semelsql.TxFrom(ctx), key, o)
}

// writer is a handle of Semel's or a transaction of one's own.
type writer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func moveSQL(ctx context.Context, tx writer, key string, o order) error {
	var have int64
	if err := tx.QueryRowContext(ctx, "SELECT balance FROM accounts WHERE name = ?", o.From).Scan(&have); err != nil {
		return err
	}
	if have < o.Amount {
		return errNoMoney
	}
	if _, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = balance - ? WHERE name = ?", o.Amount, o.From); err != nil {
		return err
	}
	dawdle() // the moment in which kills are most interesting
	if _, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = balance + ? WHERE name = ?", o.Amount, o.To); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO transfers (idem, attempt, source, target, amount) VALUES (?, ?, ?, ?, ?)", key, attempt(ctx), o.From, o.To, o.Amount)
	return err
}

func (b *sqlBank) own(ctx context.Context, key string, o order, f func(semel.Tx, func() error) error) (unknown bool, err error) {
	ctx = context.WithoutCancel(ctx)
	tx, err := b.begin(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after the commit
	if err := f(b.tx(tx), func() error { return moveSQL(ctx, tx, key, o) }); err != nil {
		return false, err
	}
	err = tx.Commit()
	return err != nil && !b.refused(err), err
}

func (b *sqlBank) again(err error) bool { return b.retryable(err) }

func (b *sqlBank) migrate(ctx context.Context) error {
	if err := b.migrateSlot(ctx); err != nil {
		return err
	}
	for _, text := range b.schema {
		if _, err := b.db.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	for n := range accounts {
		if _, err := b.db.ExecContext(ctx, "INSERT INTO accounts VALUES (?, ?)", account(n), balance); err != nil {
			return err
		}
	}
	return nil
}

func (b *sqlBank) audit(ctx context.Context) (_ *books, err error) {
	found := &books{balances: make(map[string]int64), records: make(map[string]semel.Record)}
	err = b.each(ctx, "SELECT name, balance FROM accounts", func(rows *sql.Rows) error {
		var name string
		var n int64
		err := rows.Scan(&name, &n)
		found.balances[name] = n
		return err
	})
	if err != nil {
		return nil, err
	}
	err = b.each(ctx, "SELECT idem, attempt, source, target, amount FROM transfers", func(rows *sql.Rows) error {
		var t transfer
		err := rows.Scan(&t.key, &t.attempt, &t.From, &t.To, &t.Amount)
		found.transfers = append(found.transfers, t)
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, list(ctx, b.slots, found.records)
}

// each runs f for each row of a query.
func (b *sqlBank) each(ctx context.Context, query string, f func(*sql.Rows) error) (err error) {
	rows, err := b.db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (b *sqlBank) close() { b.shut() }
