package sqlitestore

import (
	"context"
	"database/sql/driver"
	"encoding/hex"
	"fmt"
	"iter"
	"strings"

	"github.com/semel-go/semel"
)

// listWindow is how many row ids one read looks at. Between two reads nothing
// of the file is held, however slowly the caller goes on.
const listWindow = 10_000

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
			if err = context.Cause(ctx); err != nil {
				break
			}
			var found []semel.Record
			err = s.readers.with(func(c *readConn) (err error) {
				found, err = q.next(c)
				return err
			})
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

// withBody adds the response. The record may have changed since the window was
// read; then the new one counts, when it still is what was asked for.
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
	now.record.Lapsed = now.lapsed(q.margin, q.now)
	wanted := q.states>>now.record.State&1 == 1 && (!q.filter.Lapsed || now.record.Lapsed)
	return now.record, wanted, nil
}

// query is a List under way.
type query struct {
	filter      semel.Filter
	now, margin int64
	states      int64 // bit n: state n is wanted
	low, high   semel.Slot
	narrow      bool  // few slots can match: use their index
	before      int64 // ids from here on were read; 0: nothing was
	left        int64 // of Filter.Limit; negative: no limit
	over        bool
}

func newQuery(f semel.Filter, now int64) (*query, error) {
	q := &query{filter: f, now: now, margin: max(0, micros(f.Margin)), left: -1}
	for _, s := range f.States {
		q.states |= 1 << s
	}
	if len(f.States) == 0 {
		q.states = 1<<semel.StateFree | 1<<semel.StateReserved | 1<<semel.StateCompleted
	}
	if f.Limit > 0 {
		q.left = int64(f.Limit)
	}
	prefix := strings.ToLower(f.Slot)
	if len(prefix) > 2*len(q.low) {
		return nil, fmt.Errorf("sqlitestore: a slot has %d hexadecimal digits, not %d", 2*len(q.low), len(prefix))
	}
	for _, bound := range []struct {
		slot *semel.Slot
		fill string
	}{{&q.low, "0"}, {&q.high, "f"}} {
		text := prefix + strings.Repeat(bound.fill, 2*len(q.low)-len(prefix))
		if _, err := hex.Decode(bound.slot[:], []byte(text)); err != nil {
			return nil, fmt.Errorf("sqlitestore: slot prefix %q: %w", f.Slot, err)
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

// next reads one window, the youngest first.
func (q *query) next(c *readConn) (found []semel.Record, err error) {
	var v [2]driver.Value
	if _, err := c.span.first(v[:]); err != nil {
		return nil, err
	}
	cols := columns{values: v[:]}
	least, some := cols.optional()
	most, _ := cols.optional()
	if cols.err != nil || !some {
		q.over = true
		return nil, cols.err
	}
	if q.before == 0 {
		q.before = most + 1
	}
	stmt, from := c.list, q.before-listWindow
	if q.narrow {
		stmt, from = c.listSlot, least
	}
	found, err = q.read(stmt, from)
	q.before = from
	if q.left > 0 {
		q.left -= int64(len(found))
	}
	q.over = q.before <= least || q.left == 0
	return found, err
}

func (q *query) read(stmt *stmt, from int64) (found []semel.Record, err error) {
	lapsed := int64(0)
	if q.filter.Lapsed {
		lapsed = 1
	}
	var v [16]driver.Value
	err = stmt.each(v[:], func() error {
		var w row
		if err := w.scanListed(v[:], q); err != nil {
			return err
		}
		found = append(found, w.record)
		return nil
	}, from, q.before, q.low[:], q.high[:], q.states, lapsed, q.now-q.margin,
		q.filter.Scope, q.filter.Scope, q.filter.ID, q.filter.ID, q.left)
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
	w.record.Lapsed = w.lapsed(q.margin, q.now)
	return c.err
}
