package semelwatermill_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelwatermill"
	"github.com/semel-go/semel/store/memstore"
)

// receiptsOf is a handler's work that is another one each time that it runs.
func receiptsOf(msg *message.Message, run int64) []*message.Message {
	var all []*message.Message
	for _, to := range []string{"customer", "ledger", "customer"} {
		r := message.NewMessage(watermill.NewUUID(), fmt.Appendf(nil, "run %d of %s for %s", run, msg.Payload, to))
		r.Metadata.Set("to", to)
		r.Metadata.Set("empty", "")
		all = append(all, r)
	}
	return append(all, message.NewMessage("", nil))
}

// I3: a delivery that comes again, as the publisher failed, publishes the messages of the first
// run, UUID, metadata and payload in order, and the handler does not run again.
func TestReplaysProducedMessages(t *testing.T) {
	var runs atomic.Int64
	var first []*message.Message
	r := start(t, func(msg *message.Message) ([]*message.Message, error) {
		first = receiptsOf(msg, runs.Add(1))
		return first, nil
	}, guard(t, memory(t), semelwatermill.Config{}).Middleware)
	r.fails = 2
	r.send(order("m1", "10 EUR"))
	if all := r.settled(1); len(all) != 3 {
		t.Errorf("got %d deliveries, want 3: two whose messages could not be published", len(all))
	}
	if runs.Load() != 1 {
		t.Errorf("the handler ran %d times, want once", runs.Load())
	}
	wantSame(t, r.receipts(), first, 1)
	r.send(order("m1", "10 EUR")) // the broker lost the acknowledgement
	r.settled(2)
	wantSame(t, r.receipts(), first, 2)
	if runs.Load() != 1 {
		t.Errorf("the handler ran %d times, want once", runs.Load())
	}
}

// I14: the record is durable before anything is published, and that is before the
// acknowledgement.
func TestAcksAfterCompletion(t *testing.T) {
	type moment struct {
		step  string
		acked bool
		kind  semel.Kind
	}
	var mu sync.Mutex
	var moments []moment
	var r *rig
	store := memstore.New(memstore.Config{})
	other := newEngine(t, store, semel.Config{}) // looks at the record as another process would
	note := func(step string) {
		r.mu.Lock()
		acked := r.deliveries[0].acked()
		r.mu.Unlock()
		out, err := other.Begin(t.Context(), semel.Call{Key: semel.Key{Scope: "n:charge", ID: "m1"}, Fingerprint: semel.FingerprintOf([]byte("10 EUR"))})
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		moments = append(moments, moment{step, acked, out.Kind})
	}
	e := newEngine(t, store, semel.Config{Observe: func(ctx context.Context, op semel.Op) (context.Context, func(semel.Event)) {
		if op.Step == semel.StepComplete {
			note("completing")
		}
		return ctx, func(semel.Event) {}
	}})
	r = start(t, func(msg *message.Message) ([]*message.Message, error) {
		return receiptsOf(msg, 1), nil
	}, guard(t, e, semelwatermill.Config{}).Middleware)
	r.publishing = func() { note("publishing") }
	r.send(order("m1", "10 EUR"))
	r.settled(1)
	want := []moment{{"completing", false, semel.InFlight}, {"publishing", false, semel.Replay}}
	if fmt.Sprint(moments) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", moments, want)
	}
}

// I1: of many deliveries of one message at once one runs the handler; the others wait for it
// and publish its messages.
func TestDuplicatesAtOnce(t *testing.T) {
	const n = 8
	var runs atomic.Int64
	var first []*message.Message
	release := make(chan struct{})
	e, refusals := memory(t), make(chan error, 1)
	r := start(t, func(msg *message.Message) ([]*message.Message, error) {
		<-release
		first = receiptsOf(msg, runs.Add(1))
		return first, nil
	}, refusalsTo(refusals), guard(t, e, semelwatermill.Config{}).Middleware)
	for range n {
		r.send(order("m1", "10 EUR"))
	}
	r.until("all but one wait", func() bool { return e.Waiting() == n-1 || len(refusals) > 0 })
	close(release)
	if all := r.settled(n); len(all) != n {
		t.Errorf("got %d deliveries, want %d: who waits is not refused", len(all), n)
	}
	if runs.Load() != 1 {
		t.Errorf("the handler ran %d times, want once", runs.Load())
	}
	wantSame(t, r.receipts(), first, n)
}

// A delivery that does not wait is refused, and not as terminal: the broker brings it again.
func TestInFlight(t *testing.T) {
	refusals := make(chan error, 1000)
	var runs atomic.Int64
	release := make(chan struct{})
	mw := guard(t, memory(t), semelwatermill.Config{Wait: -1})
	r := start(t, func(*message.Message) ([]*message.Message, error) {
		runs.Add(1)
		<-release
		return nil, nil
	}, refusalsTo(refusals), mw.Middleware)
	r.send(order("m1", "10 EUR"), order("m1", "10 EUR"))
	err := <-refusals
	if refused, ok := errors.AsType[*semelwatermill.RefusedError](err); !ok || !errors.Is(err, semel.ErrInFlight) || refused.Ref == "" || semelwatermill.Terminal(err) {
		t.Errorf("got %v, want a refusal for now that names the slot", err)
	}
	if strings.Contains(err.Error(), "m1") {
		t.Errorf("the key is in %q", err)
	}
	close(release)
	r.settled(2)
	if runs.Load() != 1 {
		t.Errorf("the handler ran %d times, want once", runs.Load())
	}
}

