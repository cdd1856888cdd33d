// Package sqs charges orders from an SQS queue, each once.
//
// The key is the message attribute Order, which the producer sets. The MessageId would do for what
// SQS does by itself, to deliver a message more than once; a producer that sends again makes
// another. The deduplication of FIFO queues forgets after five minutes.
package sqs

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/examples/consumers"
)

// Visibility is for how long a message is hidden from others while it is worked on, and Later for how long
// when it is given back. A handler that needs longer than Visibility is found in flight by the next
// delivery, which waits; it is not run twice.
const (
	Visibility = 30 * time.Second
	Later      = 2 * time.Second
)

// Worker charges what a queue delivers.
type Worker struct {
	Client *sqs.Client
	Engine *semel.Engine
	Charge consumers.Handler
	// Orders, Dead and Parked are the URLs of queues. Orders should have a redrive policy too, for messages
	// that kill their consumer.
	Orders, Dead, Parked string
}

// Consume handles what the queue delivers, one message at a time, until ctx ends or something fails: the
// visibility of all that were received runs, and not only that of the first. Run more of it to be faster.
func (w Worker) Consume(ctx context.Context) error {
	for {
		out, err := w.Client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &w.Orders, MaxNumberOfMessages: 1, WaitTimeSeconds: 20,
			VisibilityTimeout: int32(Visibility / time.Second), MessageAttributeNames: []string{"All"},
		})
		if err != nil {
			return err
		}
		for _, msg := range out.Messages {
			if err := w.consume(ctx, msg); err != nil {
				return err
			}
		}
	}
}

func (w Worker) consume(ctx context.Context, msg types.Message) error {
	order, body := aws.ToString(msg.MessageAttributes["Order"].StringValue), []byte(aws.ToString(msg.Body))
	verdict, err := consumers.Judge(semel.Do(ctx, w.Engine, consumers.Call("sqs/charge", order, body),
		func(ctx context.Context) (string, error) { return w.Charge(ctx, order, body) }))
	switch verdict {
	case consumers.Again:
		_, err := w.Client.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
			QueueUrl: &w.Orders, ReceiptHandle: msg.ReceiptHandle, VisibilityTimeout: int32(Later / time.Second),
		})
		return err
	case consumers.Dead:
		err = w.forward(ctx, w.Dead, msg, err)
	case consumers.Parked:
		err = w.forward(ctx, w.Parked, msg, err)
	case consumers.Done:
	}
	if err != nil {
		return err
	}
	// After the outcome is stored, or is somebody's. If this is lost it is delivered again, and replayed.
	_, err = w.Client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &w.Orders, ReceiptHandle: msg.ReceiptHandle})
	return err
}

func (w Worker) forward(ctx context.Context, queue string, msg types.Message, reason error) error {
	attributes := map[string]types.MessageAttributeValue{
		"Reason": {DataType: aws.String("String"), StringValue: aws.String(reason.Error())},
	}
	if order, there := msg.MessageAttributes["Order"]; there {
		attributes["Order"] = order
	}
	_, err := w.Client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &queue, MessageBody: msg.Body, MessageAttributes: attributes})
	if err != nil {
		return fmt.Errorf("forward to %s: %w", queue, err)
	}
	return nil
}
