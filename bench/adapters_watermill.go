package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelwatermill"
	"github.com/semel-go/semel/store/memstore"
)

// channel is a broker: what is sent into it is delivered, and what is published is counted.
type channel struct {
	in        chan *message.Message
	published atomic.Int64 // bytes
}

// Subscribe implements [message.Subscriber].
func (c *channel) Subscribe(context.Context, string) (<-chan *message.Message, error) {
	return c.in, nil
}

// Publish implements [message.Publisher].
func (c *channel) Publish(_ string, messages ...*message.Message) error {
	for _, m := range messages {
		c.published.Add(int64(len(m.Payload)))
	}
	return nil
}

// Close implements both.
func (c *channel) Close() error { return nil }

func openWatermill(ctx context.Context, w guarding) (do func(string) error, end func() error, err error) {
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		return nil, nil, err
	}
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		return nil, nil, err
	}
	switch w {
	case notGuarded:
	case byCore:
		router.AddMiddleware(messageByHand(engine))
	case byAdapter:
		guard, err := semelwatermill.New(engine, semelwatermill.ByHandler(), semelwatermill.Config{})
		if err != nil {
			return nil, nil, err
		}
		router.AddMiddleware(guard.Middleware)
	}
	broker := &channel{in: make(chan *message.Message)}
	router.AddHandler("pay", "orders", broker, "receipts", broker, func(m *message.Message) ([]*message.Message, error) {
		return []*message.Message{message.NewMessage(m.UUID, payAnswer)}, nil
	})
	ended := make(chan error, 1)
	go func() { ended <- router.Run(ctx) }()
	select {
	case err := <-ended:
		return nil, nil, errors.Join(errors.New("the router does not run"), err)
	case <-router.Running():
	}
	do = func(key string) error {
		m, before := message.NewMessage(key, payRequest), broker.published.Load()
		broker.in <- m
		select {
		case <-m.Acked():
		case <-m.Nacked():
			return errors.New("the message was refused")
		}
		if got := broker.published.Load() - before; got != jsonSize {
			return fmt.Errorf("%d bytes were published, want %d", got, jsonSize)
		}
		return nil
	}
	return do, func() error {
		close(broker.in)
		return errors.Join(router.Close(), <-ended, engine.Close(context.WithoutCancel(ctx)))
	}, nil
}

// messageByHand is the least code that guards a handler of one message and replays it.
func messageByHand(engine *semel.Engine) message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(m *message.Message) ([]*message.Message, error) {
			ctx := m.Context()
			name := message.HandlerNameFromCtx(ctx)
			out, err := engine.Begin(ctx, semel.Call{Key: semel.Key{Scope: name, ID: m.UUID}, Fingerprint: semel.FingerprintOf(m.Payload), Route: name})
			switch {
			case err != nil:
				return nil, err
			case out.Kind == semel.Replay:
				kept := out.Record.Response
				return []*message.Message{message.NewMessage(string(kept.Header), kept.Body)}, nil
			case out.Err() != nil:
				return nil, out.Err()
			}
			m.SetContext(out.Claim.Attach(ctx))
			defer m.SetContext(ctx)
			defer out.Claim.Detach()
			defer out.Claim.Abandon(ctx)
			made, err := next(m)
			if err != nil {
				return nil, err
			}
			return made, out.Claim.Complete(ctx, semel.Response{Header: []byte(made[0].UUID), Body: made[0].Payload})
		}
	}
}
