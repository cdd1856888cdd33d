package mysqlstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/semel-go/semel"
)

// trailPage is how many entries one statement reads. Between two statements nothing of
// the server is held, however slowly the caller goes on.
const trailPage = 500

// Audit implements [semel.Auditor], in the table TABLE_audit. It takes two round trips.
// Entries that are added at the same time may be seen in another order than that of
// their IDs, and of their times, for a moment.
//
// No entry is added twice. When the answer is lost, the one with the result of an action is
// looked for, as there is one of its kind. An error may leave the entry before an action.
func (s *Store) Audit(ctx context.Context, e semel.AuditEntry) (semel.AuditEntry, error) {
	err := e.Fits()
	if err != nil {
		return semel.AuditEntry{}, explain("audit", err)
	}
	err = s.step(ctx, "audit", func(ctx context.Context, q querier) error {
		// Before the entry, so that nothing can go wrong when it is there.
		var at int64
		if err := q.QueryRowContext(ctx, s.sql.clock).Scan(&at); err != nil {
			return err
		}
		e.At = timeOf(at)
		e.ID, err = s.addEntry(ctx, q, e, at)
		if isBroken(err) {
			e.ID, err = s.findResult(ctx, q, e, at, err)
		}
		return err
	})
	if err != nil {
		return semel.AuditEntry{}, err
	}
	return e, nil
}

func (s *Store) addEntry(ctx context.Context, q querier, e semel.AuditEntry, at int64) (int64, error) {
	slot := e.Key.Slot()
	res, err := q.ExecContext(ctx, s.sql.audit, at, []byte(e.Actor), []byte(e.Action), slot[:], []byte(e.Key.Scope), []byte(e.Key.ID),
		e.Fence, []byte(e.Reason), e.Begun, []byte(e.Result))
	if err != nil {
		return 0, err
	}
	id, err := res.LastInsertId()
	if err == nil && id <= 0 {
		err = errNoAnswer
	}
	return id, err
}

// findResult looks for an entry whose answer was lost. One before an action cannot be told
// from that of somebody who does the same, and one that is not there may come yet.
func (s *Store) findResult(ctx context.Context, q querier, e semel.AuditEntry, at int64, lost error) (id int64, err error) {
	if e.Begun > 0 {
		slot := e.Key.Slot()
		err = q.QueryRowContext(ctx, s.sql.auditResult, slot[:], e.Begun, e.Begun, []byte(e.Action), []byte(e.Actor), []byte(e.Result), at).Scan(&id)
		if err == nil {
			return id, nil
		}
	}
	return 0, fmt.Errorf("it is not known whether the entry is in the trail: %w", lost)
}

// Trail implements [semel.Auditor]. It reads 500 entries at a time, those of one slot
// by their index, and ends when ctx does.
func (s *Store) Trail(ctx context.Context, f semel.AuditFilter) iter.Seq2[semel.AuditEntry, error] {
	return func(yield func(semel.AuditEntry, error) bool) {
		if err := s.readTrail(ctx, f, func(e semel.AuditEntry) bool { return yield(e, nil) }); err != nil {
			yield(semel.AuditEntry{}, explain("trail", err))
		}
	}
}

func (s *Store) readTrail(ctx context.Context, f semel.AuditFilter, yield func(semel.AuditEntry) bool) error {
	if s.isClosed() {
		return ErrClosed
	}
	left, before := f.Limit, f.Before
	if left <= 0 {
		left = math.MaxInt
	}
	if before <= 0 {
		before = math.MaxInt64
	}
	for left > 0 {
		wanted := min(left, trailPage)
		page, err := s.trailPage(ctx, f.Key, before, wanted)
		if err != nil {
			return err
		}
		for _, e := range page {
			if !yield(e) {
				return nil
			}
		}
		if len(page) < wanted {
			return nil
		}
		left, before = left-len(page), page[len(page)-1].ID
	}
	return nil
}

// trailPage reads up to limit entries before an ID.
func (s *Store) trailPage(ctx context.Context, key semel.Key, before int64, limit int) (page []semel.AuditEntry, err error) {
	text, args := s.sql.trail, []any{before, limit}
	if key != (semel.Key{}) {
		slot := key.Slot()
		text, args = s.sql.trailSlot, []any{slot[:], before, limit}
	}
	rows, err := s.db.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e semel.AuditEntry
		var at int64
		var actor, action, scope, id, reason, result []byte
		if err := rows.Scan(&e.ID, &at, &actor, &action, &scope, &id, &e.Fence, &reason, &e.Begun, &result); err != nil {
			return nil, err
		}
		e.At, e.Key = timeOf(at), semel.Key{Scope: string(scope), ID: string(id)}
		e.Actor, e.Action, e.Reason, e.Result = string(actor), semel.Action(action), string(reason), string(result)
		page = append(page, e)
	}
	return page, rows.Err()
}
