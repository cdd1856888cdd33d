package pgstore_test

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/pgstore"
)

// A service keeps its records beside its own tables, in the pool it has anyway.
func Example() {
	serve := func(ctx context.Context, pool *pgxpool.Pool) error {
		store, err := pgstore.New(pool, pgstore.Config{Schema: "payments"})
		if err != nil {
			return err
		}
		if err := store.Migrate(ctx); err != nil { // may run in every process that starts
			return err
		}
		engine, err := semel.New(store, semel.Config{})
		if err != nil {
			return err
		}
		defer func() { _ = engine.Close(ctx) }()
		go func() { _ = engine.RunPurge(ctx, semel.Purging{Batch: 1000}) }()

		receipt, err := semel.Do(ctx, engine, semel.Call{
			Key:         semel.Key{Scope: "tenant-1", ID: "order-7"},
			Fingerprint: semel.FingerprintOf([]byte("charge 100")),
		}, func(context.Context) (string, error) {
			return "receipt 1", nil
		})
		if err != nil {
			return err
		}
		fmt.Println(receipt.Value, receipt.Replayed)
		return nil
	}
	_ = serve
}

// A program without a pool of its own opens one by its URL. A server that is down
// is no error here: the first step reports it.
func ExampleOpen() {
	ctx := context.Background()
	store, err := pgstore.Open(ctx, "postgres://semel@db.internal/payments?sslmode=verify-full", pgstore.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = store.Close() }()
	fmt.Println(store.Grade().Letter, "until the server was asked")
	// Output: C until the server was asked
}
