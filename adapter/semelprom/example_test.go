package semelprom_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelprom"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
)

func ExampleNew() {
	metrics := semelprom.New(semelprom.Config{Version: "v1.2.3"})
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{Observe: metrics.Observe, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	defer func() { _ = engine.Close(context.Background()) }()
	metrics.Watch(engine)
	metrics.Expect("POST /payments") // begins at zero
	if _, err := semelhttp.New(engine, semelhttp.ByHeader("Authorization"), metrics.HTTP(semelhttp.Config{})); err != nil {
		panic(err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics)

	families, err := registry.Gather()
	if err != nil {
		panic(err)
	}
	for _, f := range families {
		if f.GetName() == "semel_requests_total" {
			fmt.Println(f.GetName(), "for", len(f.GetMetric())/6, "routes")
		}
	}
	// Output: semel_requests_total for 2 routes
}
