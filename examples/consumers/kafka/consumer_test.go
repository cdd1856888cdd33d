package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

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
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders", "dead", "parked"), kfake.SeedTopics(2, "pairs"))
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

// A record that has to wait holds up neither the other partitions, nor a rebalance: the member stays one, and the
// record is charged once when it can be (I1).
func TestStuckRecord(t *testing.T) {
	engine, cluster, err := open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	t.Cleanup(func() { _ = engine.Close(context.WithoutCancel(t.Context())) })
	producer, err := client(cluster, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(producer.Close)
	produce := func(order string, partition int32) {
		record := &kgo.Record{Topic: "pairs", Partition: partition, Key: []byte(order), Value: []byte("10 EUR")}
		if err := producer.ProduceSync(t.Context(), record).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	var ledgerOpen atomic.Bool
	charged, ended := make(chan string, 9), make(chan error, 2)
	ctx, stop := context.WithCancel(t.Context())
	join := func() <-chan struct{} {
		joined := make(chan struct{}, 99)
		c, err := client(cluster, kgo.ConsumeTopics("pairs"), kgo.ConsumerGroup("charge"), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
			kgo.HeartbeatInterval(100*time.Millisecond), kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, got map[string][]int32) {
				if len(got["pairs"]) > 0 {
					joined <- struct{}{}
				}
			}))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer c.CloseAllowingRebalance()
			ended <- kafka.Worker{Client: c, Engine: engine, Dead: "dead", Parked: "parked", Charge: func(_ context.Context, order string, _ []byte) (string, error) {
				if order == "stuck" && !ledgerOpen.Load() {
					return "", semel.Retryable(errors.New("the ledger is not open yet"))
				}
				charged <- order
				return "receipt", nil
			}}.Consume(ctx)
		}()
		return joined
	}
	within := func(what string, done <-chan struct{}) {
		t.Helper()
		select {
		case <-done:
		case <-time.After(30 * time.Second): // a member that does not answer is expelled after a minute
			t.Fatalf("waited in vain: %s", what)
		}
	}
	next := func(want string) {
		t.Helper()
		select {
		case got := <-charged:
			if got != want {
				t.Errorf("charged %q, want %q", got, want)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%q was not charged", want)
		}
	}
	produce("stuck", 0)
	within("the first is a member", join())
	time.Sleep(300 * time.Millisecond) // it meets the record
	produce("other", 1)
	next("other")
	within("the second is a member", join())
	produce("stuck-2", 0)
	ledgerOpen.Store(true)
	next("stuck")
	next("stuck-2")
	if err := shop.Until("all is committed", func() (bool, error) {
		commits := cluster.GroupInfo("charge").Commits["pairs"]
		return commits[0].Offset == 2 && commits[1].Offset == 1, nil
	}); err != nil {
		t.Error(err)
	}
	stop()
	for range 2 {
		<-ended
	}
	if len(charged) > 0 {
		t.Errorf("charged again: %q", <-charged)
	}
}

// committed returns the group's offset.
func committed(t *testing.T, cluster *kfake.Cluster) int64 {
	t.Helper()
	return cluster.GroupInfo("charge").Commits["orders"][0].Offset
}
