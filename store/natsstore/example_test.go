package natsstore_test

import (
	"context"
	"fmt"
	"os"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/natsstore"
)

// A charge runs once, whichever process of the service gets the retry. It needs
// a server, so it is only compiled.
func Example() {
	ctx := context.Background()
	store, err := natsstore.Open(ctx, os.Getenv("NATS_URL"), natsstore.Config{Stream: "PAYMENTS", Replicas: 3})
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
	call := semel.Call{
		Key:         semel.Key{Scope: "tenant-1", ID: "order-7"},
		Fingerprint: semel.FingerprintOf([]byte("charge 100")),
	}
	receipt, err := semel.Do(ctx, engine, call, func(context.Context) (string, error) {
		return "receipt 1", nil
	})
	fmt.Println(receipt.Value, receipt.Replayed, err)
	if err := engine.Close(ctx); err != nil {
		panic(err)
	}
}