// refusalsTo is a middleware that shows the errors of those within, if somebody looks.
func refusalsTo(c chan<- error) message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			msgs, err := next(msg)
			if err != nil {
				select {
				case c <- err:
				default:
				}
			}
			return msgs, err
		}
	}
}

// I5: another payload, or another value of a field that counts, under a known key is refused for
// good; a field that does not count is free.
func TestConflict(t *testing.T) {
	mw := guard(t, memory(t), semelwatermill.Config{Key: semelwatermill.KeyFromMetadata("order"), FingerprintMetadata: []string{"currency", "kind"}})
	h := inHandler(mw.Middleware(func(msg *message.Message) ([]*message.Message, error) { return []*message.Message{msg.Copy()}, nil }))
	first := order("m1", "10", "order", "7", "currency", "EUR")
	if _, err := h(first); err != nil {
		t.Fatal(err)
	}
	for name, msg := range map[string]*message.Message{
		"another payload":          order("m2", "20", "order", "7", "currency", "EUR"),
		"another value":            order("m3", "10", "order", "7", "currency", "USD"),
		"a field less":             order("m4", "10", "order", "7"),
		"a field more":             order("m5", "10", "order", "7", "currency", "EUR", "kind", ""),
		"a value in its neighbour": order("m6", "10", "order", "7", "kind", "EUR"),
	} {
		if msgs, err := h(msg); !errors.Is(err, semel.ErrConflict) || !semelwatermill.Terminal(err) || msgs != nil {
			t.Errorf("%s: got %v, %v, want a conflict for good", name, msgs, err)
		}
	}
	msgs, err := h(order("m7", "10", "order", "7", "currency", "EUR", "trace", "4711"))
	if err != nil || len(msgs) != 1 || !msgs[0].Equals(first) {
		t.Errorf("got %v, %v, want a replay: the UUID and the trace do not count", msgs, err)
	}
}

// inHandler calls h as the router's handler "charge" would be called.
func inHandler(h message.HandlerFunc) message.HandlerFunc { return asHandler("charge", h) }

var handlerContexts sync.Map

// handlerCtx returns a context that names a handler, which only a router can make.
func handlerCtx(name string) context.Context {
	once, _ := handlerContexts.LoadOrStore(name, sync.OnceValue(func() context.Context { return seenBy(name) }))
	made, _ := once.(func() context.Context)
	return made()
}

func asHandler(name string, h message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		msg.SetContext(handlerCtx(name))
		return h(msg)
	}
}

// The handler works under the claim's context, which outlives that of the message, and the
// message has its own again afterwards.
func TestContextIsDetached(t *testing.T) {
	mw := guard(t, memory(t), semelwatermill.Config{})
	for _, ending := range []string{"returns", "fails", "panics"} {
		t.Run(ending, func(t *testing.T) {
			ctx, cancel := context.WithCancel(handlerCtx("charge"))
			msg := message.NewMessageWithContext(ctx, ending, nil)
			func() {
				defer func() { _ = recover() }()
				_, _ = mw.Middleware(func(msg *message.Message) ([]*message.Message, error) {
					inner := msg.Context()
					cancel()
					if inner.Err() != nil || semel.FromContext(inner) == nil || message.HandlerNameFromCtx(inner) != "charge" {
						t.Errorf("got %v, claim %v: want a context that goes on, with the claim and the values", inner.Err(), semel.FromContext(inner))
					}
					if text := fmt.Sprintf("%v %+v", inner, inner); strings.Contains(text, ending) {
						t.Errorf("the key is in %q", text)
					}
					switch ending {
					case "fails":
						return nil, errDeclined
					case "panics":
						panic(errDeclined)
					}
					return nil, nil
				})(msg)
			}()
			if msg.Context() != ctx {
				t.Errorf("the message has the context %v afterwards, want its own", msg.Context())
			}
		})
	}
	msg := message.NewMessageWithContext(handlerCtx("charge"), "ended", nil)
	ctx, cancel := context.WithCancel(msg.Context())
	cancel()
	msg.SetContext(ctx)
	if _, err := mw.Middleware(never(t))(msg); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that nothing begins for a message that is given up", err)
	}
}

func never(t *testing.T) message.HandlerFunc {
	t.Helper()
	return func(*message.Message) ([]*message.Message, error) {
		t.Error("the handler ran")
		return nil, nil
	}
}

