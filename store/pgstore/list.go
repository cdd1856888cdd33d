package pgstore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"math"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/semel-go/semel"
)

// listPage is how many records one statement reads. Between two statements no
// connection is held, however slowly the caller goes on.
const listPage = 500

// List implements [semel.Lister]. It ends when ctx does. With
// [semel.Filter.Bodies] each response is a statement of its own, and a record
// that changed since its page was read is left out.
func (s *Store) List(ctx context.Context, f semel.Filter) iter.Seq2[semel.Record, error] {
	return func(yield func(semel.Record, error) bool) {
		q, err := newQuery(f)
		for err == nil && !q.over {
			var found []semel.Record
			if found, err = s.page(ctx, q); err != nil {
				break
			}
			for _, rec := range found {
				here := true
				if f.Bodies && rec.State == semel.StateCompleted {
					here, err = s.withBody(ctx, &rec)
				}
				if err != nil {
					break
				}
				if here && !yield(rec, nil) {
					return
				}
			}
		}
		if err != nil {
			yield(semel.Record{}, explain("list", err))
		}
	}
}

// withBody adds the response, and reports whether the record is still there.
func (s *Store) withBody(ctx context.Context, rec *semel.Record) (bool, error) {
	slot := rec.Key.Slot()
	err := s.pool.QueryRow(ctx, s.sql.body, s.execMode(), slot[:], rec.Fence).
		Scan(&rec.Response.Header, &rec.Response.Body)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// query is a List under way.
type query struct {
	filter    semel.Filter
	states    []int16
	low, high semel.Slot
	created   int64 // the place of the last record
	slot      semel.Slot
	leastAge  int64 // in microseconds
	mostAge   int64
	left      int // of Filter.Limit; negative: no limit
	over      bool
}

// ages is more than any age, in microseconds, and may be added to any time.
const ages = math.MaxInt64 / 2

func newQuery(f semel.Filter) (*query, error) {
	q := &query{filter: f, created: math.MaxInt64, leastAge: -ages, mostAge: ages, left: -1}
	if f.Limit > 0 {
		q.left = f.Limit
	}
	if len(f.States) == 0 {
		f.States = []semel.State{semel.StateFree, semel.StateReserved, semel.StateCompleted}
	}
	for _, state := range f.States {
		q.states = append(q.states, int16(state))
	}
	for i := range q.slot {
		q.slot[i] = 0xff
	}
	if !f.After.IsZero() {
		q.created, q.slot = f.After.CreatedAt.UnixMicro(), f.After.Slot
	}
	if f.MinAge > 0 {
		q.leastAge = micros(f.MinAge)
	}
	if f.MaxAge > 0 {
		q.mostAge = f.MaxAge.Microseconds() // rounded down: an age has whole microseconds
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
	if f.Scope != "" && f.ID != "" { // one key has one slot
		slot := semel.Key{Scope: f.Scope, ID: f.ID}.Slot()
		q.over = !strings.HasPrefix(slot.String(), prefix)
		q.low, q.high = slot, slot
	}
	return q, nil
}

// planEach is how to send a statement whose plan depends on its arguments: one
// slot is found in another index than all of them.
func (s *Store) planEach() pgx.QueryExecMode {
	if mode := s.execMode(); mode != pgx.QueryExecModeCacheStatement {
		return mode
	}
	return s.wholeMode
}

// listArgs are the arguments of list.sql.
func listArgs(q *query, limit int) []any {
	f := &q.filter
	return []any{
		q.created, q.slot[:], q.low[:], q.high[:], q.states, f.Lapsed, micros(f.Margin),
		[]byte(f.Scope), []byte(f.ID), int32(limit), []byte(f.Route), q.leastAge, q.mostAge, //nolint:gosec // at most listPage
	}
}

// page reads the records behind the place.
func (s *Store) page(ctx context.Context, q *query) (found []semel.Record, err error) {
	limit := listPage
	if q.left >= 0 {
		limit = min(limit, q.left)
	}
	margin := micros(q.filter.Margin)
	rows, err := s.pool.Query(ctx, s.sql.list, append([]any{s.planEach()}, listArgs(q, limit)...)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var w row
		var scope, key, slot []byte
		if err := w.scan(rows, &scope, &key, &slot); err != nil {
			return nil, err
		}
		w.record.Key = semel.Key{Scope: string(scope), ID: string(key)}
		w.record.Lapsed = w.lapsed(margin)
		found = append(found, w.record)
		q.created = w.record.CreatedAt.UnixMicro()
		copy(q.slot[:], slot)
	}
	if q.left > 0 {
		q.left -= len(found)
	}
	q.over = len(found) < limit || q.left == 0
	return found, rows.Err()
}
