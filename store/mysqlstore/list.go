package mysqlstore

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"math"
	"strings"

	"github.com/semel-go/semel"
)

// listWindow is how many records one statement looks at, at most. Between two
// statements nothing of the server is held, however slowly the caller goes on.
const listWindow = 1000

// List implements [semel.Lister]. It goes through the index of age in windows, the
// first of which has as many records as the limit: without other conditions a page costs
// what is on it, and with them what they pass over too. It ends when ctx does.
func (s *Store) List(ctx context.Context, f semel.Filter) iter.Seq2[semel.Record, error] {
	return func(yield func(semel.Record, error) bool) {
		if err := s.list(ctx, f, func(rec semel.Record) bool { return yield(rec, nil) }); err != nil {
			yield(semel.Record{}, explain("list", err))
		}
	}
}

func (s *Store) list(ctx context.Context, f semel.Filter, yield func(semel.Record) bool) error {
	q, err := newQuery(f)
	if err != nil {
		return err
	}
	if s.isClosed() {
		return ErrClosed
	}
	if err := s.bound(ctx, q); err != nil {
		return err
	}
	for !q.over && q.left > 0 {
		found, err := s.window(ctx, q)
		if err != nil {
			return err
		}
		for i := range found {
			ok, err := s.withBody(ctx, q, &found[i])
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			if q.left--; !yield(found[i].record) {
				return nil
			}
		}
	}
	return nil
}

// query is a List under way.
type query struct {
	filter    semel.Filter
	margin    int64
	states    int64 // bit n: state n is wanted
	low, high semel.Slot
	narrow    bool  // few slots can match: use the primary key
	from      place // records from here on were read
	end       place // the last place that is wanted
	size      int   // how many records the next window has
	left      int   // how many records are still wanted
	over      bool
}

// limits of the order of age.
var (
	youngest = place{math.MaxInt64, bytes.Repeat([]byte{0xff}, len(semel.Slot{}))}
	oldest   = place{math.MinInt64, make([]byte, len(semel.Slot{}))}
)

func newQuery(f semel.Filter) (*query, error) {
	q := &query{filter: f, margin: max(0, micros(f.Margin)), from: youngest, end: oldest, size: listWindow, left: math.MaxInt32}
	if f.Limit > 0 {
		q.left = min(f.Limit, q.left)
		q.size = min(f.Limit, q.size)
	}
	if !f.After.IsZero() {
		q.from = place{f.After.CreatedAt.UnixMicro(), f.After.Slot[:]}
	}
	for _, state := range f.States {
		q.states |= 1 << state
	}
	if len(f.States) == 0 {
		q.states = 1<<semel.StateFree | 1<<semel.StateReserved | 1<<semel.StateCompleted
	}
	prefix := strings.ToLower(f.Slot)
	if len(prefix) > 2*len(q.low) {
		return nil, fmt.Errorf("a slot has %d hexadecimal digits, not %d", 2*len(q.low), len(prefix))
	}
	for _, bound := range []struct {
		slot *semel.Slot
		fill string
	}{{&q.low, "0"}, {&q.high, "f"}} {
		text := prefix + strings.Repeat(bound.fill, 2*len(q.low)-len(prefix))
		if _, err := hex.Decode(bound.slot[:], []byte(text)); err != nil {
			return nil, fmt.Errorf("slot prefix %q: %w", f.Slot, err)
		}
	}
	if f.Scope != "" && f.ID != "" {
		slot := semel.Key{Scope: f.Scope, ID: f.ID}.Slot()
		q.over = !strings.HasPrefix(slot.String(), prefix)
		q.low, q.high = slot, slot
	}
	q.narrow = len(prefix) >= 4 || q.low == q.high
	return q, nil
}

// bound narrows the query down to records of the ages that are wanted, by the server's
// clock.
func (s *Store) bound(ctx context.Context, q *query) error {
	least, most := micros(q.filter.MinAge), micros(q.filter.MaxAge)
	if least <= 0 && most <= 0 {
		return nil
	}
	var us int64
	if err := s.db.QueryRowContext(ctx, s.sql.clock).Scan(&us); err != nil {
		return err
	}
	if least > 0 && us-least < q.from.time {
		q.from = place{us - least, youngest.slot}
	}
	if most > 0 {
		q.end = place{us - most, oldest.slot}
	}
	return nil
}

// window reads the next records, the youngest first.
func (s *Store) window(ctx context.Context, q *query) ([]row, error) {
	text, to, more := s.sql.listSlot, q.end, false
	if !q.narrow {
		text = s.sql.list
		var last place
		err := s.db.QueryRowContext(ctx, s.sql.window, q.from.time, q.from.time, q.from.slot, q.end.time, q.size-1).Scan(&last.time, &last.slot)
		switch {
		case err == nil:
			to, more = last, true
		case !isNoRows(err):
			return nil, err
		}
	}
	found, err := s.readWindow(ctx, q, text, to)
	if len(found) == q.left { // there may be more in this window, if one of these is gone
		last := &found[len(found)-1].record
		slot := last.Key.Slot()
		to, more = place{last.CreatedAt.UnixMicro(), slot[:]}, true
	}
	q.from, q.over = to, !more
	q.size = min(2*q.size, listWindow)
	return found, err
}

func (s *Store) readWindow(ctx context.Context, q *query, text string, to place) (found []row, err error) {
	rows, err := s.db.QueryContext(ctx, text,
		q.from.time, q.from.time, q.from.slot, to.time, to.time, to.slot, q.low[:], q.high[:],
		q.states, q.filter.Lapsed, q.margin,
		q.filter.Scope != "", []byte(q.filter.Scope), q.filter.ID != "", []byte(q.filter.ID),
		q.filter.Route != "", []byte(q.filter.Route), q.left)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var w row
		var f fields
		dst := append([]any{&f.scope, &f.id}, w.columns(&f)...)
		if err := rows.Scan(append(dst, &w.now)...); err != nil {
			return nil, err
		}
		if err := w.set(&f); err != nil {
			return nil, err
		}
		w.record.Key = semel.Key{Scope: string(f.scope), ID: string(f.id)}
		w.record.Lapsed = w.lapsed(q.margin)
		found = append(found, w)
	}
	return found, rows.Err()
}

// withBody adds the response. The record may have changed since the window was
// read; then the new one counts, when it still is what was asked for. A slot that was
// reserved since stands elsewhere in the list.
func (s *Store) withBody(ctx context.Context, q *query, w *row) (ok bool, err error) {
	if !q.filter.Bodies || w.record.State != semel.StateCompleted {
		return true, nil
	}
	key := w.record.Key
	fresh, ok, err := s.find(ctx, s.db, s.sql.find, key.Slot())
	if err != nil || !ok || !fresh.record.CreatedAt.Equal(w.record.CreatedAt) {
		return false, err
	}
	*w = fresh
	w.record.Key = key
	w.record.Lapsed = w.lapsed(q.margin)
	return q.states>>w.record.State&1 == 1 && (!q.filter.Lapsed || w.record.Lapsed), nil
}
