package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/examples/consumers/internal/shop"
	"github.com/semel-go/semel/examples/consumers/kafka"
	"github.com/semel-go/semel/store/memstore"
)

// open returns an engine and a cluster that speaks Kafka's protocol in this process.
func open() (*semel.Engine, *kfake.Cluster, error) {
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, err
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders", "dead", "parked"))
	return engine, cluster, err
}

func client(cluster *kfake.Cluster, opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(opts, kgo.SeedBrokers(cluster.ListenAddrs()...))...)
}

// member is a consumer of the group.
func member(cluster *kfake.Cluster) (*kgo.Client, error) {
	return client(cluster, kgo.ConsumeTopics("orders"), kgo.ConsumerGroup("charge"), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll())
}

// An order is produced twice, as its producer did not hear of the first. It is charged once.
func ExampleWorker() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	engine, cluster, err := open()
	if err != nil {
		panic(err)
	}
	defer cluster.Close()
	defer func() { _ = engine.Close(ctx) }()
	c, err := member(cluster)
	if err != nil {
		panic(err)
	}
	defer c.CloseAllowingRebalance()
	for range 2 {
		if err := c.ProduceSync(ctx, &kgo.Record{Topic: "orders", Key: []byte("order-1"), Value: []byte("10 EUR")}).FirstErr(); err != nil {
			panic(err)
		}
	}
	if err := c.ProduceSync(ctx, &kgo.Record{Topic: "orders", Key: []byte("order-2"), Value: []byte("the last")}).FirstErr(); err != nil {
		panic(err)
	}
	worker := kafka.Worker{Client: c, Engine: engine, Dead: "dead", Parked: "parked", Charge: func(_ context.Context, order string, body []byte) (string, error) {
		fmt.Printf("charging %s: %s\n", order, body)
		if order == "order-2" {
			stop()
		}
		return "receipt", nil
	}}
	fmt.Println(worker.Consume(ctx))
	// Output:
	// charging order-1: 10 EUR
	// charging order-2: the last
	// context canceled
}

// Everything that can happen to a record, with a consumer that dies before it has committed: each
// order is charged once (I1, I3), a conflict is dead (I5), what is unknown is parked (I7), and all is committed.
func TestConsume(t *testing.T) {
	engine, cluster, err := open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	t.Cleanup(func() { _ = engine.Close(context.WithoutCancel(t.Context())) })
	looker, err := client(cluster, kgo.ConsumeTopics("dead", "parked"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(looker.Close)
	for _, o := range shop.Orders() {
		if err := looker.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Key: []byte(o.Number), Value: []byte(o.Body)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	var s shop.Shop
	consume := func(ctx context.Context) <-chan error {
		c, err := member(cluster)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() {
			defer c.CloseAllowingRebalance()
			ended <- kafka.Worker{Client: c, Engine: engine, Charge: s.Charge, Dead: "dead", Parked: "parked"}.Consume(ctx)
		}()
		return ended
	}
	first, cut := context.WithCancel(t.Context())
	s.OnCut(cut)
	if err := <-consume(first); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want that the consumer ends", err)
	}
	if got := committed(t, cluster); got != int64(len(shop.Orders())-1) {
		t.Errorf("got %d records committed, want all but the one whose commit was lost", got)
	}
	second, stop := context.WithCancel(t.Context())
	ended := consume(second)
	if err := shop.Until("all is committed", func() (bool, error) { return committed(t, cluster) == int64(len(shop.Orders())), nil }); err != nil {
		t.Error(err)
	}
	stop()
	<-ended
	if got := s.Charged(); !reflect.DeepEqual(got, shop.Charged) {
		t.Errorf("charged %v, want %v", got, shop.Charged)
	}
	got := map[string]map[string]int{"dead": {}, "parked": {}}
	for n := 0; n < len(shop.Dead)+len(shop.Parked); {
		for r := range looker.PollFetches(t.Context()).RecordsAll() {
			got[r.Topic][string(r.Value)]++
			n++
		}
	}
	if want := map[string]map[string]int{"dead": shop.Dead, "parked": shop.Parked}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// committed returns the group's offset.
func committed(t *testing.T, cluster *kfake.Cluster) int64 {
	t.Helper()
	return cluster.GroupInfo("charge").Commits["orders"][0].Offset
}
