package redisstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
	"github.com/semel-go/semel"
)

// Reseal implements [semel.Resealer]. It takes two round trips: the first one only
// tells the status, which never changes under the token and which the sum of the
// response binds. A response of more than 256 MiB is refused with
// [semel.ErrTooLarge]. After [ErrNotReplicated] the response is replaced, and repeating
// Reseal waits again.
func (s *Store) Reseal(ctx context.Context, holder semel.Holder, header, body []byte) error {
	if len(header)+len(body) > maxResponse {
		return fmt.Errorf("redisstore: reseal: %w", semel.ErrTooLarge)
	}
	slot := holder.Key.Slot()
	status, err := s.completedWith(ctx, slot, holder.Token)
	if errors.Is(err, semel.ErrLost) {
		return err
	}
	if err != nil {
		return explain("reseal", slot, err)
	}
	response := responseOf(slot, semel.Response{Status: status, Header: header, Body: body})
	return s.held(ctx, "reseal", slot, &step{
		script: resealScript, bytes: len(response), durable: true,
		args: []any{holder.Token[:], status, response},
	})
}

// completedWith returns the status that the token has completed the slot with.
func (s *Store) completedWith(ctx context.Context, slot semel.Slot, token semel.Token) (int, error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.leave()
	cmd, err := s.run(ctx, &step{script: peekScript, args: []any{0, flag(false), 0, 0}}, slot)
	if errors.Is(err, redis.Nil) {
		return 0, semel.ErrLost
	}
	if err != nil {
		return 0, err
	}
	reply, err := cmd.Text()
	if err != nil {
		return 0, err
	}
	rec, err := decode(slot, reply, false)
	switch {
	case err != nil:
		return 0, err
	case rec.State != semel.StateCompleted || rec.Token != token:
		return 0, semel.ErrLost
	}
	return rec.Response.Status, nil
}
