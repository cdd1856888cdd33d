package natsstore

import (
	"context"
	"iter"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/semel-go/semel"
)

// Trail implements [semel.Auditor]. A trail of one slot reads what is about that slot,
// all of it, and keeps it in memory, or no more than twice the limit. Any other reads
// up to 500 entries at a time, from the end of the stream on. It ends when ctx does.
func (s *Store) Trail(ctx context.Context, f semel.AuditFilter) iter.Seq2[semel.AuditEntry, error] {
	return func(yield func(semel.AuditEntry, error) bool) {
		err := s.readTrail(ctx, f, func(e semel.AuditEntry) bool { return yield(e, nil) })
		if err != nil {
			yield(semel.AuditEntry{}, failed("trail", err))
		}
	}
}

func (s *Store) readTrail(ctx context.Context, f semel.AuditFilter, yield func(semel.AuditEntry) bool) error {
	stream, err := s.openTrail(ctx)
	if err != nil {
		return err
	}
	state := stream.CachedInfo().State
	last := state.LastSeq
	if f.Before > 0 {
		last = min(last, uint64(f.Before)-1)
	}
	if f.Key != (semel.Key{}) {
		entries, err := s.entries(ctx, stream, s.trailSubject(f.Key), 0, last, f.Limit)
		return yieldTurned(entries, err, yield)
	}
	for n := 0; last >= state.FirstSeq && last > 0 && (f.Limit <= 0 || n < f.Limit); {
		size := uint64(fetchSize)
		if f.Limit > 0 {
			size = min(size, uint64(f.Limit-n)) //nolint:gosec // more than zero
		}
		first := last - min(size, last) + 1
		entries, err := s.entries(ctx, stream, "", first, last, 0)
		stopped := false
		err = yieldTurned(entries, err, func(e semel.AuditEntry) bool {
			n++
			stopped = !yield(e)
			return !stopped
		})
		if err != nil || stopped {
			return err
		}
		last = first - 1
	}
	return nil
}

// entries reads those of a subject, or of all, between two sequences, the oldest first:
// all of them, or the latest when there is a limit.
func (s *Store) entries(ctx context.Context, stream jetstream.Stream, subject string, first, last uint64, limit int) ([]semel.AuditEntry, error) {
	var entries []semel.AuditEntry
	some := scan{store: s, stream: stream, subject: subject, see: func(msg jetstream.Msg, m *jetstream.MsgMetadata) (bool, error) {
		if m.Sequence.Stream > last {
			return false, nil
		}
		e, err := decodeEntry(msg.Data(), m.Sequence.Stream, m.Timestamp)
		if err != nil {
			return false, err
		}
		if entries = append(entries, e); limit > 0 && len(entries) > 2*limit {
			entries = slices.Delete(entries, 0, len(entries)-limit)
		}
		return m.Sequence.Stream < last, nil
	}}
	err := some.run(ctx, first)
	if limit > 0 && len(entries) > limit {
		entries = entries[len(entries)-limit:]
	}
	return entries, err
}

// yieldTurned yields entries, the latest first.
func yieldTurned(entries []semel.AuditEntry, err error, yield func(semel.AuditEntry) bool) error {
	if err != nil {
		return err
	}
	for _, e := range slices.Backward(entries) {
		if !yield(e) {
			return nil
		}
	}
	return nil
}
