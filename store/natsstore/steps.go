package natsstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/semel-go/semel"
)

// Reserve implements [semel.Store]. It begins as if the slot were absent, which
// takes one round trip when it is; when it is not, the refused write costs less
// than a look would have.
func (s *Store) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	rec, err := s.reserve(ctx, &r)
	if err != nil {
		return semel.Record{}, failed("reserve", err)
	}
	return rec, nil
}

func (s *Store) reserve(ctx context.Context, r *semel.Reservation) (semel.Record, error) {
	if _, err := s.ready(ctx); err != nil {
		return semel.Record{}, err
	}
	slot := r.Key.Slot()
	next, expected := newRow(r), uint64(0)
	for try := range maxTries {
		sent := s.clock.now()
		seq, err := s.write(ctx, slot, &next, expected)
		if err == nil {
			s.hints.put(slot, hint{row: next, seq: seq, sent: sent, acked: s.clock.now()})
			now := next.stamped(seq, time.Unix(0, s.clock.about()))
			return now.record(false), nil
		}
		if !errors.Is(err, errConflict) {
			return semel.Record{}, err
		}
		pause(try)
		h, over, err := s.look(ctx, slot, func(h *held) int64 { return h.due(r.Margin) })
		if err != nil {
			return semel.Record{}, err
		}
		var mine bool
		if next, mine = h.take(r, over); !mine {
			return h.record(over), nil
		}
		expected = h.seq
	}
	return semel.Record{}, errContended
}

// Complete implements [semel.Completer]. A response that does not fit into a
// message, see max_payload of the server, is refused with [semel.ErrTooLarge].
func (s *Store) Complete(ctx context.Context, c semel.Completion) error {
	h, err := s.edit(ctx, c.Key.Slot(), c.Token, true, func(w *row, late bool) {
		if late {
			w.keep = max(w.keep, c.Retention)
		}
		w.complete(c.Response)
	})
	if errors.Is(err, semel.ErrLost) && h.state == semel.StateCompleted && h.token == c.Token {
		return nil // by this token: the first response stands
	}
	return failed("complete", err)
}

// BeginEffects implements [semel.EffectBeginner]. It writes also when there is
// nothing to change: only a write that the server takes says that the token holds
// the slot.
func (s *Store) BeginEffects(ctx context.Context, key semel.Key, token semel.Token) error {
	_, err := s.edit(ctx, key.Slot(), token, true, func(w *row, _ bool) { w.deferred = false })
	return failed("begin effects", err)
}

// Release implements [semel.Store].
func (s *Store) Release(ctx context.Context, key semel.Key, token semel.Token) error {
	_, err := s.edit(ctx, key.Slot(), token, false, func(w *row, _ bool) { w.free() })
	return failed("release", err)
}

// edit writes what change makes of the reservation that token holds. If timed,
// change is told whether the lease has ended. Without a reservation of that
// token it fails with [semel.ErrLost] and returns what is there instead.
func (s *Store) edit(ctx context.Context, slot semel.Slot, token semel.Token, timed bool, change func(w *row, late bool)) (held, error) {
	if _, err := s.ready(ctx); err != nil {
		return held{}, err
	}
	if done, err := s.editHinted(ctx, slot, token, timed, change); done || err != nil {
		return held{}, err
	}
	for try := range maxTries {
		pause(try)
		h, late, err := s.look(ctx, slot, func(h *held) int64 {
			if !timed || h.state != semel.StateReserved {
				return 0
			}
			return h.due(0)
		})
		if err != nil {
			return held{}, err
		}
		if !h.heldBy(token) {
			return h, semel.ErrLost
		}
		next := h.row
		change(&next, late)
		if err := s.put(ctx, slot, next, h.seq); !errors.Is(err, errConflict) {
			return held{}, err
		}
	}
	return held{}, errContended
}

