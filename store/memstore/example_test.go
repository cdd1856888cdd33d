package memstore_test

import (
	"context"
	"fmt"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// The second call with the same key gets the first one's value.
func Example() {
	ctx := context.Background()
	engine, err := semel.New(memstore.New(memstore.Config{MaxRecords: 100_000}), semel.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	call := semel.Call{
		Key:         semel.Key{Scope: "tenant-1", ID: "order-7"},
		Fingerprint: semel.FingerprintOf([]byte("charge 100 EUR for order 7")),
	}
	charge := func(context.Context) (string, error) {
		fmt.Println("charging")
		return "receipt 1", nil
	}
	for range 2 {
		result, err := semel.Do(ctx, engine, call, charge)
		fmt.Println(result.Value, result.Replayed, err)
	}
	fmt.Println(engine.Close(ctx))
	// Output:
	// charging
	// receipt 1 false <nil>
	// receipt 1 true <nil>
	// <nil>
}
