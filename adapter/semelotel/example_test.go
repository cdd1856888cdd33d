package semelotel_test

import (
	"context"
	"fmt"
	"log/slog"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelotel"
	"github.com/semel-go/semel/store/memstore"
)

func ExampleNew() {
	spans := tracetest.NewInMemoryExporter() // a program has one for its collector
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	telemetry, err := semelotel.New(semelotel.Config{TracerProvider: provider})
	if err != nil {
		panic(err)
	}
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{Observe: telemetry.Observe, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	defer func() { _ = engine.Close(context.Background()) }()

	ctx := context.Background()
	out, err := engine.Begin(ctx, semel.Call{Key: semel.Key{Scope: "tenant", ID: "order-1"}, Route: "POST /payments"})
	if err != nil {
		panic(err)
	}
	if err := out.Claim.Complete(ctx, semel.Response{Status: 201}); err != nil {
		panic(err)
	}
	for _, s := range spans.GetSpans() {
		fmt.Println(s.Name)
	}
	// Output:
	// semel.reserve
	// semel.complete
}