// editHinted is edit without a look. It reports false when the hint is missing,
// stale, or does not tell what must be known.
func (s *Store) editHinted(ctx context.Context, slot semel.Slot, token semel.Token, timed bool, change func(w *row, late bool)) (bool, error) {
	h, ok := s.hints.get(slot, token)
	if !ok {
		return false, nil
	}
	next, late, known := h.next(s.clock.now())
	if timed && !known {
		return false, nil
	}
	change(&next, late)
	err := s.put(ctx, slot, next, h.seq)
	if errors.Is(err, errConflict) {
		s.hints.drop(slot)
		return false, nil
	}
	return err == nil, err
}

// put writes a row and remembers or forgets it.
func (s *Store) put(ctx context.Context, slot semel.Slot, w row, expected uint64) error {
	sent := s.clock.now()
	seq, err := s.write(ctx, slot, &w, expected)
	if err != nil {
		return err
	}
	if w.state == semel.StateReserved {
		s.hints.put(slot, hint{row: w, seq: seq, sent: sent, acked: s.clock.now()})
	} else {
		s.hints.drop(slot)
	}
	return nil
}

// renewers is how many leases are renewed at the same time.
const renewers = 64

// Renew implements [semel.Renewer]. Each lease is one message; up to 64 are on
// their way at a time. A record that cannot be read costs only its own holder; any
// other failure ends the renewal, because the next one would fail as slowly. What
// is not renewed by then is named in a [*semel.UnrenewedError].
func (s *Store) Renew(ctx context.Context, lease time.Duration, holders []semel.Holder) ([]semel.Token, error) {
	var wg sync.WaitGroup
	var next atomic.Int64
	results := make([]error, len(holders))
	for i := range results {
		results[i] = errNotTried
	}
	for range min(renewers, len(holders)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(holders)); i = next.Add(1) - 1 {
				_, err := s.edit(ctx, holders[i].Key.Slot(), holders[i].Token, false, func(w *row, _ bool) { w.renew(lease) })
				results[i] = err
				if err != nil && !errors.Is(err, semel.ErrLost) && !unreadable(err) {
					next.Store(int64(len(holders)))
				}
			}
		})
	}
	wg.Wait()
	return renewed(holders, results)
}

// errNotTried: an earlier renewal of the same call has failed.
var errNotTried = errors.New("not tried")

// renewed sorts what became of the holders.
func renewed(holders []semel.Holder, results []error) (lost []semel.Token, err error) {
	var missed semel.UnrenewedError
	for i, err := range results {
		switch token := holders[i].Token; {
		case err == nil:
		case errors.Is(err, semel.ErrLost):
			lost = append(lost, token)
		default:
			missed.Tokens = append(missed.Tokens, token)
			if missed.Err == nil || !errors.Is(err, errNotTried) {
				missed.Err = err
			}
		}
	}
	if len(missed.Tokens) > 0 {
		return lost, failed("renew", &missed)
	}
	return lost, nil
}

// Resolve implements [semel.Resolver]. A kept response gets a new token: the
// lapsed attempt did not make it, and must hear ErrLost if it comes back.
func (s *Store) Resolve(ctx context.Context, r semel.Resolution) error {
	return failed("resolve", s.resolve(ctx, &r))
}

func (s *Store) resolve(ctx context.Context, r *semel.Resolution) error {
	if len(r.Reason) > semel.MaxReasonLen {
		return fmt.Errorf("the reason has %d bytes, and %d is the most", len(r.Reason), semel.MaxReasonLen)
	}
	slot := r.Key.Slot()
	for try := range maxTries {
		pause(try)
		h, over, err := s.look(ctx, slot, func(h *held) int64 { return h.due(r.Margin) })
		switch {
		case err != nil:
			return err
		case h.absent || h.state != semel.StateReserved || h.fence != r.Fence:
			return semel.ErrLost
		case !over:
			return semel.ErrInFlight
		}
		next := h.row
		next.expires, next.keep, next.reason = 0, r.Retention, r.Reason
		if r.Response == nil {
			next.free()
		} else {
			next.complete(*r.Response)
			next.token = semel.NewToken()
		}
		if err := s.put(ctx, slot, next, h.seq); !errors.Is(err, errConflict) {
			return err
		}
	}
	return errContended
}
