package redisstore_test

import (
	"context"
	"fmt"
	"os"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/redisstore"
)

// A charge runs once, whichever process asks for it.
func Example() {
	ctx := context.Background()
	store, err := redisstore.Open(ctx, os.Getenv("REDIS_URL"), redisstore.Config{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = store.Close() }()
	if err := store.Validate(ctx); err != nil {
		panic(err) // a replica, or a server that evicts
	}
	fmt.Println(store.Grade().Survives)

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
	if err != nil {
		panic(err)
	}
	fmt.Println(receipt.Value, receipt.Replayed)
}

// Two replicas of the master, which sentinels name, confirm every reservation.
func ExampleOpen() {
	store, err := redisstore.Open(context.Background(),
		"rediss+sentinel://user:password@sentinel-1:26379,sentinel-2:26379/payments?replicas=2&prefix=semel:", redisstore.Config{})
	if err != nil {
		panic(err)
	}
	fmt.Println(store.Grade().Letter, store.Close())
	// Output: C <nil>
}
