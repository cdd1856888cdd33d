package sqlitestore

import (
	"bytes"
	"context"
	"database/sql/driver"
	"encoding/hex"
	"fmt"
	"iter"
	"math"
	"strings"

	"github.com/semel-go/semel"
)

// A read looks at about so many rows, whether they are wanted or not: first few, so that
// a page costs what is on it, then more. Between two reads nothing of the file is held,
// however slowly the caller goes on.
const (
	listLeast = 64
	listMost  = 10_000
)

// List implements [semel.Lister]. It ends when ctx does, between two reads. A
// damaged response ends it only with [semel.Filter.Bodies].
func (s *Store) List(ctx context.Context, f semel.Filter) iter.Seq2[semel.Record, error] {
	return func(yield func(semel.Record, error) bool) {
		q, err := newQuery(f, s.clock.now())
		if err != nil {
			yield(semel.Record{}, err)
			return
		}
		for err == nil && !q.over {
			var found []semel.Record
			found, err = s.window(ctx, q)
			for _, rec := range found {
				rec, ok, ferr := s.withBody(rec, q)
				if ferr != nil {
					err = ferr
					break
				}
				if ok && !yield(rec, nil) {
					return
				}
			}
		}
		if err != nil {
			yield(semel.Record{}, explain(s.path, err))
		}
	}
}

// window reads the next one of a list.
func (s *Store) window(ctx context.Context, q *query) (found []semel.Record, err error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	err = s.readers.with(func(c *readConn) (err error) {
		found, err = q.next(c)
		return err
	})
	return found, err
}

// Sift implements [semel.Sifter]. Records that are as old as one another are passed over
// together.
func (s *Store) Sift(ctx context.Context, f semel.Filter, most int) (found []semel.Record, next semel.Place, err error) {
	q, err := newQuery(f, s.clock.now())
	for left := int64(max(most, 1)); err == nil && !q.over && left > 0; {
		q.window = min(q.window, left)
		left -= q.window
		var more []semel.Record
		more, err = s.window(ctx, q)
		found = append(found, more...)
	}
	if err != nil {
		return nil, semel.Place{}, explain(s.path, err)
	}
	switch {
	case f.Limit > 0 && len(found) == f.Limit:
		next = found[f.Limit-1].Place()
	case !q.over:
		next.CreatedAt = timeOf(q.top.created + 1)
	}
	all := found
	found = found[:0]
	for _, rec := range all {
		rec, ok, err := s.withBody(rec, q)
		if err != nil {
			return nil, semel.Place{}, explain(s.path, err)
		}
		if ok {
			found = append(found, rec)
		}
	}
	return found, next, nil
}

// withBody adds the response. A record that was taken anew since the window was read
// is left out: it stands elsewhere in the order now.
func (s *Store) withBody(rec semel.Record, q *query) (_ semel.Record, ok bool, err error) {
	if !q.filter.Bodies || rec.State != semel.StateCompleted {
		return rec, true, nil
	}
	var now row
	err = s.readers.with(func(c *readConn) (err error) {
		ok, err = now.find(c.find, rec.Key.Slot())
		return err
	})
	if err != nil || !ok {
		return rec, false, err
	}
	now.record.Key = rec.Key
	return now.record, now.record.State == rec.State && now.record.Fence == rec.Fence, nil
}

// spot is a place in the order of the list, as the table has it.
type spot struct {
	created int64
	slot    semel.Slot
}

// from is the place before all that are created at a time.
func from(created int64) spot {
	return spot{created, semel.Slot(bytes.Repeat([]byte{0xff}, len(semel.Slot{})))}
}

// query is a List under way. What it has not read lies behind top, and is not older than
// bottom.
type query struct {
	filter      semel.Filter
	now, margin int64
	states      int64 // bit n: state n is wanted
	low, high   semel.Slot
	narrow      bool // few slots can match: use their index
	open        bool // one state of few records is wanted: use its index
	state       int64
	top         spot
	bottom      int64
	window      int64 // how many rows the next read looks at
	most        int64 // how many one ever does
	left        int64 // of Filter.Limit; negative: no limit
	over        bool
}

func newQuery(f semel.Filter, now int64) (*query, error) {
	q := &query{
		filter: f, now: now, margin: max(0, micros(f.Margin)), left: -1, window: listMost, most: listMost,
		top: from(math.MaxInt64), bottom: math.MinInt64,
	}
	for _, s := range f.States {
		q.states |= 1 << s
	}
	if len(f.States) == 0 {
		q.states = 1<<semel.StateFree | 1<<semel.StateReserved | 1<<semel.StateCompleted
	}
	if f.Limit > 0 {
		q.left = int64(f.Limit)
		q.window = min(max(q.left, listLeast), listMost)
	}
	q.bound()
	return q, q.choose()
}

