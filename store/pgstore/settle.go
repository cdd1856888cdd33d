package pgstore

import (
	"context"
	"fmt"

	"github.com/semel-go/semel"
)

// maxResponse is what header and body may have together. A bytea ends at 1 GB,
// and the server and the driver hold several copies on the way.
const maxResponse = 256 << 20

func tooLarge(step string, r semel.Response) error {
	if size := len(r.Header) + len(r.Body); size > maxResponse {
		return fmt.Errorf("pgstore: %s: %w: it has %d bytes, more than %d", step, semel.ErrTooLarge, size, maxResponse)
	}
	return nil
}

// Complete implements [semel.Completer]. A response of more than 256 MiB is
// refused with [semel.ErrTooLarge].
func (s *Store) Complete(ctx context.Context, c semel.Completion) error {
	if err := tooLarge("complete", c.Response); err != nil {
		return err
	}
	return s.step(ctx, "complete", func(ctx context.Context, q querier, _ int) error {
		return s.complete(ctx, q, c)
	})
}

// complete returns ErrLost, or errRaced when it must be asked again.
func (s *Store) complete(ctx context.Context, q querier, c semel.Completion) error {
	slot := c.Key.Slot()
	var state int16
	err := q.QueryRow(ctx, s.sql.complete, s.execMode(), slot[:], c.Token[:],
		int32(c.Response.Status), c.Response.Header, c.Response.Body, micros(c.Retention)).Scan(&state) //nolint:gosec // a status is small
	switch {
	case err != nil:
		return err
	case state == int16(semel.StateCompleted):
		return nil
	case state == int16(semel.StateReserved):
		return errRaced
	}
	return semel.ErrLost
}

// Release implements [semel.Store].
func (s *Store) Release(ctx context.Context, key semel.Key, token semel.Token) error {
	return s.update(ctx, "release", s.sql.release, key, token)
}

// BeginEffects implements [semel.EffectBeginner].
func (s *Store) BeginEffects(ctx context.Context, key semel.Key, token semel.Token) error {
	return s.update(ctx, "begin effects", s.sql.beginEffects, key, token)
}

// update runs a statement that changes the row which token holds, or has completed.
func (s *Store) update(ctx context.Context, step, text string, key semel.Key, token semel.Token, more ...any) error {
	slot := key.Slot()
	args := append([]any{nil, slot[:], token[:]}, more...)
	return s.step(ctx, step, func(ctx context.Context, q querier, _ int) error {
		args[0] = s.execMode() // the last try may have changed it
		tag, err := q.Exec(ctx, text, args...)
		if err == nil && tag.RowsAffected() == 0 {
			err = semel.ErrLost
		}
		return err
	})
}

// Reseal implements [semel.Resealer]. A response of more than 256 MiB is refused with
// [semel.ErrTooLarge].
func (s *Store) Reseal(ctx context.Context, holder semel.Holder, header, body []byte) error {
	if err := tooLarge("reseal", semel.Response{Header: header, Body: body}); err != nil {
		return err
	}
	return s.update(ctx, "reseal", s.sql.reseal, holder.Key, holder.Token, header, body)
}

// Resolve implements [semel.Resolver]. The slot gets a new token: the lapsed
// attempt, should it come back, must hear ErrLost. A response of more than
// 256 MiB, and a reason of more than [semel.MaxReasonLen] bytes, is refused with
// [semel.ErrTooLarge].
func (s *Store) Resolve(ctx context.Context, r semel.Resolution) error {
	if n := len(r.Reason); n > semel.MaxReasonLen {
		return fmt.Errorf("pgstore: resolve: %w: the reason has %d bytes, more than %d", semel.ErrTooLarge, n, semel.MaxReasonLen)
	}
	keep := r.Response != nil
	var status *int32
	var header, body, reason []byte
	if r.Reason != "" {
		reason = []byte(r.Reason)
	}
	if keep {
		if err := tooLarge("resolve", *r.Response); err != nil {
			return err
		}
		code := int32(r.Response.Status) //nolint:gosec // a status is small
		status, header, body = &code, r.Response.Header, r.Response.Body
	}
	slot, token := r.Key.Slot(), semel.NewToken()
	return s.step(ctx, "resolve", func(ctx context.Context, q querier, _ int) error {
		var done, reserved, due bool
		err := q.QueryRow(ctx, s.sql.resolve, s.execMode(), slot[:], r.Fence, micros(r.Margin), keep, token[:],
			status, header, body, micros(r.Retention), reason).Scan(&done, &reserved, &due)
		switch {
		case err != nil:
			return err
		case done:
			return nil
		case reserved && due:
			return errRaced
		case reserved:
			return semel.ErrInFlight
		}
		return semel.ErrLost
	})
}
