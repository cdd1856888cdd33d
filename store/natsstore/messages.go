package natsstore

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
)

var errUnsubscribed = errors.New("the subscription has ended")

// hintSubject is where the texts of the store go. No stream has it: those of the records and of
// the trail listen to other depths.
func (s *Store) hintSubject() string { return s.cfg.Subject + ".hints.now" }

// Send implements [semel.Messenger] by a message that no stream keeps. It returns when that
// is handed to the connection.
func (s *Store) Send(ctx context.Context, text string) error {
	if err := context.Cause(ctx); err != nil {
		return failed("send", err)
	}
	if err := s.connected(); err != nil {
		return failed("send", err)
	}
	return failed("send", s.nc.Publish(s.hintSubject(), []byte(text)))
}

// Listen implements [semel.Messenger] on the store's connection. The client makes the
// subscription again when that comes back.
func (s *Store) Listen(ctx context.Context, ready func(), heard func(text string)) error {
	return failed("listen", s.listen(ctx, ready, heard))
}

func (s *Store) listen(ctx context.Context, ready func(), heard func(text string)) error {
	if err := s.connected(); err != nil {
		return err
	}
	sub, err := s.nc.SubscribeSync(s.hintSubject())
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }() // also one that is over
	flushing, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	if err := s.nc.FlushWithContext(flushing); err != nil {
		return err
	}
	ready()
	for {
		msg, err := sub.NextMsgWithContext(ctx)
		switch {
		case errors.Is(err, nats.ErrSlowConsumer): // it has missed some
			continue
		case errors.Is(err, nats.ErrConnectionClosed):
			return ErrClosed
		case errors.Is(err, nats.ErrBadSubscription):
			return errUnsubscribed
		case err != nil:
			return err
		}
		heard(string(msg.Data))
	}
}
