package semelwatermill_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelwatermill"
)

// line is a broker that costs nothing: a channel in, and nowhere out.
type line chan *message.Message

func (l line) Subscribe(context.Context, string) (<-chan *message.Message, error) { return l, nil }
func (l line) Publish(string, ...*message.Message) error                          { return nil }
func (l line) Close() error                                                       { return nil }

// BenchmarkRouter is one message through a router, from its delivery to its acknowledgement, on a
// store in memory, with a handler that produces one message of 1 KiB: bare, with the core's guarded call,
// with semel.Do by hand, and with the middleware, first and replayed.
func BenchmarkRouter(b *testing.B) {
	payload := make([]byte, 1<<10)
	produce := func(msg *message.Message) ([]*message.Message, error) {
		return []*message.Message{message.NewMessage(msg.UUID, payload)}, nil
	}
	for _, c := range []struct {
		name   string
		guard  func(e *semel.Engine) message.HandlerMiddleware
		replay bool
	}{
		{"bare", func(*semel.Engine) message.HandlerMiddleware {
			return func(next message.HandlerFunc) message.HandlerFunc { return next }
		}, false},
		{"begin", beginByHand, false},
		{"do", doByHand, false},
		{"semel", func(e *semel.Engine) message.HandlerMiddleware {
			return guard(b, e, semelwatermill.Config{}).Middleware
		}, false},
		{"do-replay", doByHand, true},
		{"semel-replay", func(e *semel.Engine) message.HandlerMiddleware {
			return guard(b, e, semelwatermill.Config{}).Middleware
		}, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			e := memory(b)
			router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
			if err != nil {
				b.Fatal(err)
			}
			in := make(line)
			router.AddMiddleware(c.guard(e))
			router.AddHandler("charge", "orders", in, "receipts", in, produce)
			ended := make(chan error, 1)
			go func() { ended <- router.Run(b.Context()) }()
			<-router.Running()
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				if !c.replay {
					n++
				}
				msg := message.NewMessage(strconv.Itoa(n), payload)
				in <- msg
				<-msg.Acked()
			}
			close(in)
			<-ended
		})
	}
}

// doByHand is what a handler would do without the middleware.
func doByHand(e *semel.Engine) message.HandlerMiddleware {
	type produced struct {
		UUID     string
		Metadata map[string]string
		Payload  []byte
	}
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			call := semel.Call{
				Key: semel.Key{Scope: message.HandlerNameFromCtx(msg.Context()), ID: msg.UUID}, Fingerprint: semel.FingerprintOf(msg.Payload),
				Route: message.HandlerNameFromCtx(msg.Context()),
			}
			r, err := semel.Do(msg.Context(), e, call, func(context.Context) ([]produced, error) {
				msgs, err := next(msg)
				var all []produced
				for _, m := range msgs {
					all = append(all, produced{m.UUID, m.Metadata, m.Payload})
				}
				return all, err
			})
			var msgs []*message.Message
			for _, p := range r.Value {
				m := message.NewMessage(p.UUID, p.Payload)
				m.Metadata = p.Metadata
				msgs = append(msgs, m)
			}
			return msgs, err
		}
	}
}

// BenchmarkHandler is the same without a router.
func BenchmarkHandler(b *testing.B) {
	payload := make([]byte, 1<<10)
	produce := func(msg *message.Message) ([]*message.Message, error) {
		return []*message.Message{message.NewMessage(msg.UUID, payload)}, nil
	}
	for name, wrap := range map[string]func(*semel.Engine) message.HandlerMiddleware{
		"do": doByHand, "semel": func(e *semel.Engine) message.HandlerMiddleware {
			return guard(b, e, semelwatermill.Config{}).Middleware
		},
		"begin": beginByHand,
	} {
		b.Run(name, func(b *testing.B) {
			h, n := wrap(memory(b))(produce), 0
			ctx := handlerCtx("charge")
			b.ReportAllocs()
			for b.Loop() {
				n++
				if _, err := h(message.NewMessageWithContext(ctx, strconv.Itoa(n), payload)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// beginByHand is the core's guarded call alone: the fingerprint, a reserve and a completion with the payload.
func beginByHand(e *semel.Engine) message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			ctx := msg.Context()
			out, err := e.Begin(ctx, semel.Call{
				Key: semel.Key{Scope: "charge", ID: msg.UUID}, Fingerprint: semel.FingerprintOf(msg.Payload), Route: "charge",
			})
			if err != nil {
				return nil, err
			}
			defer out.Claim.Detach()
			msg.SetContext(out.Claim.Attach(ctx))
			msgs, err := next(msg)
			if err != nil {
				return nil, err
			}
			return msgs, out.Claim.Complete(ctx, semel.Response{Header: []byte("messages/1"), Body: msgs[0].Payload})
		}
	}
}
