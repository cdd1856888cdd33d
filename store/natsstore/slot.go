package natsstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/semel-go/semel"
)

// ttlGrace is added to the retention before the server deletes a record. Each
// replica deletes by its own clock, and none may be early.
const ttlGrace = time.Minute

// maxTTL is the longest life that is left to the server. What is kept for
// longer is never deleted.
const maxTTL = 100 * 365 * 24 * time.Hour

// maxTries bounds how often a step begins anew because others change its slot.
// Each time somebody else has got ahead; the pauses add up to about two seconds.
const maxTries = 40

// errContended: others change the slot faster than this step can look at it.
var errContended = errors.New("others change the slot all the time")

func (s *Store) subject(slot semel.Slot) string { return s.cfg.Subject + "." + slot.String() }

// read returns what the stream's leader has for the slot.
func (s *Store) read(ctx context.Context, stream jetstream.Stream, slot semel.Slot) (held, error) {
	ctx, cancel := s.within(ctx)
	defer cancel()
	msg, err := stream.GetLastMsgForSubject(ctx, s.subject(slot))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return held{absent: true}, nil
	}
	if err != nil {
		return held{}, s.explain(err)
	}
	return parse(slot, msg.Header, msg.Data, msg.Sequence, msg.Time)
}

// parse reads the message of a slot. Where the server has put a marker for a
// message that it deleted, the slot is absent, and the marker is what the next
// write must expect.
func parse(slot semel.Slot, header nats.Header, value []byte, seq uint64, stamp time.Time) (held, error) {
	if header.Get(jetstream.MarkerReasonHeader) != "" {
		return held{absent: true, seq: seq}, nil
	}
	w, err := decode(value)
	if err == nil && w.key.Slot() != slot {
		err = errForeign
	}
	var version *SchemaError
	switch {
	case errors.As(err, &version):
		return held{}, version
	case err != nil:
		return held{}, &DamagedError{Slot: slot, Err: err}
	}
	return w.stamped(seq, stamp), nil
}

// look reads the slot and tells whether the instant that due names had passed
// when it did, by the leader's clock. The bounds on that clock from before and
// after the read mostly tell. If not, the leader is asked: what had not passed
// by its answer had not passed at the read before it; else the next look, which
// comes after the answer, sees it passed.
func (s *Store) look(ctx context.Context, slot semel.Slot, due func(*held) int64) (h held, over bool, err error) {
	stream, err := s.ready(ctx)
	if err != nil {
		return held{}, false, err
	}
	for range maxTries {
		earliest, err := s.earliest(ctx)
		if err != nil {
			return held{}, false, err
		}
		h, err := s.read(ctx, stream, slot)
		if err != nil {
			return held{}, false, err
		}
		end := due(&h)
		if end <= earliest {
			return h, true, nil
		}
		if _, latest, ok := s.clock.bounds(); ok && end > latest {
			return h, false, nil
		}
		asked, err := s.measure(ctx)
		if err != nil {
			return held{}, false, err
		}
		if end > asked {
			return h, false, nil
		}
	}
	return held{}, false, errContended
}

// write publishes the row as the slot's message if its last one has the
// sequence expected, 0 for none; otherwise it fails with errConflict and has
// changed nothing. It returns the sequence of the new message.
//
// The message before is removed by a roll-up. To leave that to the limit of one
// message a subject would be a fault: the server writes nothing down when a limit
// removes a message, as it can do so again after a restart, unless the newer one
// was deleted meanwhile because its life was over. Then a kill brings the older
// one back: a reservation that nothing ends any more (I9; seen with NATS 2.15, 100
// keys of 100). A roll-up writes it down.
func (s *Store) write(ctx context.Context, slot semel.Slot, w *row, expected uint64) (uint64, error) {
	if err := s.connected(); err != nil {
		return 0, err
	}
	msg := nats.Msg{
		Subject: s.subject(slot),
		Data:    w.encode(),
		Header:  nats.Header{jetstream.ExpectedLastSubjSeqHeader: []string{strconv.FormatUint(expected, 10)}},
	}
	if expected > 0 {
		msg.Header[jetstream.MsgRollup] = []string{jetstream.MsgRollupSubject}
	}
	if ttl := s.ttl(w); ttl > 0 {
		msg.Header[jetstream.MsgTTLHeader] = []string{strconv.FormatInt(int64(ttl/time.Second), 10)}
	}
	if limit := s.nc.MaxPayload(); int64(msg.Size()) > limit {
		return 0, tooLarge(limit)
	}
	bounded, cancel := s.within(ctx)
	defer cancel()
	ack, err := s.js.PublishMsg(bounded, &msg)
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return 0, tooLarge(s.nc.MaxPayload())
	case err != nil:
		return 0, s.unconfirmed(ctx, err)
	case ack.Stream != s.cfg.Stream:
		return 0, fmt.Errorf("the subject belongs to the stream %s", ack.Stream)
	}
	return ack.Sequence, nil
}

func tooLarge(limit int64) error {
	return fmt.Errorf("%w: the server's max_payload is %d bytes", semel.ErrTooLarge, limit)
}

// ttl is how long the server keeps the message, in whole seconds; 0: for ever.
// A reservation stays until somebody settles it (I9).
func (s *Store) ttl(w *row) time.Duration {
	if w.state == semel.StateReserved {
		return 0
	}
	left := w.keep
	if earliest, _, _ := s.clock.bounds(); w.expires > earliest {
		left = max(left, time.Duration(w.expires-earliest))
	}
	left = max(0, left)
	if left > maxTTL {
		return 0
	}
	return (left + time.Second - 1).Truncate(time.Second) + s.grace
}

// pause lets others finish. In a replicated stream a write that is under way
// refuses all others before anybody can read it.
func pause(try int) {
	if try > 0 {
		most := min(time.Millisecond<<min(try, 8), 100*time.Millisecond)
		time.Sleep(rand.N(most)) //nolint:gosec // spreads callers, nothing to guess
	}
}
