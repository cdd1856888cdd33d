package natsstore

import (
	"context"
	"errors"

	"github.com/semel-go/semel"
)

// Reseal implements [semel.Resealer]. It is a look and a write that names the message
// that it replaces; the new one lives as long as the old one would have. A response
// that does not fit into a message is refused with [semel.ErrTooLarge].
func (s *Store) Reseal(ctx context.Context, holder semel.Holder, header, body []byte) error {
	return failed("reseal", s.reseal(ctx, holder, header, body))
}

func (s *Store) reseal(ctx context.Context, holder semel.Holder, header, body []byte) error {
	slot := holder.Key.Slot()
	for try := range maxTries {
		pause(try)
		h, _, err := s.look(ctx, slot, func(*held) int64 { return 0 }) // it knows the leader's time, too
		switch {
		case err != nil:
			return err
		case h.absent || h.state != semel.StateCompleted || h.token != holder.Token:
			return semel.ErrLost
		}
		next := h.row
		next.response.Header, next.response.Body = header, body
		if err := s.put(ctx, slot, next, h.seq); !errors.Is(err, errConflict) {
			return err
		}
	}
	return errContended
}
