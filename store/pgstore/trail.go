package pgstore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"iter"
	"math"

	"github.com/jackc/pgx/v5"
	"github.com/semel-go/semel"
)

// trailPage is how many entries one statement reads. Between two no connection is held.
const trailPage = 200

// Audit implements [semel.Auditor]. The entry is as durable as any step, and where a
// standby has to confirm, it has. The table's own trigger refuses to change or remove an entry.
//
// Entries are added one after another, each visible before the next one gets its ID,
// whoever adds them: who has read up to an ID, to ship the trail elsewhere, never misses
// one before it. They are rare, so nobody waits for long.
func (s *Store) Audit(ctx context.Context, e semel.AuditEntry) (semel.AuditEntry, error) {
	if err := e.Fits(); err != nil {
		return semel.AuditEntry{}, explain("audit", err)
	}
	var about []byte // null: about many
	if e.Key != (semel.Key{}) {
		slot := e.Key.Slot()
		about = slot[:]
	}
	err := s.step(ctx, "audit", func(ctx context.Context, q querier, _ int) error {
		var at int64
		err := q.QueryRow(ctx, s.sql.audit, s.execMode(), s.names.trailNumber(), []byte(e.Actor), []byte(e.Action), about,
			[]byte(e.Key.Scope), []byte(e.Key.ID), e.Fence, []byte(e.Reason), e.Begun, []byte(e.Result)).Scan(&e.ID, &at)
		e.At = timeOf(at)
		return err
	})
	if err != nil {
		return semel.AuditEntry{}, err
	}
	return e, nil
}

// trailNumber is the advisory lock of whoever adds to the trail.
func (n *names) trailNumber() int64 {
	sum := sha256.Sum256([]byte(n.qualified(n.audit())))
	return int64(binary.BigEndian.Uint64(sum[:])) //nolint:gosec // all bits count
}

// Trail implements [semel.Auditor]. It ends when ctx does.
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
				yield(semel.AuditEntry{}, explain("trail", err))
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
func (s *Store) trailPage(ctx context.Context, f semel.AuditFilter, n int) ([]semel.AuditEntry, error) {
	text, args := s.sql.trail, []any{s.execMode(), f.Before, int32(n)} //nolint:gosec // at most trailPage
	if f.Key != (semel.Key{}) {
		slot := f.Key.Slot()
		text, args = s.sql.trailSlot, append(args, slot[:])
	}
	rows, err := s.pool.Query(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanEntry)
}

// scanEntry reads an entry in the order of trail.sql's columns.
func scanEntry(row pgx.CollectableRow) (e semel.AuditEntry, err error) {
	var at int64
	var actor, action, scope, key, reason, result []byte
	err = row.Scan(&e.ID, &at, &actor, &action, &scope, &key, &e.Fence, &reason, &e.Begun, &result)
	e.At, e.Actor, e.Action = timeOf(at), string(actor), semel.Action(action)
	e.Key = semel.Key{Scope: string(scope), ID: string(key)}
	e.Reason, e.Result = string(reason), string(result)
	return e, err
}
