package semelwatermill_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelwatermill"
	"github.com/semel-go/semel/store/memstore"
)

var errDeclined = errors.New("declined")

func newEngine(tb testing.TB, store semel.Store, cfg semel.Config) *semel.Engine {
	tb.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	e, err := semel.New(store, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = e.Close(context.WithoutCancel(tb.Context())) })
	return e
}

func memory(tb testing.TB) *semel.Engine {
	tb.Helper()
	return newEngine(tb, memstore.New(memstore.Config{}), semel.Config{})
}

func guard(tb testing.TB, e *semel.Engine, cfg semelwatermill.Config) *semelwatermill.Middleware {
	tb.Helper()
	mw, err := semelwatermill.New(e, semelwatermill.ByHandler(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return mw
}

// delivery is one time that the broker gave a message to the router, and how that ended.
type delivery struct{ msg *message.Message }

func (d delivery) acked() bool {
	select {
	case <-d.msg.Acked():
		return true
	default:
		return false
	}
}

// rig is a real router between two topics of a real broker in memory.
type rig struct {
	t      *testing.T
	pubsub *gochannel.GoChannel
	router *message.Router

	mu         sync.Mutex
	deliveries []delivery
	published  []*message.Message // what the publisher took, in order
	tries      int                // how often it was asked to publish
	fails      int                // so many of them fail
	publishing func()             // called before each
	stop       func()
}

// start runs a router with one handler and its middlewares, the first outermost.
func start(t *testing.T, handler message.HandlerFunc, mws ...message.HandlerMiddleware) *rig {
	t.Helper()
	return startWith(t, func(*rig) (message.HandlerFunc, []message.HandlerMiddleware) { return handler, mws })
}

// startWith is start for middlewares that need the broker.
func startWith(t *testing.T, with func(*rig) (message.HandlerFunc, []message.HandlerMiddleware)) *rig {
	t.Helper()
	r := &rig{t: t, pubsub: gochannel.NewGoChannel(gochannel.Config{OutputChannelBuffer: 100}, watermill.NopLogger{})}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: time.Minute}, watermill.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	r.router = router
	handler, mws := with(r)
	router.AddMiddleware(mws...)
	router.AddHandler("charge", "orders", subscriber{r}, "receipts", publisher{r}, handler)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- router.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the router ended with %v", err)
		}
		_ = r.pubsub.Close()
	})
	t.Cleanup(func() { r.stop() })
	<-router.Running()
	return r
}

// subscriber notes what the broker delivers.
type subscriber struct{ r *rig }

func (s subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	in, err := s.r.pubsub.Subscribe(ctx, topic)
	if err != nil {
		return nil, err
	}
	out := make(chan *message.Message)
	go func() { // ends with the subscription
		defer close(out)
		for msg := range in {
			s.r.mu.Lock()
			s.r.deliveries = append(s.r.deliveries, delivery{msg})
			s.r.mu.Unlock()
			out <- msg
		}
	}()
	return out, nil
}

func (s subscriber) Close() error { return nil }

var errLine = errors.New("the line to the broker is cut")

// publisher notes what the router publishes, and can fail.
type publisher struct{ r *rig }

func (p publisher) Publish(topic string, msgs ...*message.Message) error {
	r := p.r
	if r.publishing != nil {
		r.publishing()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tries++; r.tries <= r.fails {
		return errLine
	}
	for _, msg := range msgs {
		r.published = append(r.published, msg.Copy())
	}
	return nil
}

func (p publisher) Close() error { return nil }

func order(uuid, payload string, metadata ...string) *message.Message {
	msg := message.NewMessage(uuid, message.Payload(payload))
	for i := 0; i < len(metadata); i += 2 {
		msg.Metadata.Set(metadata[i], metadata[i+1])
	}
	return msg
}

func (r *rig) send(msgs ...*message.Message) {
	r.t.Helper()
	if err := r.pubsub.Publish("orders", msgs...); err != nil {
		r.t.Fatal(err)
	}
}

// settled waits until n deliveries were acknowledged, and returns all there were.
func (r *rig) settled(n int) []delivery {
	r.t.Helper()
	var all []delivery
	r.until("messages are acknowledged", func() bool {
		r.mu.Lock()
		all = append(all[:0], r.deliveries...)
		r.mu.Unlock()
		acked := 0
		for _, d := range all {
			if d.acked() {
				acked++
			}
		}
		return acked >= n
	})
	return all
}

// until waits for what has to come. Its patience is used up only when something is broken.
func (r *rig) until(what string, done func() bool) {
	r.t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("waited in vain until %s", what)
		}
	}
}

func (r *rig) receipts() []*message.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*message.Message(nil), r.published...)
}

// wantSame fails unless got are n times the messages of want, in order.
func wantSame(t *testing.T, got, want []*message.Message, n int) {
	t.Helper()
	if len(got) != n*len(want) {
		t.Fatalf("got %d messages, want %d times %d", len(got), n, len(want))
	}
	for i, msg := range got {
		if w := want[i%len(want)]; !msg.Equals(w) {
			t.Errorf("message %d: got %s %v %q, want %s %v %q", i, msg.UUID, msg.Metadata, msg.Payload, w.UUID, w.Metadata, w.Payload)
		}
	}
}

// seenBy returns a context as a router gives it to the handler of that name: the names of its
// values are private to Watermill.
func seenBy(name string) context.Context {
	pubsub := gochannel.NewGoChannel(gochannel.Config{Persistent: true}, watermill.NopLogger{})
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		panic(err)
	}
	got := make(chan context.Context, 1)
	router.AddConsumerHandler(name, "any", pubsub, func(msg *message.Message) error {
		got <- context.WithoutCancel(msg.Context())
		return nil
	})
	ctx, cancel := context.WithCancel(context.Background()) // of no test: it is kept for all
	defer cancel()
	go func() { _ = router.Run(ctx) }() // ends with ctx
	<-router.Running()
	if err := pubsub.Publish("any", message.NewMessage("any", nil)); err != nil {
		panic(err)
	}
	return <-got
}
