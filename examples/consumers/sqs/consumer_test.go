package sqs_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/examples/consumers/internal/shop"
	"github.com/semel-go/semel/examples/consumers/sqs"
	"github.com/semel-go/semel/store/memstore"
)

// Everything that can happen to a message, with a consumer that dies before it has deleted it: each order is charged
// once (I1, I3), a conflict is dead (I5), what is unknown is parked (I7), and nothing is left. The
// client is AWS's, the server a stand-in.
func TestConsume(t *testing.T) {
	queues := &standIn{queues: make(map[string][]*held), calls: make(map[string]int)}
	server := httptest.NewServer(queues)
	t.Cleanup(server.Close)
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close(context.WithoutCancel(t.Context())) })
	client := awssqs.New(awssqs.Options{
		BaseEndpoint: &server.URL, Region: "eu-central-1", Credentials: aws.AnonymousCredentials{}, HTTPClient: server.Client(),
	})
	var s shop.Shop
	worker := sqs.Worker{
		Client: client, Engine: engine, Charge: s.Charge,
		Orders: server.URL + "/1/orders", Dead: server.URL + "/1/dead", Parked: server.URL + "/1/parked",
	}
	for _, o := range shop.Orders() {
		in := &awssqs.SendMessageInput{QueueUrl: &worker.Orders, MessageBody: aws.String(o.Body)}
		if o.Number != "" {
			in.MessageAttributes = map[string]types.MessageAttributeValue{"Order": {DataType: aws.String("String"), StringValue: aws.String(o.Number)}}
		}
		if _, err := client.SendMessage(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	first, cut := context.WithCancel(t.Context())
	s.OnCut(cut)
	if err := worker.Consume(first); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want that the consumer ends", err)
	}
	if got, want := queues.bodies("orders"), map[string]int{"crashes": 1, "too early": 1, "cuts the line": 1}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v in the queue, want %v: what is not done, nor dead", got, want)
	}
	if got := queues.called("ChangeMessageVisibility"); got != 2 {
		t.Errorf("got %d messages given back for later, want 2", got)
	}
	queues.show("orders")
	second, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- worker.Consume(second) }()
	if err := shop.Until("the queue is empty", func() (bool, error) { return len(queues.bodies("orders")) == 0, nil }); err != nil {
		t.Error(err)
	}
	stop()
	<-ended
	if got := s.Charged(); !reflect.DeepEqual(got, shop.Charged) {
		t.Errorf("charged %v, want %v", got, shop.Charged)
	}
	for queue, want := range map[string]map[string]int{"dead": shop.Dead, "parked": shop.Parked} {
		if got := queues.bodies(queue); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", queue, got, want)
		}
	}
}

// What a worker has not begun is there for others: the time for which a message is hidden begins when it is
// received, not when its handler begins.
func TestOneAtATime(t *testing.T) {
	queues := &standIn{queues: make(map[string][]*held), calls: make(map[string]int)}
	server := httptest.NewServer(queues)
	t.Cleanup(server.Close)
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close(context.WithoutCancel(t.Context())) })
	client := awssqs.New(awssqs.Options{
		BaseEndpoint: &server.URL, Region: "eu-central-1", Credentials: aws.AnonymousCredentials{}, HTTPClient: server.Client(),
	})
	ctx, stop := context.WithCancel(t.Context())
	hidden := make(map[string]int)
	worker := sqs.Worker{
		Client: client, Engine: engine, Orders: server.URL + "/1/orders",
		Charge: func(_ context.Context, order string, _ []byte) (string, error) {
			hidden[order] = queues.hidden("orders")
			if len(hidden) == 3 {
				stop()
			}
			return "receipt", nil
		},
	}
	for _, order := range []string{"order-1", "order-2", "order-3"} {
		if _, err := client.SendMessage(t.Context(), &awssqs.SendMessageInput{
			QueueUrl: &worker.Orders, MessageBody: aws.String("10 EUR"),
			MessageAttributes: map[string]types.MessageAttributeValue{"Order": {DataType: aws.String("String"), StringValue: &order}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := worker.Consume(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want that the consumer ends", err)
	}
	if want := map[string]int{"order-1": 1, "order-2": 1, "order-3": 1}; !reflect.DeepEqual(hidden, want) {
		t.Errorf("got %v messages hidden during each, want %v", hidden, want)
	}
}
