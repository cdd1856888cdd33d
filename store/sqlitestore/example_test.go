package sqlitestore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/sqlitestore"
)

// A charge runs once, also when the process ends between the two calls.
func Example() {
	dir, err := os.MkdirTemp("", "semel")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	charge := func() {
		store, err := sqlitestore.Open(filepath.Join(dir, "semel.db"), sqlitestore.Config{})
		if err != nil {
			panic(err)
		}
		engine, err := semel.New(store, semel.Config{})
		if err != nil {
			panic(err)
		}
		ctx := context.Background()
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
		if err := engine.Close(ctx); err != nil {
			panic(err)
		}
		if err := store.Close(); err != nil {
			panic(err)
		}
	}
	charge()
	charge()
	// Output:
	// charging
	// receipt 1 false
	// receipt 1 true
}
