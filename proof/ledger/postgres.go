package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/pgstore"
)

type postgresBank struct {
	pool  *pgxpool.Pool
	slots *pgstore.Store
}

func openPostgres(ctx context.Context, dsn string) (bank, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = 20
	cfg.ConnConfig.ConnectTimeout = 2 * time.Second
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	slots, err := pgstore.New(pool, pgstore.Config{Logger: silent})
	if err != nil {
		pool.Close()
		return nil, err
	}
	return &postgresBank{pool, slots}, nil
}

func (b *postgresBank) store() semel.Store { return b.slots }

// Serializable, where most conflicts are and where a lost token is an error
// and not a missing row.
func (b *postgresBank) transactions(mode semel.TxMode) (semel.Transactions, error) {
	return b.slots.Transactions(pgstore.TxConfig{Mode: mode, Isolation: pgx.Serializable}), nil
}

func (b *postgresBank) move(ctx context.Context, key string, o order) error {
	return movePostgres(ctx, pgstore.TxFrom(ctx), key, o)
}

func movePostgres(ctx context.Context, tx pgx.Tx, key string, o order) error {
	var have int64
	if err := tx.QueryRow(ctx, "SELECT balance FROM accounts WHERE name = $1", o.From).Scan(&have); err != nil {
		return err
	}
	if have < o.Amount {
		return errNoMoney
	}
	if _, err := tx.Exec(ctx, "UPDATE accounts SET balance = balance - $2 WHERE name = $1", o.From, o.Amount); err != nil {
		return err
	}
	dawdle() // the moment in which kills are most interesting
	if _, err := tx.Exec(ctx, "UPDATE accounts SET balance = balance + $2 WHERE name = $1", o.To, o.Amount); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "INSERT INTO transfers (key, amount) VALUES ($1, $2)", key, o.Amount)
	return err
}

func (b *postgresBank) moveAlone(ctx context.Context, key string, o order) (unknown bool, err error) {
	ctx = context.WithoutCancel(ctx)
	tx, err := b.pool.Begin(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = tx.Rollback(ctx) }() // does nothing after the commit
	if err := movePostgres(ctx, tx, key, o); err != nil {
		return false, err
	}
	err = tx.Commit(ctx)
	if _, told := errors.AsType[*pgconn.PgError](err); told {
		return false, err
	}
	return err != nil, err
}

func (b *postgresBank) again(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "40001" || e.Code == "40P01")
}

func (b *postgresBank) migrate(ctx context.Context) error {
	if err := b.slots.Migrate(ctx); err != nil {
		return err
	}
	if _, err := b.pool.Exec(ctx, `CREATE TABLE accounts (name text PRIMARY KEY, balance bigint NOT NULL);
		CREATE TABLE transfers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key text NOT NULL, amount bigint NOT NULL)`); err != nil {
		return err
	}
	for n := range accounts {
		if _, err := b.pool.Exec(ctx, "INSERT INTO accounts VALUES ($1, $2)", account(n), balance); err != nil {
			return err
		}
	}
	return nil
}

func (b *postgresBank) audit(ctx context.Context) (*books, error) {
	found := &books{records: make(map[string]semel.Record)}
	if err := b.pool.QueryRow(ctx, "SELECT sum(balance)::bigint FROM accounts").Scan(&found.sum); err != nil {
		return nil, err
	}
	rows, err := b.pool.Query(ctx, "SELECT key, amount FROM transfers")
	if err != nil {
		return nil, err
	}
	var t transfer
	if _, err := pgx.ForEachRow(rows, []any{&t.key, &t.amount}, func() error {
		found.transfers = append(found.transfers, t)
		return nil
	}); err != nil {
		return nil, err
	}
	return found, list(ctx, b.slots, found.records)
}

func (b *postgresBank) close() { b.pool.Close() }
