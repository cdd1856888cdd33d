package natsstore

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
)

var (
	errUnsubscribed = errors.New("the subscription has ended")
	errDisconnected = errors.New("the connection is lost")
)

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

// Listen implements [semel.Messenger] on the store's connection. It returns when that is lost, although
// the client makes a new one by itself: until then nothing is heard.
func (s *Store) Listen(ctx context.Context, ready func(), heard func(text string)) error {
	ctx, end := s.whileConnected(ctx)
	defer end()
	err := s.listen(ctx, ready, heard)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return failed("listen", err)
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

// whileConnected returns a context that ends with the connection, and a func that ends it.
func (s *Store) whileConnected(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	lost := s.nc.StatusChanged(nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	go func() {
		switch status, ok := <-lost; {
		case !ok: // nobody listens any more
		case status == nats.CLOSED:
			cancel(ErrClosed)
		default:
			cancel(errDisconnected)
		}
	}()
	return ctx, func() {
		s.nc.RemoveStatusListener(lost)
		cancel(nil)
	}
}
