package natsstore

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/semel-go/semel"
)

// purgeLook bounds how many messages one purge looks at.
const purgeLook = 10_000

// purgeCursor is the sequence where the next purge begins; 0: at the start.
type purgeCursor = atomic.Uint64

// Purge implements [semel.Purger]. The server deletes what is over by itself, a
// minute after the retention; Purge only brings that forward, and deletes what
// was kept for more than a hundred years. One call looks at the headers of up
// to 10,000 messages, from where the last one ended, so zero means that nothing
// was left to do among them.
func (s *Store) Purge(ctx context.Context, limit int) (int, error) {
	n, err := s.purgeSome(ctx, limit)
	return n, failed("purge", err)
}

func (s *Store) purgeSome(ctx context.Context, limit int) (int, error) {
	if limit <= 0 {
		return 0, nil
	}
	stream, err := s.ready(ctx)
	if err != nil {
		return 0, err
	}
	now, err := s.measure(ctx)
	if err != nil {
		return 0, err
	}
	from := s.purge.Load()
	due, next, err := s.candidates(ctx, stream, from, limit, now)
	if err == nil && len(due) == 0 && next == 0 && from > 0 { // nothing from there to the end
		due, next, err = s.candidates(ctx, stream, 0, limit, now)
	}
	if err != nil {
		return 0, err
	}
	s.purge.Store(next)
	n := 0
	for _, seq := range due {
		gone, err := s.purgeOne(ctx, stream, seq, now)
		if err != nil {
			return n, err
		}
		if gone {
			n++
		}
	}
	return n, nil
}

// candidates returns the sequences of up to limit messages that may be over,
// and where to look on, 0 when it came to the end. A message that the server keeps for ever is none, unless
// it is older than the longest life.
func (s *Store) candidates(ctx context.Context, stream jetstream.Stream, from uint64, limit int, now int64) (due []uint64, next uint64, err error) {
	looked := 0
	some := scan{store: s, stream: stream, headers: true, see: func(msg jetstream.Msg, m *jetstream.MsgMetadata) (bool, error) {
		looked++
		if mayBeOver(msg.Headers().Get(jetstream.MsgTTLHeader), m.Timestamp.UnixNano(), now) {
			due = append(due, m.Sequence.Stream)
		}
		if len(due) == limit || looked == purgeLook {
			next = m.Sequence.Stream + 1
			return false, nil
		}
		return true, nil
	}}
	err = some.run(ctx, from)
	return due, next, err
}

// mayBeOver judges by the header that tells the server when to delete.
func mayBeOver(ttl string, stamp, now int64) bool {
	if ttl == "" {
		return now-stamp > int64(maxTTL)
	}
	life, err := time.ParseDuration(ttl + "s")
	return err == nil && after(stamp, life-ttlGrace-time.Second) <= now
}

// purgeOne deletes the message with this sequence if it is over. A message
// never changes: whoever takes its slot meanwhile writes another one, which
// this cannot reach (I9).
func (s *Store) purgeOne(ctx context.Context, stream jetstream.Stream, seq uint64, now int64) (bool, error) {
	ctx, cancel := s.within(ctx)
	defer cancel()
	msg, err := stream.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	if err != nil {
		return false, explain(err)
	}
	slot, err := slotOf(msg.Subject)
	if err != nil {
		return false, err
	}
	h, err := parse(slot, msg.Header, msg.Data, msg.Sequence, msg.Time)
	if err != nil || h.absent || h.state == semel.StateReserved || h.expires > now {
		return false, err
	}
	if err := stream.DeleteMsg(ctx, seq); err != nil {
		if _, gone := stream.GetMsg(ctx, seq); errors.Is(gone, jetstream.ErrMsgNotFound) {
			return false, nil // taken or deleted meanwhile
		}
		return false, explain(err)
	}
	return true, nil
}
