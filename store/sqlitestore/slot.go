package sqlitestore

import (
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/semel-go/semel"
)

// statement is a statement in a transaction: of the writer's connection (stmt), or of a
// caller's (callerStmt).
type statement interface {
	exec(args ...driver.Value) (changed int64, err error)
	insert(args ...driver.Value) (changed, id int64, err error)
	first(dest []driver.Value, args ...driver.Value) (found bool, err error)
	integer(args ...driver.Value) (n int64, found bool, err error)
}

// slotStatements are the statements of the steps that also run in a caller's
// transaction.
type slotStatements struct {
	floor, reserve, find, take statement
	bodyInsert, bodyDelete     statement
	complete, completeLate     statement
}

// slotStatementsOf gets each statement by the name of its file.
func slotStatementsOf(get func(name string) statement) slotStatements {
	return slotStatements{
		floor:        get("floor"),
		reserve:      get("reserve"),
		find:         get("find"),
		take:         get("take"),
		bodyInsert:   get("body_insert"),
		bodyDelete:   get("body_delete"),
		complete:     get("complete"),
		completeLate: get("complete_late"),
	}
}

// slotTx is one slot's steps in an open write transaction. They see one time.
type slotTx struct {
	*slotStatements
	now   int64
	floor int64 // the largest fence that was purged
}

// fresh is the record of a slot that has no row, and the end of its lease.
func (t *slotTx) fresh(r semel.Reservation) (rec semel.Record, lease int64) {
	return semel.Record{
		Key: r.Key, State: semel.StateReserved, Fingerprint: r.Fingerprint, Token: r.Token,
		Fence: max(t.now, t.floor+1), Attempts: 1, Deferred: r.Deferred, Owner: r.Owner, Route: r.Route,
		CreatedAt: timeOf(t.now), ExpiresAt: timeOf(t.now + micros(r.Retention)),
	}, t.now + micros(r.Lease)
}

// values are what the statement that inserts a fresh record wants.
func (t *slotTx) values(slot semel.Slot, rec semel.Record, lease int64) []driver.Value {
	return []driver.Value{
		slot[:], rec.Key.Scope, rec.Key.ID, rec.Fingerprint[:], rec.Token[:], rec.Fence, lease,
		rec.Owner, t.now, rec.ExpiresAt.UnixMicro(), rec.Deferred, rec.Route,
	}
}

// Reserve takes the slot or tells what it holds. The INSERT or the UPDATE that
// takes it delivers the verdict.
func (t *slotTx) Reserve(slot semel.Slot, r semel.Reservation) (semel.Record, error) {
	fresh, lease := t.fresh(r)
	n, err := t.reserve.exec(t.values(slot, fresh, lease)...)
	switch {
	case err != nil:
		return semel.Record{}, err
	case n == 1:
		return fresh, nil
	}
	var held row
	found, err := held.find(t.find, slot)
	switch {
	case err != nil:
		return semel.Record{}, err
	case !found:
		return semel.Record{}, errors.New("a slot is neither absent nor present")
	case !held.takeable(r, t.now):
		return held.held(r, t.now), nil
	}
	return t.Take(&held, fresh, lease)
}

// Take gives a slot that has a row to the attempt of fresh.
func (t *slotTx) Take(held *row, fresh semel.Record, lease int64) (semel.Record, error) {
	fresh.Fence = max(fresh.Fence, held.record.Fence+1)
	switch {
	case held.record.State == semel.StateReserved: // lapsed
		fresh.Attempts = held.record.Attempts + 1
		if !held.record.Blameless() { // nobody knows what it did
			fresh.Lapses = held.record.Lapses + 1
		}
	case held.expiresAt > t.now: // free, and remembered
		fresh.Attempts = held.record.Attempts + 1
	}
	n, err := t.take.exec(fresh.Fingerprint[:], fresh.Token[:], fresh.Fence, lease,
		int64(fresh.Attempts), int64(fresh.Lapses), fresh.Owner,
		fresh.CreatedAt.UnixMicro(), fresh.ExpiresAt.UnixMicro(), fresh.Deferred, fresh.Route, held.id, held.record.Fence)
	if err == nil && n != 1 {
		err = fmt.Errorf("take: %d rows instead of one", n)
	}
	if err != nil {
		return semel.Record{}, err
	}
	return fresh, t.drop(held.bodyID)
}

// find reads what slot holds through a statement made of find.sql.
func (w *row) find(find statement, slot semel.Slot) (bool, error) {
	var v [rowWidth]driver.Value
	found, err := find.first(v[:], slot[:])
	if err != nil || !found {
		return false, err
	}
	return true, w.scan(slot, v[:])
}

// drop deletes the body of a slot that no longer has one.
func (t *slotTx) drop(body int64) error {
	if body == 0 {
		return nil
	}
	_, err := t.bodyDelete.exec(body)
	return err
}

// settle completes the reservation of c.Token. It reports false, and has changed
// nothing, when there is none.
func (t *slotTx) settle(slot semel.Slot, c semel.Completion) (bool, error) {
	body, err := t.keep(slot, c.Response)
	if err != nil {
		return false, err
	}
	status := int64(c.Response.Status)
	n, err := t.complete.exec(status, body, slot[:], c.Token[:], t.now)
	if err != nil || n == 1 {
		return err == nil, err
	}
	n, err = t.completeLate.exec(status, body, t.now+micros(c.Retention), slot[:], c.Token[:])
	if err != nil || n == 1 {
		return err == nil, err
	}
	return false, t.drop(body)
}

// keep appends a response and returns its row id. The caller drops it again
// when no slot takes it.
func (t *slotTx) keep(slot semel.Slot, r semel.Response) (int64, error) {
	_, id, err := t.bodyInsert.insert(nonEmpty(r.Header), nonEmpty(r.Body), sumOf(slot, r))
	return id, err
}

// nonEmpty makes an empty value null: the two are the same to the core, and
// the driver cannot bind an empty one.
func nonEmpty(b []byte) driver.Value {
	if len(b) == 0 {
		return nil
	}
	return b
}
