package semelgrpc_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"sync/atomic"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelgrpc"
	"github.com/semel-go/semel/store/memstore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// A payment service behind the interceptor, and a client that makes its own keys. The third
// call is a retry of the second, by another process that knows its key.
func Example() {
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		log.Fatal(err)
	}
	guard, err := semelgrpc.New(engine, semelgrpc.ByMetadata("authorization"), semelgrpc.Config{})
	if err != nil {
		log.Fatal(err)
	}
	var payments atomic.Int64
	server := grpc.NewServer(grpc.ChainUnaryInterceptor(guard.Unary()), grpc.ChainStreamInterceptor(guard.Stream()))
	server.RegisterService(shop(func(context.Context, *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
		return wrapperspb.String(fmt.Sprintf("payment %d", payments.Add(1))), nil
	}), nil)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()

	client, err := semelgrpc.NewClient(semelgrpc.ClientConfig{})
	if err != nil {
		log.Fatal(err)
	}
	cc, err := grpc.NewClient(listener.Addr().String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUnaryInterceptor(client.Unary()))
	if err != nil {
		log.Fatal(err)
	}
	defer cc.Close()

	ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer alice")
	for _, ctx := range []context.Context{ctx, semelgrpc.WithKey(ctx, "order-1"), semelgrpc.WithKey(ctx, "order-1")} {
		var told semelgrpc.Attempts
		reply := new(wrapperspb.StringValue)
		if err := cc.Invoke(ctx, "/shop.Payments/Pay", wrapperspb.String("25.00"), reply, semelgrpc.AttemptsTo(&told)); err != nil {
			log.Fatal(err)
		}
		fmt.Println(reply.GetValue(), told)
	}
	// Output:
	// payment 1 1 attempts
	// payment 2 1 attempts
	// payment 2 1 attempts, replayed
}

// The key is a field of the request, as AIP-155 has it, and one method is kept for a week.
func ExampleNew_keyField() {
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		log.Fatal(err)
	}
	guard, err := semelgrpc.New(engine, semelgrpc.ByClientSubject(), semelgrpc.Config{
		KeyField: semelgrpc.FieldNamed("request_id"),
		Methods: map[string]func(*semelgrpc.Config){
			"/shop.Payments/Pay": func(c *semelgrpc.Config) { c.Retention = 7 * 24 * time.Hour },
		},
	})
	fmt.Println(guard != nil, err)
	// Output: true <nil>
}
