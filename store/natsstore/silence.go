package natsstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// askAfter bounds the question that follows a write without an answer.
const askAfter = time.Second

// silent reports whether a request got no answer at all.
func silent(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, jetstream.ErrNoStreamResponse)
}

// explain adds to an error of a request what callers can act on. When the
// stream is gone, the next step validates what is there instead.
func (s *Store) explain(err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s.stream.Store(nil)
		return s.missing()
	}
	if denied := s.nc.LastError(); silent(err) && errors.Is(denied, nats.ErrPermissionViolation) {
		// The server drops what it denies, and says so beside the request.
		return fmt.Errorf("no answer from the server, whose last complaint is: %w: %w", denied, err)
	}
	return explain(err)
}

// unconfirmed explains a write that failed. One that got no answer may have
// happened; the leader, asked about the stream once, may know why it says nothing.
func (s *Store) unconfirmed(ctx context.Context, err error) error {
	if !silent(err) || errors.Is(s.nc.LastError(), nats.ErrPermissionViolation) {
		return s.explain(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(s.cfg.Timeout, askAfter))
	defer cancel()
	_, _, asked := s.ask(ctx)
	var gone *SchemaError
	switch {
	case errors.As(asked, &gone):
		return gone
	case asked != nil:
		return s.explain(err)
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		s.stream.Store(nil)
		return fmt.Errorf("the stream %s did not take the message: it changes its leader, or its subjects are others: %w", s.cfg.Stream, err)
	}
	return fmt.Errorf("the server answers, but did not confirm the message in time: it is slow, or cannot write to its disk; see its log: %w", err)
}
