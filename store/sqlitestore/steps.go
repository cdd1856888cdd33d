package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/semel-go/semel"
)

// Reserve implements [semel.Store]. When the store cannot write, it still
// answers for slots that a reservation would not change: replays outlive a full
// disk.
//
// It does not look through a reader first. That would spare a replay the wait
// for the transaction under way, but it would cost every fresh key a second
// search: measured on two cores, a third to a half of the pairs of 64 callers.
// A replay writes nothing and syncs nothing in a transaction either.
func (s *Store) Reserve(_ context.Context, r semel.Reservation) (semel.Record, error) {
	if s.writer == nil {
		return semel.Record{}, ErrReadOnly
	}
	slot := r.Key.Slot()
	var held semel.Record
	p := pending{run: func(t *tx) (err error) {
		held, err = t.Reserve(slot, r)
		return err
	}}
	b, err := s.writer.queue.add(len(r.Key.Scope)+len(r.Key.ID)+len(r.Owner)+len(r.Route), &p)
	if err == nil {
		select {
		case <-b.done:
		case <-p.stall: // others do not wait for a business transaction
			if seen, ok := s.unchanged(slot, r); ok && p.withdraw() {
				return seen, nil
			}
			<-b.done
		}
		err = explain(s.path, p.err)
	}
	if err != nil && !errors.Is(err, ErrClosed) {
		if seen, ok := s.unchanged(slot, r); ok {
			return seen, nil
		}
	}
	if err != nil {
		return semel.Record{}, err
	}
	return held, nil
}

// unchanged reads what the slot holds, and reports whether a reservation would
// leave it so: because nobody may take it, or because a transaction of this process
// is at work on it. The answer is that of the moment of the read. The clock is read
// after it: what has not expired by then had not expired at that moment.
func (s *Store) unchanged(slot semel.Slot, r semel.Reservation) (semel.Record, bool) {
	var held row
	var found bool
	err := s.readers.with(func(c *readConn) (err error) {
		found, err = held.find(c.find, slot)
		return err
	})
	now := s.clock.now()
	switch {
	case err != nil || !found:
		return semel.Record{}, false // the caller has the error of the write
	case held.takeable(r, now) && (held.record.State != semel.StateReserved || !s.traffic.works(slot)):
		return semel.Record{}, false
	}
	return held.held(r, now), true
}

// maxResponse is what header and body may have together. SQLite's rows end at
// a thousand million bytes.
const maxResponse = 512 << 20

// Complete implements [semel.Completer]. A response of more than 512 MiB is
// refused with [semel.ErrTooLarge].
func (s *Store) Complete(_ context.Context, c semel.Completion) error {
	if s.writer == nil {
		return ErrReadOnly
	}
	size := len(c.Response.Header) + len(c.Response.Body)
	if size > maxResponse {
		return semel.ErrTooLarge
	}
	slot := c.Key.Slot()
	var kept bool
	err := s.writer.do(size, func(t *tx) (err error) {
		kept, err = t.Complete(slot, c)
		return err
	})
	return lostUnless(kept, err)
}

func lostUnless(held bool, err error) error {
	if err == nil && !held {
		return semel.ErrLost
	}
	return err
}

// BeginEffects implements [semel.EffectBeginner].
func (s *Store) BeginEffects(_ context.Context, key semel.Key, token semel.Token) error {
	if s.writer == nil {
		return ErrReadOnly
	}
	slot := key.Slot()
	var held bool
	err := s.writer.do(0, func(t *tx) (err error) {
		held, err = t.BeginEffects(slot, token)
		return err
	})
	return lostUnless(held, err)
}

// Release implements [semel.Store].
func (s *Store) Release(_ context.Context, key semel.Key, token semel.Token) error {
	if s.writer == nil {
		return ErrReadOnly
	}
	slot := key.Slot()
	var held bool
	err := s.writer.do(0, func(t *tx) (err error) {
		held, err = t.Release(slot, token)
		return err
	})
	return lostUnless(held, err)
}

// holder is a semel.Holder whose slot was computed outside the transaction.
type holder struct {
	slot  semel.Slot
	token semel.Token
}

// Renew implements [semel.Renewer]. All holders share one transaction.
func (s *Store) Renew(_ context.Context, lease time.Duration, holders []semel.Holder) ([]semel.Token, error) {
	if s.writer == nil {
		return nil, ErrReadOnly
	}
	if len(holders) == 0 {
		return nil, nil
	}
	named := make([]holder, len(holders))
	for i, h := range holders {
		named[i] = holder{h.Key.Slot(), h.Token}
	}
	var lost []semel.Token
	err := s.writer.do(0, func(t *tx) (err error) {
		var until int64 // given up
		if lease > 0 {
			until = t.now + micros(lease)
		}
		lost, err = t.Renew(until, named)
		return err
	})
	if err != nil {
		return nil, err
	}
	return lost, nil
}

// Resolve implements [semel.Resolver]. A kept response gets a new token: the
// lapsed attempt did not make it, and must hear ErrLost if it comes back. A
// reason that is too long is refused with [semel.ErrTooLarge].
func (s *Store) Resolve(_ context.Context, r semel.Resolution) error {
	if s.writer == nil {
		return ErrReadOnly
	}
	size := len(r.Reason)
	if size > semel.MaxReasonLen {
		return fmt.Errorf("%w: the reason has %d bytes, more than %d", semel.ErrTooLarge, size, semel.MaxReasonLen)
	}
	if r.Response != nil {
		size += len(r.Response.Header) + len(r.Response.Body)
	}
	if size > maxResponse {
		return semel.ErrTooLarge
	}
	slot := r.Key.Slot()
	var refused error
	err := s.writer.do(size, func(t *tx) (err error) {
		refused, err = t.Resolve(slot, r)
		return err
	})
	if err != nil {
		return err
	}
	return refused
}
