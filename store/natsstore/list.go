package natsstore

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/semel-go/semel"
)

// fetchSize is how many messages one request brings.
const fetchSize = 500

// List implements [semel.Lister]. A filter with scope and id, or with a whole
// slot, is one look; any other reads the whole stream, bodies included, and
// keeps what it chose in memory, or no more than twice the limit, before it
// yields. A damaged record ends it.
func (s *Store) List(ctx context.Context, f semel.Filter) iter.Seq2[semel.Record, error] {
	return func(yield func(semel.Record, error) bool) {
		found, err := s.list(ctx, f)
		if err != nil {
			yield(semel.Record{}, failed("list", err))
			return
		}
		for _, rec := range found {
			if !yield(rec, nil) {
				return
			}
		}
	}
}

func (s *Store) list(ctx context.Context, f semel.Filter) ([]semel.Record, error) {
	stream, err := s.ready(ctx)
	if err != nil {
		return nil, err
	}
	f.Slot = strings.ToLower(f.Slot)
	c := chooser{filter: f, found: make(map[semel.Slot]semel.Record)}
	if c.now, err = s.measure(ctx); err != nil {
		return nil, err
	}
	if slot, one := single(f); one {
		h, err := s.read(ctx, stream, slot)
		c.choose(slot, &h)
		return c.result(), err
	}
	err = s.scan(ctx, stream, scan{}, func(msg jetstream.Msg, m *jetstream.MsgMetadata) (bool, error) {
		slot, err := slotOf(msg.Subject())
		if err != nil {
			return false, err
		}
		h, err := parse(slot, msg.Headers(), msg.Data(), m.Sequence.Stream, m.Timestamp)
		c.choose(slot, &h)
		return err == nil, err
	})
	return c.result(), err
}

// single returns the slot of a filter that chooses only one.
func single(f semel.Filter) (semel.Slot, bool) {
	if f.Scope != "" && f.ID != "" {
		return semel.Key{Scope: f.Scope, ID: f.ID}.Slot(), true
	}
	if len(f.Slot) == hex.EncodedLen(len(semel.Slot{})) {
		slot, err := slotOf("." + f.Slot)
		return slot, err == nil
	}
	return semel.Slot{}, false
}

// slotOf reads the last token of a subject.
func slotOf(subject string) (semel.Slot, error) {
	var slot semel.Slot
	text := subject[strings.LastIndexByte(subject, '.')+1:]
	if n, err := hex.Decode(slot[:], []byte(text)); err != nil || n != len(slot) || len(text) != 2*len(slot) {
		return slot, fmt.Errorf("the stream holds a message under %q, which names no slot", subject)
	}
	return slot, nil
}

// chooser collects records by a filter.
type chooser struct {
	filter semel.Filter
	now    int64
	found  map[semel.Slot]semel.Record // of a slot that changes meanwhile, the last
}

func (c *chooser) choose(slot semel.Slot, h *held) {
	delete(c.found, slot)
	f := &c.filter
	over := h.due(f.Margin) <= c.now
	if h.absent || f.Scope != "" && f.Scope != h.key.Scope || f.ID != "" && f.ID != h.key.ID ||
		len(f.States) > 0 && !slices.Contains(f.States, h.state) ||
		f.Lapsed && (h.state != semel.StateReserved || !over) ||
		!strings.HasPrefix(slot.String(), f.Slot) {
		return
	}
	rec := h.record(over)
	if !f.Bodies {
		rec.Response.Header, rec.Response.Body = nil, nil
	}
	c.found[slot] = rec
	if f.Limit > 0 && len(c.found) > 2*f.Limit {
		for _, old := range c.sorted()[f.Limit:] {
			delete(c.found, old.Key.Slot())
		}
	}
}

// sorted returns what is chosen, the youngest first.
func (c *chooser) sorted() []semel.Record {
	all := make([]semel.Record, 0, len(c.found))
	for _, rec := range c.found {
		all = append(all, rec)
	}
	slices.SortFunc(all, func(a, b semel.Record) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.Fence, a.Fence))
	})
	return all
}

func (c *chooser) result() []semel.Record {
	all := c.sorted()
	if c.filter.Limit > 0 && len(all) > c.filter.Limit {
		all = all[:c.filter.Limit]
	}
	return all
}

// scan is how to read the stream.
type scan struct {
	from    uint64 // the first sequence; 0: the stream's first
	headers bool   // without the values
}

// visit is shown a message, and returns false to end the scan.
type visit func(jetstream.Msg, *jetstream.MsgMetadata) (bool, error)

// scan shows the messages of the stream, in the order in which they were
// written. It ends when it has caught up with the writers and has seen all that
// the leader had at the start: the consumer may read from a replica that lags.
func (s *Store) scan(ctx context.Context, stream jetstream.Stream, how scan, see visit) error {
	newest, err := s.newest(ctx, stream)
	if err != nil || newest == 0 {
		return err
	}
	consumer, err := s.consume(ctx, stream, how)
	if err != nil {
		return explain(err)
	}
	defer func() {
		ctx, cancel := s.within(ctx)
		defer cancel()
		_ = stream.DeleteConsumer(ctx, consumer.CachedInfo().Name) // it ends by itself as well
	}()
	var last uint64
	for try := 0; ; {
		got, more, err := fetch(ctx, consumer, see)
		switch {
		case err != nil || !more:
			return err
		case got > 0:
			last, try = got, 0
			continue
		case last >= newest:
			return nil
		}
		if try++; try == maxTries {
			return errors.New("a replica of the stream does not catch up")
		}
		pause(try)
		now, err := s.newest(ctx, stream) // what was the newest may be deleted
		if err != nil {
			return err
		}
		newest = min(newest, now)
	}
}

// newest is the sequence of the last message that the leader has; 0 for none.
func (s *Store) newest(ctx context.Context, stream jetstream.Stream) (uint64, error) {
	ctx, cancel := s.within(ctx)
	defer cancel()
	msg, err := stream.GetLastMsgForSubject(ctx, s.cfg.Subject+".*")
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, explain(err)
	}
	return msg.Sequence, nil
}

func (s *Store) consume(ctx context.Context, stream jetstream.Stream, how scan) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	cfg := jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, HeadersOnly: how.headers,
		InactiveThreshold: time.Minute, // if nobody deletes it
	}
	if how.from > 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, how.from
	}
	return stream.CreateConsumer(ctx, cfg)
}

// fetch shows one batch. It returns the last sequence, 0 if there was none, and
// whether to go on.
func fetch(ctx context.Context, consumer jetstream.Consumer, see visit) (last uint64, more bool, err error) {
	if err := context.Cause(ctx); err != nil {
		return 0, false, err
	}
	batch, err := consumer.FetchNoWait(fetchSize)
	if err != nil {
		return 0, false, explain(err)
	}
	for msg := range batch.Messages() {
		m, err := msg.Metadata()
		if err != nil {
			return 0, false, err
		}
		last = m.Sequence.Stream
		if more, err = see(msg, m); err != nil || !more {
			return last, false, err
		}
	}
	if err := batch.Error(); err != nil && !errors.Is(err, jetstream.ErrNoMessages) {
		return last, false, explain(err)
	}
	return last, true, nil
}
