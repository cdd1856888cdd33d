package nats_test

import (
	"context"
	"fmt"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/examples/consumers/nats"
	"github.com/semel-go/semel/store/memstore"
)

// It needs a server with the streams ORDERS and OTHERS.
func ExampleWorker() {
	ctx := context.Background()
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{}) // with pgstore it outlives the process
	if err != nil {
		panic(err)
	}
	defer func() { _ = engine.Close(ctx) }()
	nc, err := natsgo.Connect(natsgo.DefaultURL)
	if err != nil {
		panic(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		panic(err)
	}
	consumer, err := js.CreateOrUpdateConsumer(ctx, "ORDERS", jetstream.ConsumerConfig{Durable: "charge", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		panic(err)
	}
	worker := nats.Worker{
		JetStream: js, Engine: engine, Dead: "others.dead", Parked: "others.parked",
		Charge: func(_ context.Context, order string, body []byte) (string, error) {
			fmt.Printf("charging %s: %s\n", order, body)
			return "receipt", nil
		},
	}
	fmt.Println(worker.Consume(ctx, consumer))
}
