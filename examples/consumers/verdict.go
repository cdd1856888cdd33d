// Package consumers shows how messages of Kafka, NATS, SQS and RabbitMQ are handled once, with
// [semel.Do] and the brokers' plain clients. Each folder is one recipe; docs/consumers.md
// explains them. What they share is here: what to tell the broker after [semel.Do].
package consumers

import (
	"context"
	"errors"
	"time"

	"github.com/semel-go/semel"
)

// Handler charges an order. What it returns is kept. An error says that nobody knows what
// happened, unless [semel.Retryable] says that nothing did.
type Handler func(ctx context.Context, order string, body []byte) (receipt string, err error)

// Call is what a consumer asks for an order. A duplicate that meets an attempt in flight waits for its
// end: most brokers would deliver it again at once.
func Call(consumer, order string, body []byte) semel.Call {
	return semel.Call{
		Key:         semel.Key{Scope: consumer, ID: order},
		Fingerprint: semel.FingerprintOf(body),
		Route:       consumer,
		Wait:        semel.MaxWait,
	}
}

// Verdict is what the broker is to be told about a message.
type Verdict int

// The verdicts. The zero value is the safe one.
const (
	// Again: not yet; deliver it again, after a pause.
	Again Verdict = iota
	// Done: the outcome is stored; acknowledge.
	Done
	// Dead: no delivery will ever succeed; to the dead letters.
	Dead
	// Parked: nobody knows what happened; to where somebody looks.
	Parked
)

// Judge takes what [semel.Do] returns. Until that is an outcome which is stored, a message is
// not acknowledged.
func Judge[T any](r semel.Result[T], err error) (Verdict, error) {
	switch {
	case err == nil && !r.NotStored:
		return Done, nil
	case err == nil:
		return Again, semel.ErrNotStored
	case errors.Is(err, semel.ErrConflict), errors.Is(err, semel.ErrInvalidKey):
		return Dead, err
	case errors.Is(err, semel.ErrOutcomeUnknown), errors.Is(err, semel.ErrDamaged):
		return Parked, err
	}
	// In flight for longer than it waits; a store that does not answer; an error of the handler,
	// after which the key is free, or held, as the next delivery finds out.
	return Again, err
}

// Pause waits for d, or until ctx ends.
func Pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
