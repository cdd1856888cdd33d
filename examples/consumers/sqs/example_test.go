package sqs_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/examples/consumers/sqs"
	"github.com/semel-go/semel/store/memstore"
)

// An order is sent twice, as its producer did not hear of the first. It is charged once.
func ExampleWorker() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{}) // with pgstore it outlives the process
	if err != nil {
		panic(err)
	}
	defer func() { _ = engine.Close(ctx) }()
	server := httptest.NewServer(&standIn{queues: make(map[string][]*held), calls: make(map[string]int)}) // in AWS's place
	defer server.Close()
	client := awssqs.New(awssqs.Options{BaseEndpoint: &server.URL, Region: "eu-central-1", Credentials: aws.AnonymousCredentials{}})
	worker := sqs.Worker{
		Client: client, Engine: engine, Orders: server.URL + "/1/orders", Dead: server.URL + "/1/dead", Parked: server.URL + "/1/parked",
		Charge: func(_ context.Context, order string, body []byte) (string, error) {
			fmt.Printf("charging %s: %s\n", order, body)
			if order == "order-2" {
				stop()
			}
			return "receipt", nil
		},
	}
	for _, order := range []string{"order-1", "order-1", "order-2"} {
		_, err := client.SendMessage(ctx, &awssqs.SendMessageInput{
			QueueUrl: &worker.Orders, MessageBody: aws.String("10 EUR"),
			MessageAttributes: map[string]types.MessageAttributeValue{"Order": {DataType: aws.String("String"), StringValue: &order}},
		})
		if err != nil {
			panic(err)
		}
	}
	fmt.Println("ended by stop:", errors.Is(worker.Consume(ctx), context.Canceled))
	// Output:
	// charging order-1: 10 EUR
	// charging order-2: 10 EUR
	// ended by stop: true
}
