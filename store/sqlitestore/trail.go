package sqlitestore

import (
	"context"
	"database/sql/driver"
	"iter"
	"math"

	"github.com/semel-go/semel"
)

// trailPage is how many entries one read takes. Between two nothing of the file is held.
const trailPage = 200

// Audit implements [semel.Auditor]. The entry is on the disk when it returns, as with
// every step. The file's own triggers refuse to change, replace or remove an entry.
func (s *Store) Audit(_ context.Context, e semel.AuditEntry) (semel.AuditEntry, error) {
	if s.writer == nil {
		return semel.AuditEntry{}, ErrReadOnly
	}
	if err := e.Fits(); err != nil {
		return semel.AuditEntry{}, err
	}
	size := len(e.Actor) + len(e.Action) + len(e.Key.Scope) + len(e.Key.ID) + len(e.Reason) + len(e.Result)
	err := s.writer.do(size, func(t *tx) (err error) {
		e, err = t.Audit(e)
		return err
	})
	if err != nil {
		return semel.AuditEntry{}, err
	}
	return e, nil
}

// Audit returns the entry with its ID and At.
func (t *tx) Audit(e semel.AuditEntry) (semel.AuditEntry, error) {
	var about driver.Value // null: about many
	if e.Key != (semel.Key{}) {
		slot := e.Key.Slot()
		about = slot[:]
	}
	_, id, err := t.audit.insert(t.now, e.Actor, string(e.Action), about, e.Key.Scope, e.Key.ID, e.Fence, e.Reason, e.Begun, e.Result)
	e.ID, e.At = id, timeOf(t.now)
	return e, err
}

// Trail implements [semel.Auditor]. It ends when ctx does, between two reads.
func (s *Store) Trail(ctx context.Context, f semel.AuditFilter) iter.Seq2[semel.AuditEntry, error] {
	return func(yield func(semel.AuditEntry, error) bool) {
		if f.Before <= 0 {
			f.Before = math.MaxInt64
		}
		for rest := f.Limit; ; {
			page := trailPage
			if f.Limit > 0 {
				page = min(page, rest)
			}
			found, err := s.trailPage(ctx, f, page)
			if err != nil {
				yield(semel.AuditEntry{}, explain(s.path, err))
				return
			}
			for _, e := range found {
				if !yield(e, nil) {
					return
				}
			}
			rest -= len(found)
			if len(found) < page || rest == 0 {
				return
			}
			f.Before = found[len(found)-1].ID
		}
	}
}

// trailPage reads up to n entries.
func (s *Store) trailPage(ctx context.Context, f semel.AuditFilter, n int) (found []semel.AuditEntry, err error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	err = s.readers.with(func(c *readConn) error {
		stmt, args := c.trail, []driver.Value{f.Before, int64(n)}
		if f.Key != (semel.Key{}) {
			slot := f.Key.Slot()
			stmt, args = c.trailSlot, append([]driver.Value{slot[:]}, args...)
		}
		var v [10]driver.Value
		return stmt.each(v[:], func() error {
			e, err := scanEntry(v[:])
			found = append(found, e)
			return err
		}, args...)
	})
	return found, err
}

// scanEntry reads an entry in the order of trail.sql's columns.
func scanEntry(v []driver.Value) (e semel.AuditEntry, err error) {
	c := columns{values: v}
	e.ID, e.At = c.integer(), timeOf(c.integer())
	e.Actor, e.Action = c.text(), semel.Action(c.text())
	e.Key = semel.Key{Scope: c.text(), ID: c.text()}
	e.Fence = c.integer()
	e.Reason = c.text()
	e.Begun = c.integer()
	e.Result = c.text()
	return e, c.err
}
