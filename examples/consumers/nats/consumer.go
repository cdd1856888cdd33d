// Package nats charges orders from a JetStream consumer, each once.
//
// The key is the header Nats-Msg-Id, which the publisher sets to the order's number. JetStream itself drops a
// second publish under it, but for two minutes only unless the stream says otherwise, and it
// delivers again whatever was not acknowledged in time.
package nats

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/examples/consumers"
)

// Worker charges what a consumer delivers.
type Worker struct {
	JetStream jetstream.JetStream
	Engine    *semel.Engine
	Charge    consumers.Handler
	// Dead and Parked are subjects, of a stream that is there.
	Dead, Parked string
}

// Consume handles what consumer delivers, one message at a time, until ctx ends or something fails. It
// takes none in advance, as the AckWait of that would run too. Run more of it to be faster.
func (w Worker) Consume(ctx context.Context, consumer jetstream.Consumer) error {
	messages, err := consumer.Messages(jetstream.PullMaxMessages(1))
	if err != nil {
		return err
	}
	defer messages.Stop()
	alive := consumer.CachedInfo().Config.AckWait / 3
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		if err := w.consume(ctx, msg, alive); err != nil {
			return err
		}
	}
}

func (w Worker) consume(ctx context.Context, msg jetstream.Msg, alive time.Duration) error {
	order := msg.Headers().Get(nats.MsgIdHdr)
	stop := keepPending(ctx, msg, alive)
	verdict, reason := consumers.Judge(semel.Do(ctx, w.Engine, consumers.Call("nats/charge", order, msg.Data()),
		func(ctx context.Context) (string, error) { return w.Charge(ctx, order, msg.Data()) }))
	stop()
	switch verdict {
	case consumers.Done:
		return msg.DoubleAck(ctx) // after the outcome is stored; lost, it is delivered again and replayed
	case consumers.Dead:
		return w.forward(ctx, msg, w.Dead, reason)
	case consumers.Parked:
		return w.forward(ctx, msg, w.Parked, reason)
	case consumers.Again:
	}
	return msg.NakWithDelay(100 * time.Millisecond)
}

// keepPending tells the server that the message is worked on, so that it is not delivered to
// somebody else meanwhile, who would only wait. The func that it returns ends that.
func keepPending(ctx context.Context, msg jetstream.Msg, every time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for consumers.Pause(ctx, every) == nil {
			_ = msg.InProgress() // if it is lost the message comes again, and waits
		}
	}()
	return func() { cancel(); <-ended }
}

// forward ends the message once a stream has the copy.
func (w Worker) forward(ctx context.Context, msg jetstream.Msg, subject string, reason error) error {
	moved := nats.NewMsg(subject)
	moved.Data = msg.Data()
	moved.Header.Set("Order", msg.Headers().Get(nats.MsgIdHdr))
	moved.Header.Set("Reason", reason.Error())
	if _, err := w.JetStream.PublishMsg(ctx, moved); err != nil {
		return fmt.Errorf("forward to %s: %w", subject, err)
	}
	return msg.TermWithReason(reason.Error())
}
