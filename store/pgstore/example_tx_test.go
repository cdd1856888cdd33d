package pgstore_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/pgstore"
)

// A transfer commits together with the answer that a retry gets, or not at all. There
// is no outcome that nobody knows, and nothing for an operator to resolve.
func ExampleStore_Transactions() {
	transfer := func(ctx context.Context, engine *semel.Engine, store *pgstore.Store, call semel.Call) (semel.Result[string], error) {
		txs := store.Transactions(pgstore.TxConfig{})
		return semel.DoTx(ctx, engine, call, txs, func(ctx context.Context) (string, error) {
			tx := pgstore.TxFrom(ctx) // it commits when this func has returned
			if _, err := tx.Exec(ctx, "UPDATE accounts SET balance = balance - 100 WHERE id = 'a'"); err != nil {
				return "", err
			}
			if _, err := tx.Exec(ctx, "UPDATE accounts SET balance = balance + 100 WHERE id = 'b'"); err != nil {
				return "", err
			}
			return "receipt 1", nil
		})
	}
	_ = transfer
}

// A caller who commits by itself locks the slot first and completes it last. Nothing
// is sent before Confirm has told that the commit stands.
func ExampleTx() {
	handle := func(ctx context.Context, pool *pgxpool.Pool, claim *semel.Claim, receipt semel.Response) error {
		tx, err := pool.Begin(context.WithoutCancel(ctx))
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
		own := pgstore.Tx(tx) // one for both calls
		if err := claim.LockIn(ctx, own); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "INSERT INTO orders (id) VALUES (7)"); err != nil {
			return err
		}
		if err := claim.CompleteIn(ctx, own, receipt); err != nil {
			return err
		}
		failed := tx.Commit(context.WithoutCancel(ctx))
		out, err := claim.Confirm(ctx)
		if err != nil || out.Kind != semel.Replay {
			return errors.Join(failed, err, out.Err())
		}
		fmt.Println(out.Record.Response.Status)
		return nil
	}
	_ = handle
}
