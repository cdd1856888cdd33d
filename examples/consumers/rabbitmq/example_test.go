package rabbitmq_test

import (
	"context"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/examples/consumers/rabbitmq"
	"github.com/semel-go/semel/store/memstore"
)

// It needs a server, as by Debian's package.
func ExampleWorker() {
	ctx := context.Background()
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{}) // with pgstore it outlives the process
	if err != nil {
		panic(err)
	}
	defer func() { _ = engine.Close(ctx) }()
	conn, err := amqp.Dial("amqp://guest:guest@127.0.0.1:5672/")
	if err != nil {
		panic(err)
	}
	defer func() { _ = conn.Close() }()
	ch, err := conn.Channel()
	if err != nil {
		panic(err)
	}
	for name, args := range map[string]amqp.Table{
		"orders": {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"},
		"dead":   nil,
		"parked": nil,
	} {
		if _, err := ch.QueueDeclare(name, true, false, false, false, args); err != nil {
			panic(err)
		}
	}
	worker := rabbitmq.Worker{
		Channel: ch, Engine: engine, Parked: "parked",
		Charge: func(_ context.Context, order string, body []byte) (string, error) {
			fmt.Printf("charging %s: %s\n", order, body)
			return "receipt", nil
		},
	}
	fmt.Println(worker.Consume(ctx, "orders"))
}