// A router that shuts down waits for the handler, whose outcome is kept.
func TestShutdownInTheMiddle(t *testing.T) {
	store := memstore.New(memstore.Config{})
	entered, release := make(chan context.Context, 1), make(chan struct{})
	e := newEngine(t, store, semel.Config{})
	r := start(t, func(msg *message.Message) ([]*message.Message, error) {
		<-release
		if err := msg.Context().Err(); err != nil {
			t.Errorf("got %v in the handler", err)
		}
		return []*message.Message{order("r1", "paid")}, nil
	}, func(next message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			entered <- msg.Context()
			return next(msg)
		}
	}, guard(t, e, semelwatermill.Config{}).Middleware)
	r.send(order("m1", "10 EUR"))
	outer := <-entered
	r.until("the attempt runs", func() bool { n, _ := e.Running(); return n == 1 })
	stopped := make(chan struct{})
	go func() { r.stop(); close(stopped) }()
	<-outer.Done()
	close(release)
	<-stopped
	msgs, err := inHandler(guard(t, newEngine(t, store, semel.Config{}), semelwatermill.Config{}).Middleware(never(t)))(order("m1", "10 EUR"))
	if err != nil || len(msgs) != 1 || msgs[0].UUID != "r1" {
		t.Errorf("got %v, %v, want a replay in the next process", msgs, err)
	}
}

// I13: two handlers that get one message run once each, also under one middleware.
func TestHandlersAreApart(t *testing.T) {
	e := memory(t)
	scopes := map[string]semelwatermill.ScopeFunc{
		"by handler": semelwatermill.ByHandler(), "in a": semelwatermill.ByGroup("a"), "in b": semelwatermill.ByGroup("b"),
		"in a:charge": semelwatermill.ByGroup("a:charge"),
	}
	for name, scope := range scopes {
		mw, err := semelwatermill.New(e, scope, semelwatermill.Config{})
		if err != nil {
			t.Fatal(err)
		}
		for _, handler := range []string{"charge", "notify", "charge:notify", "g:1:a:charge"} {
			runs := 0
			h := asHandler(handler, mw.Middleware(func(*message.Message) ([]*message.Message, error) { runs++; return nil, nil }))
			for range 2 {
				if _, err := h(order("m1", "10 EUR")); err != nil {
					t.Errorf("%s, %s: %v", name, handler, err)
				}
			}
			if runs != 1 {
				t.Errorf("%s, %s: the handler ran %d times, want once", name, handler, runs)
			}
		}
	}
}

// Guarded twice by one engine is one attempt, and not one that waits for itself; a context that travels
// to another message guards nothing there.
func TestNested(t *testing.T) {
	mw := guard(t, memory(t), semelwatermill.Config{})
	runs := 0
	inner := mw.Middleware(func(msg *message.Message) ([]*message.Message, error) {
		runs++
		return []*message.Message{order("r1", fmt.Sprint(runs))}, nil
	})
	for range 2 {
		msgs, err := inHandler(mw.Middleware(inner))(order("m1", "10 EUR"))
		if err != nil || len(msgs) != 1 || string(msgs[0].Payload) != "1" {
			t.Errorf("got %v, %v, want the first run's message", msgs, err)
		}
	}
	_, err := inHandler(guard(t, memory(t), semelwatermill.Config{Wait: -1}).Middleware(func(msg *message.Message) ([]*message.Message, error) {
		return guard(t, memory(t), semelwatermill.Config{}).Middleware(inner)(msg) // another engine's
	}))(order("m2", "10 EUR"))
	if err != nil || runs != 2 {
		t.Errorf("got %v after %d runs, want that engines do not know one another", err, runs)
	}
	travels := guard(t, memory(t), semelwatermill.Config{})
	_, err = inHandler(travels.Middleware(func(msg *message.Message) ([]*message.Message, error) {
		return travels.Middleware(never(t))(msg.CopyWithContext())
	}))(order("m3", "10 EUR"))
	if !errors.Is(err, semel.ErrInFlight) {
		t.Errorf("got %v, want that a copy of the message is a delivery of its own", err)
	}
}

// What cannot be named does not run.
func TestNoKey(t *testing.T) {
	e := memory(t)
	byOrder := guard(t, e, semelwatermill.Config{Key: semelwatermill.KeyFromMetadata("order")})
	long := strings.Repeat("x", semel.MaxKeyLen+1)
	for name, c := range map[string]struct {
		h    message.HandlerFunc
		msg  *message.Message
		want error
	}{
		"no UUID":     {inHandler(guard(t, e, semelwatermill.Config{}).Middleware(never(t))), order("", "x"), semelwatermill.ErrNoKey},
		"no metadata": {inHandler(byOrder.Middleware(never(t))), order("m1", "x", "Order", "7"), semelwatermill.ErrNoKey},
		"empty":       {inHandler(byOrder.Middleware(never(t))), order("m1", "x", "order", ""), semelwatermill.ErrNoKey},
		"too long":    {inHandler(byOrder.Middleware(never(t))), order("m1", "x", "order", long), semel.ErrInvalidKey},
		"no router":   {guard(t, e, semelwatermill.Config{}).Middleware(never(t)), order("m1", "x"), semelwatermill.ErrNoScope},
	} {
		if _, err := c.h(c.msg); !errors.Is(err, c.want) || !semelwatermill.Terminal(err) {
			t.Errorf("%s: got %v, want %v for good", name, err, c.want)
		}
	}
}
