//go:build unix

package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/pgstore"
)

func postgresBusiness(ctx context.Context, r *rig, found *section) (err error) {
	server := servertest.NewPostgres(r)
	pool, err := pgxpool.New(ctx, server.DSN()+"&pool_max_conns=64")
	if err != nil {
		return err
	}
	defer pool.Close()
	store, err := pgstore.New(pool, pgstore.Config{Logger: quiet})
	if err != nil {
		return err
	}
	if err := store.Migrate(ctx); err != nil {
		return err
	}
	for _, text := range []string{
		"CREATE TABLE accounts (id integer PRIMARY KEY, balance bigint NOT NULL) WITH (fillfactor = 80)",
		"CREATE TABLE transfers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, debtor integer NOT NULL, creditor integer NOT NULL, amount bigint NOT NULL)",
		fmt.Sprintf("INSERT INTO accounts SELECT n, 1000000 FROM generate_series(0, %d) AS n", accounts-1),
		"CREATE TABLE by_hand (key text PRIMARY KEY, fingerprint bytea NOT NULL, status integer, answer text, created_at timestamptz NOT NULL DEFAULT now())",
		"VACUUM ANALYZE accounts", "CHECKPOINT",
	} {
		if _, err := pool.Exec(ctx, text); err != nil {
			return err
		}
	}
	b := &business{env: r.env, name: "PostgreSQL", modes: map[semel.TxMode]semel.Transactions{}}
	for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
		b.modes[mode] = store.Transactions(pgstore.TxConfig{Mode: mode})
	}
	b.joined = func(ctx context.Context, m movement) error { return movePostgres(ctx, pgstore.TxFrom(ctx), m) }
	b.alone = func(ctx context.Context, m movement) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return movePostgres(ctx, tx, m) })
	}
	b.byHand = func(ctx context.Context, mode semel.TxMode, key semel.Key, m movement) error {
		return handmadePostgres.pgx(ctx, pool, mode, key, func(tx pgx.Tx) error { return movePostgres(ctx, tx, m) })
	}
	b.commits = func(ctx context.Context) (n int64, err error) {
		// Those that wrote: to look is a transaction, too, but takes no number.
		err = pool.QueryRow(ctx, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").Scan(&n)
		return n, err
	}
	if err := b.newEngine(store); err != nil {
		return err
	}
	defer b.close(ctx, &err)
	return b.compare(ctx, found)
}

func movePostgres(ctx context.Context, tx pgx.Tx, m movement) error {
	var have int64
	if err := tx.QueryRow(ctx, "SELECT balance FROM accounts WHERE id = $1 FOR UPDATE", m.from).Scan(&have); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "UPDATE accounts SET balance = balance - $2 WHERE id = $1", m.from, m.amount); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "UPDATE accounts SET balance = balance + $2 WHERE id = $1", m.to, m.amount); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "INSERT INTO transfers (debtor, creditor, amount) VALUES ($1, $2, $3)", m.from, m.to, m.amount)
	return err
}
