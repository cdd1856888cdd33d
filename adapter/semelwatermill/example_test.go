package semelwatermill_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelwatermill"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/memstore"
	"github.com/semel-go/semel/store/sqlitestore"
)

// An order is published twice, and paid once: both times the same receipt is published. What is
// another order under the same number goes to the poison queue.
func Example() {
	ctx := context.Background()
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = engine.Close(ctx) }()
	mw, err := semelwatermill.New(engine, semelwatermill.ByHandler(), semelwatermill.Config{
		Key: semelwatermill.KeyFromMetadata("order"), // a business key, as producers publish again
	})
	if err != nil {
		panic(err)
	}

	pubsub := gochannel.NewGoChannel(gochannel.Config{OutputChannelBuffer: 10}, watermill.NopLogger{})
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = router.Close() }() // waits for the handlers; then the engine may be closed
	poison, err := middleware.PoisonQueueWithFilter(pubsub, "poison", semelwatermill.Terminal)
	if err != nil {
		panic(err)
	}
	router.AddMiddleware(poison, mw.Middleware)
	router.AddHandler("pay", "orders", pubsub, "receipts", pubsub, func(msg *message.Message) ([]*message.Message, error) {
		fmt.Printf("paying %s\n", msg.Payload)
		return []*message.Message{message.NewMessage("receipt-1", []byte("paid"))}, nil
	})
	receipts, err := pubsub.Subscribe(ctx, "receipts")
	if err != nil {
		panic(err)
	}
	poisoned, err := pubsub.Subscribe(ctx, "poison")
	if err != nil {
		panic(err)
	}
	go func() { _ = router.Run(ctx) }()
	<-router.Running()

	for _, amount := range []string{"10 EUR", "10 EUR", "20 EUR"} {
		msg := message.NewMessage(watermill.NewUUID(), []byte(amount))
		msg.Metadata.Set("order", "7")
		if err := pubsub.Publish("orders", msg); err != nil {
			panic(err)
		}
		select {
		case got := <-receipts:
			fmt.Printf("%s: %s\n", got.UUID, got.Payload)
			got.Ack()
		case got := <-poisoned:
			fmt.Printf("poison: %s\n", got.Payload)
			got.Ack()
		}
	}
	// Output:
	// paying 10 EUR
	// receipt-1: paid
	// receipt-1: paid
	// poison: 20 EUR
}

// With the business in the database of the records, what a handler writes and the record that
// it ran are committed together: a failure undoes both, and the next delivery runs.
func ExampleConfig_transaction() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "semel")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "app.db")
	store, err := sqlitestore.Open(file, sqlitestore.Config{Guest: true})
	if err != nil {
		panic(err)
	}
	defer func() { _ = store.Close() }()
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)&_pragma=wal_autocheckpoint(0)")
	if err != nil {
		panic(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(ctx, "CREATE TABLE payments (message TEXT)"); err != nil {
		panic(err)
	}
	engine, err := semel.New(store, semel.Config{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = engine.Close(ctx) }()
	txs, err := store.Transactions(db, sqlitestore.TxConfig{})
	if err != nil {
		panic(err)
	}
	scope := func(*message.Message) (string, error) { return "pay", nil } // ByHandler() in a router
	mw, err := semelwatermill.New(engine, scope, semelwatermill.Config{Tx: txs})
	if err != nil {
		panic(err)
	}

	fails := true
	pay := mw.Middleware(func(msg *message.Message) ([]*message.Message, error) {
		ctx := msg.Context()
		if _, err := semelsql.TxFrom(ctx).ExecContext(ctx, "INSERT INTO payments VALUES (?)", msg.UUID); err != nil {
			return nil, err
		}
		if fails {
			return nil, fmt.Errorf("the ledger is closed")
		}
		return nil, nil
	})
	for range 3 {
		_, err := pay(message.NewMessage("message-1", nil))
		var paid int
		if err := db.QueryRowContext(ctx, "SELECT count(*) FROM payments").Scan(&paid); err != nil {
			panic(err)
		}
		fmt.Println("payments:", paid, "error:", err)
		fails = false
	}
	// Output:
	// payments: 0 error: the ledger is closed
	// payments: 1 error: <nil>
	// payments: 1 error: <nil>
}
