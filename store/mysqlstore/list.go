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

// listWindow is how many records one statement looks at. Between two statements
// nothing of the server is held, however slowly the caller goes on.
const listWindow = 1000

// List implements [semel.Lister]. It ends when ctx does.
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
	for !q.over {
		found, err := s.window(ctx, q)
		if err != nil {
			return err
		}
		for i := range found {
			ok, err := s.withBody(ctx, q, &found[i])
			if err != nil {
				return err
			}
			if ok && !yield(found[i].record) {
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
	left      int   // how many records are still wanted
	over      bool
}

// limits of the order of age.
var (
	youngest = place{math.MaxInt64, bytes.Repeat([]byte{0xff}, len(semel.Slot{}))}
	oldest   = place{math.MinInt64, make([]byte, len(semel.Slot{}))}
)

func newQuery(f semel.Filter) (*query, error) {
	q := &query{filter: f, margin: max(0, micros(f.Margin)), from: youngest, left: math.MaxInt32}
	if f.Limit > 0 {
		q.left = min(f.Limit, q.left)
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

// window reads the next records, the youngest first.
func (s *Store) window(ctx context.Context, q *query) ([]row, error) {
	text, to := s.sql.listSlot, oldest
	if !q.narrow {
		text = s.sql.list
		var end place
		err := s.db.QueryRowContext(ctx, s.sql.window, q.from.time, q.from.time, q.from.slot, listWindow-1).Scan(&end.time, &end.slot)
		switch {
		case err == nil:
			to = end
		case !isNoRows(err):
			return nil, err
		}
	}
	found, err := s.readWindow(ctx, q, text, to)
	q.from = to
	q.left -= len(found)
	q.over = to.time == oldest.time || q.left <= 0
	return found, err
}

func (s *Store) readWindow(ctx context.Context, q *query, text string, to place) (found []row, err error) {
	rows, err := s.db.QueryContext(ctx, text,
		q.from.time, q.from.time, q.from.slot, to.time, to.time, to.slot, q.low[:], q.high[:],
		q.states, q.filter.Lapsed, q.margin,
		q.filter.Scope != "", []byte(q.filter.Scope), q.filter.ID != "", []byte(q.filter.ID), q.left)
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
// read; then the new one counts, when it still is what was asked for.
func (s *Store) withBody(ctx context.Context, q *query, w *row) (ok bool, err error) {
	if !q.filter.Bodies || w.record.State != semel.StateCompleted {
		return true, nil
	}
	key := w.record.Key
	fresh, ok, err := s.find(ctx, s.db, s.sql.find, key.Slot())
	if err != nil || !ok {
		return false, err
	}
	*w = fresh
	w.record.Key = key
	w.record.Lapsed = w.lapsed(q.margin)
	return q.states>>w.record.State&1 == 1 && (!q.filter.Lapsed || w.record.Lapsed), nil
}
