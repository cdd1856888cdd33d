package sqlitestore_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/sqlitestore"
)

// The account is charged once: what the handler writes and its answer are committed
// together.
func ExampleStore_Transactions() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "semel")
	check(err)
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "app.db")

	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=synchronous(FULL)&_pragma=wal_autocheckpoint(0)")
	check(err)
	defer func() { _ = db.Close() }()
	_, err = db.ExecContext(ctx, "CREATE TABLE account (id TEXT, balance INTEGER); INSERT INTO account VALUES ('ada', 300)")
	check(err)

	store, err := sqlitestore.Open(path, sqlitestore.Config{Guest: true})
	check(err)
	defer func() { _ = store.Close() }()
	engine, err := semel.New(store, semel.Config{})
	check(err)
	txs, err := store.Transactions(db, sqlitestore.TxConfig{})
	check(err)

	call := semel.Call{
		Key:         semel.Key{Scope: "tenant-1", ID: "order-7"},
		Fingerprint: semel.FingerprintOf([]byte("charge ada 100")),
	}
	for range 2 {
		result, err := semel.DoTx(ctx, engine, call, txs, func(ctx context.Context) (balance int, err error) {
			tx := semelsql.TxFrom(ctx)
			if _, err = tx.ExecContext(ctx, "UPDATE account SET balance = balance - 100 WHERE id = 'ada'"); err != nil {
				return 0, err
			}
			err = tx.QueryRowContext(ctx, "SELECT balance FROM account WHERE id = 'ada'").Scan(&balance)
			return balance, err
		})
		check(err)
		fmt.Println(result.Value, result.Replayed)
	}
	check(engine.Close(ctx))
	// Output:
	// 200 false
	// 200 true
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
