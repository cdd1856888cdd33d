package natsstore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/semel-go/semel"
)

// List implements [semel.Lister]. A filter with scope and id, or with a whole
// slot, is one look; any other, and so each page of it, reads the whole stream, bodies
// included, and keeps what it chose in memory, or no more than twice the limit, before
// it yields. A record whose retention is over is none, although the server deletes
// it only a minute later. A damaged record ends it.
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
	all := scan{store: s, stream: stream, see: func(msg jetstream.Msg, m *jetstream.MsgMetadata) (bool, error) {
		slot, err := slotOf(msg.Subject())
		if err != nil {
			return false, err
		}
		h, err := parse(slot, msg.Headers(), msg.Data(), m.Sequence.Stream, m.Timestamp)
		c.choose(slot, &h)
		return err == nil, err
	}}
	err = all.run(ctx, 0)
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
	if h.absent || h.state != semel.StateReserved && h.expires <= c.now ||
		f.Scope != "" && f.Scope != h.key.Scope || f.ID != "" && f.ID != h.key.ID ||
		len(f.States) > 0 && !slices.Contains(f.States, h.state) ||
		f.Route != "" && f.Route != h.route ||
		f.MinAge > 0 && c.now-h.created < int64(f.MinAge) || f.MaxAge > 0 && c.now-h.created > int64(f.MaxAge) ||
		f.Lapsed && (h.state != semel.StateReserved || !over) ||
		!strings.HasPrefix(slot.String(), f.Slot) {
		return
	}
	rec := h.record(over)
	if !f.After.IsZero() && behind(rec.Place(), f.After) >= 0 {
		return
	}
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
	slices.SortFunc(all, func(a, b semel.Record) int { return behind(b.Place(), a.Place()) })
	return all
}

// behind is less than zero when a is listed behind b.
func behind(a, b semel.Place) int {
	return cmp.Or(cmp.Compare(a.CreatedAt.UnixMicro(), b.CreatedAt.UnixMicro()), bytes.Compare(a.Slot[:], b.Slot[:]))
}

func (c *chooser) result() []semel.Record {
	all := c.sorted()
	if c.filter.Limit > 0 && len(all) > c.filter.Limit {
		all = all[:c.filter.Limit]
	}
	return all
}
