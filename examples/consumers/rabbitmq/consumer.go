// Package rabbitmq charges orders from a RabbitMQ queue, each once.
//
// The key is the property message-id, which the publisher sets to the order's number, in every publish
// of it: a publisher whose confirm was lost publishes again. The flag redelivered says only
// that the message may have been seen.
package rabbitmq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/examples/consumers"
)

// Worker charges what queues deliver.
type Worker struct {
	// Channel is this worker's alone.
	Channel *amqp.Channel
	Engine  *semel.Engine
	Charge  consumers.Handler
	// Parked is a queue that is there.
	Parked string
}

// Consume handles what queue delivers until ctx ends or the channel is closed. The queue needs a dead letter
// exchange, to which what is dead goes.
func (w Worker) Consume(ctx context.Context, queue string) error {
	if err := w.Channel.Confirm(false); err != nil { // or a parked message may be lost
		return err
	}
	if err := w.Channel.Qos(10, 0, false); err != nil {
		return err
	}
	returns := w.Channel.NotifyReturn(make(chan amqp.Return, 1))
	deliveries, err := w.Channel.ConsumeWithContext(ctx, queue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	for d := range deliveries {
		if err := w.consume(ctx, d, returns); err != nil {
			return err
		}
	}
	return cmp.Or(ctx.Err(), error(amqp.ErrClosed))
}

func (w Worker) consume(ctx context.Context, d amqp.Delivery, returns <-chan amqp.Return) error {
	verdict, reason := consumers.Judge(semel.Do(ctx, w.Engine, consumers.Call("rabbitmq/charge", d.MessageId, d.Body),
		func(ctx context.Context) (string, error) { return w.Charge(ctx, d.MessageId, d.Body) }))
	switch verdict {
	case consumers.Done:
		return d.Ack(false) // after the outcome is stored; lost, it is delivered again and replayed
	case consumers.Dead:
		return d.Nack(false, false) // to the dead letter exchange
	case consumers.Parked:
		if err := w.park(ctx, d, reason, returns); err != nil {
			return err
		}
		return d.Ack(false)
	case consumers.Again:
	}
	// There is no delay in the protocol, and the queue delivers again at once.
	if err := consumers.Pause(ctx, 100*time.Millisecond); err != nil {
		return err
	}
	return d.Nack(false, true)
}

// park returns when the broker has the copy.
func (w Worker) park(ctx context.Context, d amqp.Delivery, reason error, returns <-chan amqp.Return) error {
	confirmed, err := w.Channel.PublishWithDeferredConfirmWithContext(ctx, "", w.Parked, true, false, amqp.Publishing{
		MessageId: d.MessageId, Body: d.Body, DeliveryMode: amqp.Persistent, Headers: amqp.Table{"reason": reason.Error()},
	})
	if err != nil {
		return fmt.Errorf("park: %w", err)
	}
	taken, err := confirmed.WaitContext(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("park: %w", err)
	case !taken:
		return errors.New("park: the broker refused it")
	}
	select { // it comes before the confirm, which is positive all the same (RabbitMQ, "Publisher Confirms")
	case back := <-returns:
		return fmt.Errorf("park: %s", back.ReplyText)
	default:
		return nil
	}
}
