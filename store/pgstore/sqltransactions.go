package pgstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelsql"
)

var _ semelsql.Dialect = (*dialect)(nil)

// SQLTxConfig is what [Store.SQLTransactions] may be told. The zero value is safe.
type SQLTxConfig struct {
	// Mode says what lies in the transaction. Default [semel.ClaimTx].
	Mode semel.TxMode
	// Isolation is the level of the transactions: LevelReadCommitted,
	// LevelRepeatableRead or LevelSerializable. Default LevelReadCommitted, whatever
	// the role's own.
	Isolation sql.IsolationLevel
}

// SQLTransactions is [Store.Transactions] for business code that writes by
// database/sql, with the handle of [semelsql.TxFrom]. The driver of db must be
// pgx's (github.com/jackc/pgx/v5/stdlib), and db must lead to the store's
// database; the first Begin finds out. Its configuration says how statements are
// sent.
//
// What ends the transaction behind the handle is found out as with Transactions.
//
// Nobody sees on connections of db that a standby may lack a commit: use
// Transactions, with a store of [Open], where that counts.
func (s *Store) SQLTransactions(db *sql.DB, cfg SQLTxConfig) semel.Transactions {
	d := &dialect{store: s, db: db}
	if cfg.Isolation == sql.LevelDefault {
		cfg.Isolation = sql.LevelReadCommitted
	}
	switch {
	case db == nil:
		d.wrong = errors.New("the sql.DB is nil")
	case cfg.Mode > semel.SingleTx:
		d.wrong = fmt.Errorf("SQLTxConfig.Mode is %d, which is no mode", cfg.Mode)
	case !slices.Contains([]sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable}, cfg.Isolation):
		d.wrong = fmt.Errorf("SQLTxConfig.Isolation is %v, which is none for transactions", cfg.Isolation)
	}
	return &sqlTransactions{semelsql.New(db, s, d, cfg.Mode, cfg.Isolation), d}
}

// sqlTransactions are those of semelsql, on a db that was looked at.
type sqlTransactions struct {
	semel.Transactions
	dialect *dialect
}

// Begin implements [semel.Transactions]. What needs connections of its own is done
// before the transaction has one.
func (t *sqlTransactions) Begin(ctx context.Context) (semel.Transaction, error) {
	if err := t.dialect.ready(context.WithoutCancel(ctx)); err != nil {
		return nil, explain("begin", err)
	}
	x, err := t.Transactions.Begin(ctx)
	return x, explain("begin", err)
}

// dialect implements [semelsql.Dialect] for one db.
type dialect struct {
	store   *Store
	db      *sql.DB
	wrong   error // what is wrong with the configuration
	reached atomic.Bool
}

func (d *dialect) ready(ctx context.Context) error {
	if d.wrong != nil {
		return d.wrong
	}
	if err := d.store.ready(ctx); err != nil {
		return err
	}
	if err := d.store.catchUp(ctx); err != nil || d.reached.Load() {
		return err
	}
	err := d.store.reachedBy(ctx, func(ctx context.Context, text string, args ...any) pgx.Row {
		return d.db.QueryRowContext(ctx, text, args...)
	})
	d.reached.Store(err == nil)
	return err
}

// Begin implements [semelsql.Dialect].
func (d *dialect) Begin(ctx context.Context, conn *sql.Conn, isolation sql.IsolationLevel) (semelsql.Session, error) {
	var pg *pgconn.PgConn
	err := conn.Raw(func(c any) error {
		own, ok := c.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("the driver of the sql.DB is not that of pgx, but %T", c)
		}
		pg = own.Conn().PgConn()
		return nil
	})
	if err != nil {
		return semelsql.Session{}, err
	}
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: isolation})
	if err != nil {
		return semelsql.Session{}, err
	}
	row := func(ctx context.Context, text string, args ...any) pgx.Row {
		return tx.QueryRowContext(ctx, text, args...)
	}
	f := new(fate)
	return semelsql.Session{
		Tx:    tx,
		Steps: fatedSteps{&steps{store: d.store, row: row}, f},
		Watch: func(_, query string) semelsql.Mark {
			f.see(query, nil)
			return nil // what it has done can be told afterwards
		},
		Unseen: func() { f.raise(mayHaveEnded) },
		Fate:   func(over bool) error { return f.ended(d.store, over) },
		Gone: func() (gone error) {
			err := conn.Raw(func(any) error { // not while a statement is under way
				gone = lost(pg)
				return nil
			})
			return cmp.Or(gone, err)
		},
	}, nil
}

// lost returns why a connection has no transaction any more, or nil.
func lost(pg *pgconn.PgConn) error {
	switch {
	case pg.IsClosed():
		return &brokenError{errGone}
	case !pg.IsBusy() && pg.TxStatus() == 'I':
		return errEnded
	}
	return nil
}

// Damage implements [semelsql.Dialect].
func (d *dialect) Damage(err error) semelsql.Damage {
	pe, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case ok && cmp.Or(pe.SeverityUnlocalized, pe.Severity) == "ERROR":
		return semelsql.Aborted
	case ok, severed(err):
		return semelsql.Gone
	}
	return semelsql.None
}

// Again implements [semelsql.Dialect].
func (d *dialect) Again(err error) bool { return again(err) }

// Refused implements [semelsql.Dialect].
func (d *dialect) Refused(err error) bool {
	if refused(err) {
		return true
	}
	d.store.behind.Add(1) // as of any step whose connection broke
	return false
}
