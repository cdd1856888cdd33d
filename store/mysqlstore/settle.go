package mysqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/semel-go/semel"
)

// spare is what a packet needs beside header and body.
const spare = 8 << 10

// Complete implements [semel.Completer]. A response that does not fit into the
// server's max_allowed_packet is [semel.ErrTooLarge].
func (s *Store) Complete(ctx context.Context, c semel.Completion) error {
	return s.step(ctx, "complete", func(ctx context.Context, q querier) error { return s.complete(ctx, q, c) })
}

func (s *Store) complete(ctx context.Context, q querier, c semel.Completion) error {
	if err := s.fits(c.Response); err != nil {
		return err
	}
	slot := c.Key.Slot()
	ok, err := execOne(ctx, q, s.sql.complete,
		c.Response.Status, nonEmpty(c.Response.Header), nonEmpty(c.Response.Body), micros(c.Retention), slot[:], c.Token[:])
	if err != nil || ok {
		return s.tooLarge(ctx, c.Response, err)
	}
	// The token does not hold the slot any more. Whether that is because it
	// has completed it cannot change between the two statements.
	done, err := exists(ctx, q, s.sql.completed, slot[:], c.Token[:])
	return lostUnless(done, err)
}

// fits refuses what the server would refuse by closing the connection.
func (s *Store) fits(r semel.Response) error {
	limit := s.packet.Load()
	if limit > 0 && int64(len(r.Header))+int64(len(r.Body))+spare > limit {
		return semel.ErrTooLarge
	}
	return nil
}

// askWait bounds the wait for a connection where a caller may have one already.
const askWait = time.Second

// tooLarge looks for the reason of a connection that broke under a response: a
// server whose limit was lowered, or one that took over with a lower limit, ends
// the connection and is rarely heard to say why.
func (s *Store) tooLarge(ctx context.Context, r semel.Response, err error) error {
	if !isBroken(err) {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, askWait)
	defer stop()
	var limit int64
	if asked := s.db.QueryRowContext(ctx, s.sql.packet).Scan(&limit); asked != nil {
		return err
	}
	s.packet.Store(limit)
	if fit := s.fits(r); fit != nil {
		return fmt.Errorf("%w: %w", fit, err)
	}
	return err
}

// nonEmpty makes an empty value null: the two are the same to the core.
func nonEmpty(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}

func lostUnless(held bool, err error) error {
	if err == nil && !held {
		return semel.ErrLost
	}
	return err
}

// Release implements [semel.Store].
func (s *Store) Release(ctx context.Context, key semel.Key, token semel.Token) error {
	slot := key.Slot()
	return s.step(ctx, "release", func(ctx context.Context, q querier) error {
		return lostUnless(execOne(ctx, q, s.sql.release, slot[:], token[:]))
	})
}

// BeginEffects implements [semel.EffectBeginner]. It takes one round trip.
func (s *Store) BeginEffects(ctx context.Context, key semel.Key, token semel.Token) error {
	slot := key.Slot()
	return s.step(ctx, "begin effects", func(ctx context.Context, q querier) error {
		ok, err := execOne(ctx, q, s.sql.begin, slot[:], token[:])
		if err != nil || ok {
			return err
		}
		// There was no promise to end, or the token did not hold the slot. Which of them
		// cannot change between the two statements, but for a reservation that
		// arrives there, and that one still has its promise.
		return lostUnless(exists(ctx, q, s.sql.begun, slot[:], token[:]))
	})
}

// Resolve implements [semel.Resolver]. A kept response gets a new token: the
// lapsed attempt did not make it, and must hear ErrLost if it comes back.
func (s *Store) Resolve(ctx context.Context, r semel.Resolution) error {
	return s.step(ctx, "resolve", func(ctx context.Context, q querier) error { return s.resolve(ctx, q, r) })
}

func (s *Store) resolve(ctx context.Context, q querier, r semel.Resolution) error {
	if len(r.Reason) > semel.MaxReasonLen {
		return fmt.Errorf("the reason has %d bytes, and %d are the most", len(r.Reason), semel.MaxReasonLen)
	}
	slot := r.Key.Slot()
	retention, margin, reason := micros(r.Retention), max(0, micros(r.Margin)), nonEmpty([]byte(r.Reason))
	var ok bool
	var err error
	if r.Response == nil {
		ok, err = execOne(ctx, q, s.sql.resolveFree, reason, retention, slot[:], r.Fence, margin)
	} else {
		if err := s.fits(*r.Response); err != nil {
			return err
		}
		token := semel.NewToken()
		ok, err = execOne(ctx, q, s.sql.resolveDone, token[:],
			r.Response.Status, nonEmpty(r.Response.Header), nonEmpty(r.Response.Body), reason, retention, slot[:], r.Fence, margin)
	}
	if err != nil || ok {
		if r.Response != nil {
			err = s.tooLarge(ctx, *r.Response, err)
		}
		return err
	}
	reserved, err := exists(ctx, q, s.sql.resolvable, slot[:], r.Fence)
	if err == nil && reserved {
		return semel.ErrInFlight
	}
	return lostUnless(reserved, err)
}