// bound finds where the list begins and ends. An age has whole microseconds, so the
// least is rounded up and the largest down.
func (q *query) bound() {
	f := &q.filter
	if !f.After.IsZero() {
		q.top = spot{f.After.CreatedAt.UnixMicro(), f.After.Slot}
		if f.After.Slot == (semel.Slot{}) { // behind all that are as old
			q.top = from(q.top.created - 1)
		}
	}
	if youngest := q.now - micros(f.MinAge); f.MinAge > 0 && youngest < q.top.created {
		q.top = from(youngest)
	}
	if f.MaxAge > 0 {
		q.bottom = q.now - f.MaxAge.Microseconds()
	}
}

// choose finds the slots that can match.
func (q *query) choose() error {
	f := &q.filter
	prefix := strings.ToLower(f.Slot)
	if len(prefix) > 2*len(q.low) {
		return fmt.Errorf("sqlitestore: a slot has %d hexadecimal digits, not %d", 2*len(q.low), len(prefix))
	}
	for _, bound := range []struct {
		slot *semel.Slot
		fill string
	}{{&q.low, "0"}, {&q.high, "f"}} {
		text := prefix + strings.Repeat(bound.fill, 2*len(q.low)-len(prefix))
		if _, err := hex.Decode(bound.slot[:], []byte(text)); err != nil {
			return fmt.Errorf("sqlitestore: slot prefix %q: %w", f.Slot, err)
		}
	}
	if f.Scope != "" && f.ID != "" {
		slot := semel.Key{Scope: f.Scope, ID: f.ID}.Slot()
		q.over = !strings.HasPrefix(slot.String(), prefix)
		q.low, q.high = slot, slot
	}
	q.narrow = len(prefix) >= 3 || q.low == q.high
	q.open = !q.narrow && (f.Lapsed || q.states == 1<<semel.StateReserved || q.states == 1<<semel.StateFree)
	if q.states != 1<<semel.StateFree {
		q.state = int64(semel.StateReserved)
	}
	return nil
}

// next reads one window, the youngest first.
func (q *query) next(c *readConn) (found []semel.Record, err error) {
	if q.narrow {
		q.over = true
		return q.read(c.listSlot, q.bottom, nil)
	}
	list, window := c.list, c.listWindow
	var state []driver.Value
	if q.open {
		list, window, state = c.listOpen, c.listOpenWindow, []driver.Value{q.state}
	}
	end, more, err := q.end(window, state)
	if err != nil {
		return nil, err
	}
	found, err = q.read(list, end, state)
	if q.left > 0 {
		q.left -= int64(len(found))
	}
	q.top, q.window = from(end-1), min(4*q.window, q.most)
	q.over = !more || q.left == 0
	return found, err
}

// end is the last time in the window, and whether there may be anything behind it. All
// that is as old belongs to the window, too.
func (q *query) end(stmt *stmt, state []driver.Value) (end int64, more bool, err error) {
	end, more, err = stmt.integer(append(state, q.top.created, q.bottom, q.window-1)...)
	if !more {
		end = q.bottom
	}
	return end, more && end > q.bottom, err
}

// read reads what lies behind top and is not older than end.
func (q *query) read(stmt *stmt, end int64, state []driver.Value) (found []semel.Record, err error) {
	lapsed := int64(0)
	if q.filter.Lapsed {
		lapsed = 1
	}
	args := append(state, q.top.created, end, q.top.created, q.top.slot[:], q.low[:], q.high[:], q.states, lapsed, q.now-q.margin,
		q.filter.Scope, q.filter.Scope, q.filter.ID, q.filter.ID, q.filter.Route, q.filter.Route, q.left)
	var v [17]driver.Value
	err = stmt.each(v[:], func() error {
		var w row
		if err := w.scanListed(v[:], q); err != nil {
			return err
		}
		found = append(found, w.record)
		return nil
	}, args...)
	return found, err
}

// scanListed reads a row in the order of list.sql's columns.
func (w *row) scanListed(v []driver.Value, q *query) error {
	c := columns{values: v}
	_ = c.blob() // the slot follows from the key
	w.record.Key = semel.Key{Scope: c.text(), ID: c.text()}
	w.record.State = semel.State(c.integer()) //nolint:gosec // the schema allows 0 to 2
	c.fixed(w.record.Fingerprint[:])
	c.fixed(w.record.Token[:])
	w.record.Fence = c.integer()
	w.leaseUntil = c.integer()
	w.record.Attempts = int(c.integer())
	w.record.Lapses = int(c.integer())
	w.record.Owner = c.text()
	w.record.CreatedAt = timeOf(c.integer())
	w.record.ExpiresAt = timeOf(c.integer())
	status, _ := c.optional()
	w.record.Response.Status = int(status)
	w.record.Deferred = c.integer() != 0
	w.record.Reason = c.text()
	w.record.Route = c.text()
	w.record.Lapsed = w.lapsed(q.margin, q.now)
	return c.err
}
