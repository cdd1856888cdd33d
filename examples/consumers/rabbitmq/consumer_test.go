package rabbitmq_test

import (
	"context"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/examples/consumers"
	"github.com/semel-go/semel/examples/consumers/internal/shop"
	"github.com/semel-go/semel/examples/consumers/rabbitmq"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/memstore"
)

func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }

// rig is a queue with its dead letters and a queue for what is parked, on a real server.
type rig struct {
	t      *testing.T
	server *servertest.Server
	ch     *amqp.Channel
	name   string
	engine *semel.Engine
	shop   shop.Shop
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, server: servertest.RabbitMQ(t), name: servertest.Name(t)}
	_, r.ch = r.connect()
	declare := func(name string, args amqp.Table) {
		if _, err := r.ch.QueueDeclare(name, true, false, false, false, args); err != nil {
			t.Fatal(err)
		}
	}
	declare(r.name+".dead", nil)
	declare(r.name, amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": r.name + ".dead"})
	declare(r.name+".parked", nil)
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close(context.WithoutCancel(t.Context())) })
	r.engine = engine
	return r
}

func (r *rig) connect() (*amqp.Connection, *amqp.Channel) {
	r.t.Helper()
	conn, err := amqp.Dial(r.server.DSN())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		r.t.Fatal(err)
	}
	return conn, ch
}

func (r *rig) send(orders ...shop.Order) {
	r.t.Helper()
	for _, o := range orders {
		err := r.ch.PublishWithContext(r.t.Context(), "", r.name, false, false, amqp.Publishing{MessageId: o.Number, Body: []byte(o.Body)})
		if err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *rig) worker(ch *amqp.Channel, parked string) rabbitmq.Worker {
	return rabbitmq.Worker{Channel: ch, Engine: r.engine, Charge: r.shop.Charge, Parked: parked}
}

// bodies takes what is in a queue.
func (r *rig) bodies(queue string) map[string]int {
	r.t.Helper()
	got := make(map[string]int)
	for {
		d, ok, err := r.ch.Get(queue, true)
		if err != nil {
			r.t.Fatal(err)
		}
		if !ok {
			return got
		}
		got[string(d.Body)]++
	}
}

// Everything that can happen to a message, with a consumer whose connection is cut before it has acknowledged: each
// order is charged once (I1, I3), a conflict is dead (I5), what is unknown is parked (I7), and nothing is left.
func TestConsume(t *testing.T) {
	r := newRig(t)
	r.send(shop.Orders()...)
	conn, ch := r.connect()
	r.shop.OnCut(func() { _ = conn.Close() })
	if err := r.worker(ch, r.name+".parked").Consume(t.Context(), r.name); err == nil {
		t.Fatal("got no error, want that the consumer ends without its connection")
	}
	ctx, stop := context.WithCancel(t.Context())
	_, ch = r.connect()
	ended := make(chan error, 1)
	go func() { ended <- r.worker(ch, r.name+".parked").Consume(ctx, r.name) }()
	dead, parked := make(map[string]int), make(map[string]int)
	gather := func(into map[string]int, queue string) {
		for body, n := range r.bodies(queue) {
			into[body] += n
		}
	}
	if err := shop.Until("all is somewhere", func() (bool, error) {
		gather(dead, r.name+".dead")
		gather(parked, r.name+".parked")
		return reflect.DeepEqual(dead, shop.Dead) && reflect.DeepEqual(parked, shop.Parked) && reflect.DeepEqual(r.shop.Charged(), shop.Charged), nil
	}); err != nil {
		t.Errorf("%v: dead %v, parked %v, charged %v", err, dead, parked, r.shop.Charged())
	}
	r.send(shop.Order{Number: "order-5", Body: "the last"}) // in order behind what was given back
	if err := shop.Until("the last is charged", func() (bool, error) { return r.shop.Charged()["order-5 the last"] == 1, nil }); err != nil {
		t.Error(err)
	}
	stop()
	<-ended
	_ = ch.Close() // or what it holds would not be seen
	if got := r.bodies(r.name); len(got) != 0 && !reflect.DeepEqual(got, map[string]int{"the last": 1}) {
		t.Errorf("got %v in the queue, want nothing but perhaps the last", got)
	}
	if got := r.shop.Charged()["order-4 cuts the line"]; got != 1 {
		t.Errorf("charged order-4 %d times, want once", got)
	}
}

// A message that cannot be parked is not acknowledged: it is in its queue still.
func TestParkedNowhere(t *testing.T) {
	r := newRig(t)
	_, err := semel.Do(t.Context(), r.engine, consumers.Call("rabbitmq/charge", "order-2", []byte("crashes")),
		func(ctx context.Context) (string, error) { return r.shop.Charge(ctx, "order-2", []byte("crashes")) })
	if err == nil {
		t.Fatal("got no error, want that nobody knows what has happened")
	}
	r.send(shop.Order{Number: "order-2", Body: "crashes"}, shop.Order{Number: "order-4", Body: "cuts the line"})
	conn, ch := r.connect()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	r.shop.OnCut(stop) // if it gets that far
	err = r.worker(ch, r.name+".nowhere").Consume(ctx, r.name)
	if err == nil || !strings.Contains(err.Error(), "NO_ROUTE") {
		t.Fatalf("got %v, want that there is no such queue", err)
	}
	_ = conn.Close()
	got := make(map[string]int)
	if err := shop.Until("it is in the queue again", func() (bool, error) {
		for body, n := range r.bodies(r.name) {
			got[body] += n
		}
		return len(got) == 2, nil
	}); err != nil {
		t.Error(err)
	}
	if got["crashes"] != 1 {
		t.Errorf("got %v in the queue, want the message", got)
	}
}
