package ledger

import (
	"context"
	"database/sql"
	"errors"
	"strings"
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
	level pgx.TxIsoLevel
}

func openPostgres(ctx context.Context, dsn string, level sql.IsolationLevel) (bank, error) {
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
	return &postgresBank{pool, slots, pgx.TxIsoLevel(strings.ToLower(level.String()))}, nil
}

func (b *postgresBank) store() semel.Store { return b.slots }

func (b *postgresBank) transactions(mode semel.TxMode) (semel.Transactions, error) {
	return b.slots.Transactions(pgstore.TxConfig{Mode: mode, Isolation: b.level}), nil
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
	_, err := tx.Exec(ctx, "INSERT INTO transfers (key, attempt, source, target, amount) VALUES ($1, $2, $3, $4, $5)", key, attempt(ctx), o.From, o.To, o.Amount)
	return err
}

func (b *postgresBank) own(ctx context.Context, key string, o order, f func(semel.Tx, func() error) error) (unknown bool, err error) {
	ctx = context.WithoutCancel(ctx)
	tx, err := b.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: b.level})
	if err != nil {
		return false, err
	}
	defer func() { _ = tx.Rollback(ctx) }() // does nothing after the commit
	if err := f(pgstore.Tx(tx), func() error { return movePostgres(ctx, tx, key, o) }); err != nil {
		return false, err
	}
	err = tx.Commit(ctx)
	if e, told := errors.AsType[*pgconn.PgError](err); told && e.Severity == "ERROR" {
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
		CREATE TABLE transfers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key text NOT NULL,
			attempt text NOT NULL, source text NOT NULL, target text NOT NULL, amount bigint NOT NULL);`+slowCommits); err != nil {
		return err
	}
	for n := range accounts {
		if _, err := b.pool.Exec(ctx, "INSERT INTO accounts VALUES ($1, $2)", account(n), balance); err != nil {
			return err
		}
	}
	return nil
}

// slowCommits makes some commits take their time, by what is to be done in them.
const slowCommits = `
	CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF current_setting('application_name') = '` + FarName + `' AND random() < 0.8 THEN
			BEGIN
				PERFORM pg_sleep(0.1 + 0.3 * random());
			EXCEPTION WHEN query_canceled THEN -- pgx sends a cancel when its connection breaks
				PERFORM pg_sleep(0.3);
			END;
		END IF;
		RETURN NULL;
	END $$;
	CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON transfers
		DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION take_time()`

// committing implements [watcher].
func (b *postgresBank) committing(ctx context.Context) bool {
	var n int
	err := b.pool.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'PgSleep'", FarName).Scan(&n)
	return err == nil && n > 0 // the server may be down
}

func (b *postgresBank) audit(ctx context.Context) (*books, error) {
	found := &books{balances: make(map[string]int64), records: make(map[string]semel.Record)}
	rows, err := b.pool.Query(ctx, "SELECT name, balance FROM accounts")
	if err != nil {
		return nil, err
	}
	var name string
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&name, &n}, func() error {
		found.balances[name] = n
		return nil
	}); err != nil {
		return nil, err
	}
	if rows, err = b.pool.Query(ctx, "SELECT key, attempt, source, target, amount FROM transfers"); err != nil {
		return nil, err
	}
	var t transfer
	if _, err := pgx.ForEachRow(rows, []any{&t.key, &t.attempt, &t.From, &t.To, &t.Amount}, func() error {
		found.transfers = append(found.transfers, t)
		return nil
	}); err != nil {
		return nil, err
	}
	return found, list(ctx, b.slots, found.records)
}

func (b *postgresBank) close() { b.pool.Close() }
