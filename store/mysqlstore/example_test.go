package mysqlstore_test

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/mysqlstore"
)

// A charge runs once, whichever process gets the retry.
func Example() {
	ctx := context.Background()
	store, err := mysqlstore.Open(ctx, "mysql://semel:secret@db.example.org/payments?tls=true", mysqlstore.Config{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = store.Close() }()
	if err := store.Migrate(ctx); err != nil {
		panic(err)
	}
	engine, err := semel.New(store, semel.Config{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = engine.Close(ctx) }()

	call := semel.Call{
		Key:         semel.Key{Scope: "tenant-1", ID: "order-7"},
		Fingerprint: semel.FingerprintOf([]byte("charge 100")),
	}
	receipt, err := semel.Do(ctx, engine, call, func(context.Context) (string, error) {
		fmt.Println("charging")
		return "receipt 1", nil
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(receipt.Value, receipt.Replayed)
}

// A program that has a pool gives it to New. The pool stays the program's.
func ExampleNew() {
	ctx := context.Background()
	db, err := sql.Open("mysql", "semel:secret@tcp(db.example.org:3306)/payments?timeout=5s&readTimeout=30s&writeTimeout=30s")
	if err != nil {
		panic(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(32)
	db.SetMaxIdleConns(32)
	store, err := mysqlstore.New(db, mysqlstore.Config{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = store.Close() }()
	if err := store.Validate(ctx); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(store.Grade().Letter)
}

// A transfer commits together with its answer: a retry after a crash, whenever that came,
// finds both or neither.
func ExampleStore_Transactions() {
	ctx := context.Background()
	store, err := mysqlstore.Open(ctx, "mysql://bank:secret@db.example.org/bank?tls=true", mysqlstore.Config{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = store.Close() }()
	engine, err := semel.New(store, semel.Config{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = engine.Close(ctx) }()
	txs := store.Transactions(nil, mysqlstore.TxConfig{})

	call := semel.Call{
		Key:         semel.Key{Scope: "tenant-1", ID: "transfer-7"},
		Fingerprint: semel.FingerprintOf([]byte("100 from 1 to 2")),
	}
	receipt, err := semel.DoTx(ctx, engine, call, txs, func(ctx context.Context) (string, error) {
		tx := semelsql.TxFrom(ctx)
		if _, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = balance - 100 WHERE id = 1"); err != nil {
			return "", err
		}
		_, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = balance + 100 WHERE id = 2")
		return "receipt 1", err
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(receipt.Value, receipt.Replayed)
}
