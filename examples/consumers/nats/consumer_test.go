package nats_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"reflect"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/examples/consumers/internal/shop"
	"github.com/semel-go/semel/examples/consumers/nats"
	"github.com/semel-go/semel/store/memstore"
	"github.com/semel-go/semel/store/natsstore/natstest"
)

func TestMain(m *testing.M) { os.Exit(natstest.Main(m)) }

// Everything that can happen to a message, with a consumer that dies before it has acknowledged: each order is
// charged once (I1, I3), a conflict is dead (I5), what is unknown is parked (I7), and nothing is left.
func TestConsume(t *testing.T) {
	server := natstest.Start(t, natstest.Options{})
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close(context.WithoutCancel(t.Context())) })
	js := connect(t, server)
	orders := stream(t, js, jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders"}, Duplicates: 100 * time.Millisecond})
	others := stream(t, js, jetstream.StreamConfig{Name: "OTHERS", Subjects: []string{"others.*"}})
	for i, o := range shop.Orders() {
		msg := natsgo.NewMsg("orders")
		msg.Data = []byte(o.Body)
		if o.Number != "" {
			msg.Header.Set(natsgo.MsgIdHdr, o.Number)
		}
		if err := shop.Until("JetStream has forgotten the number", func() (bool, error) {
			ack, err := js.PublishMsg(t.Context(), msg)
			return err == nil && !ack.Duplicate && ack.Sequence == uint64(i+1), err
		}); err != nil {
			t.Fatal(err)
		}
	}
	var s shop.Shop
	consume := func(ctx context.Context, js jetstream.JetStream) <-chan error {
		c, err := js.CreateOrUpdateConsumer(t.Context(), "ORDERS", jetstream.ConsumerConfig{
			Durable: "charge", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		w := nats.Worker{JetStream: js, Engine: engine, Charge: s.Charge, Dead: "others.dead", Parked: "others.parked"}
		go func() { ended <- w.Consume(ctx, c) }()
		return ended
	}
	first, cut := context.WithCancel(t.Context())
	s.OnCut(cut)
	if err := <-consume(first, js); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want that the consumer ends", err)
	}
	second, stop := context.WithCancel(t.Context())
	ended := consume(second, connect(t, server))
	if err := shop.Until("all is acknowledged", func() (bool, error) {
		c, err := orders.Consumer(t.Context(), "charge")
		if err != nil {
			return false, err
		}
		info, err := c.Info(t.Context())
		return err == nil && info.AckFloor.Stream == uint64(len(shop.Orders())) && info.NumAckPending == 0, err
	}); err != nil {
		t.Error(err)
	}
	stop()
	<-ended
	if got := s.Charged(); !reflect.DeepEqual(got, shop.Charged) {
		t.Errorf("charged %v, want %v", got, shop.Charged)
	}
	for subject, want := range map[string]map[string]int{"others.dead": shop.Dead, "others.parked": shop.Parked} {
		if got := bodies(t, others, subject); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", subject, got, want)
		}
	}
}

func connect(t *testing.T, server *natstest.Server) jetstream.JetStream {
	t.Helper()
	nc, err := natsgo.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func stream(t *testing.T, js jetstream.JetStream, cfg jetstream.StreamConfig) jetstream.Stream {
	t.Helper()
	s, err := js.CreateStream(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bodies counts what is in a stream under a subject.
func bodies(t *testing.T, s jetstream.Stream, subject string) map[string]int {
	t.Helper()
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]int)
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
		msg, err := s.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		if msg.Subject == subject {
			got[string(msg.Data)]++
		}
	}
	return got
}

// A handler that takes longer than AckWait keeps its message, so that nobody else gets it, and the next one does not
// come before its time: each is delivered once.
func TestSlowHandlerKeepsItsMessage(t *testing.T) {
	server := natstest.Start(t, natstest.Options{})
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close(context.WithoutCancel(t.Context())) })
	js := connect(t, server)
	stream(t, js, jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders"}})
	c, err := js.CreateConsumer(t.Context(), "ORDERS", jetstream.ConsumerConfig{
		Durable: "charge", AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, order := range []string{"order-1", "order-2"} {
		msg := natsgo.NewMsg("orders")
		msg.Header.Set(natsgo.MsgIdHdr, order)
		if _, err := js.PublishMsg(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	w := nats.Worker{JetStream: js, Engine: engine, Charge: func(context.Context, string, []byte) (string, error) {
		time.Sleep(3 * time.Second) // AckWait is by the server's clock
		return "receipt", nil
	}}
	go func() { ended <- w.Consume(ctx, c) }()
	var info *jetstream.ConsumerInfo
	if err := shop.Until("both are acknowledged", func() (bool, error) {
		info, err = c.Info(t.Context())
		return err == nil && info.AckFloor.Stream == 2, err
	}); err != nil {
		t.Error(err)
	}
	if info.Delivered.Consumer != 2 {
		t.Errorf("got %d deliveries, want 2", info.Delivered.Consumer)
	}
	stop()
	<-ended
}
