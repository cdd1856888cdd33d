package sqlitestore

import (
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/semel-go/semel"
)

// writeConn is the writer's connection and its statements.
type writeConn struct {
	*conn
	begin, commit, rollback, finish *stmt
	floor, floorRaise               *stmt
	reserve, find, take             *stmt
	bodyInsert, bodyDelete          *stmt
	complete, completeLate, isDone  *stmt
	beginEffects, release, renew    *stmt
	resolveFree, resolveDone, isDue *stmt
	purgeSlot                       *stmt
}

func openWriteConn(path string) (*writeConn, error) {
	c, err := dial(path, readWrite, writerPragmas...)
	if err != nil {
		return nil, err
	}
	p := preparer{conn: c}
	w := &writeConn{
		conn:         c,
		begin:        p.text("begin", "BEGIN IMMEDIATE"),
		commit:       p.text("commit", "COMMIT"),
		rollback:     p.text("rollback", "ROLLBACK"),
		finish:       p.text("checkpoint", "PRAGMA wal_checkpoint(PASSIVE)"),
		floor:        p.file("floor"),
		floorRaise:   p.file("floor_raise"),
		reserve:      p.file("reserve"),
		find:         p.file("find"),
		take:         p.file("take"),
		bodyInsert:   p.file("body_insert"),
		bodyDelete:   p.file("body_delete"),
		complete:     p.file("complete"),
		completeLate: p.file("complete_late"),
		isDone:       p.file("completed"),
		beginEffects: p.file("begin_effects"),
		release:      p.file("release"),
		renew:        p.file("renew"),
		resolveFree:  p.file("resolve_free"),
		resolveDone:  p.file("resolve_complete"),
		isDue:        p.file("resolvable"),
		purgeSlot:    p.file("purge_slot"),
	}
	err = p.err
	if err == nil {
		err = w.check()
	}
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return w, nil
}

// check makes sure of what every promise rests on: the log, the sync at each
// commit, and the right to write. SQLite opens a file that it may only read
// without a word.
func (w *writeConn) check() error {
	mode, err := w.value("PRAGMA journal_mode")
	if err != nil {
		return err
	}
	full, err := w.integer("PRAGMA synchronous")
	if err != nil {
		return err
	}
	if mode != "wal" || full != 2 {
		return fmt.Errorf("the file system bears no write-ahead log with full sync (journal_mode %v, synchronous %d)", mode, full)
	}
	if _, err := w.begin.exec(); err != nil {
		return err
	}
	_, err = w.rollback.exec()
	return err
}

// tx is one open write transaction. It sees one time and is alone with the
// file, also among processes: it began with BEGIN IMMEDIATE.
type tx struct {
	*writeConn
	now   int64
	floor int64 // the largest fence that was purged
}

// Reserve takes the slot or tells what it holds. The INSERT or the UPDATE that
// takes it delivers the verdict.
func (t *tx) Reserve(slot semel.Slot, r semel.Reservation) (semel.Record, error) {
	fresh := semel.Record{
		Key: r.Key, State: semel.StateReserved, Fingerprint: r.Fingerprint, Token: r.Token,
		Fence: max(t.now, t.floor+1), Attempts: 1, Deferred: r.Deferred, Owner: r.Owner,
		CreatedAt: timeOf(t.now), ExpiresAt: timeOf(t.now + micros(r.Retention)),
	}
	lease, expires := t.now+micros(r.Lease), t.now+micros(r.Retention)
	n, err := t.reserve.exec(slot[:], r.Key.Scope, r.Key.ID, r.Fingerprint[:], r.Token[:],
		fresh.Fence, lease, r.Owner, t.now, expires, r.Deferred)
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
func (t *tx) Take(held *row, fresh semel.Record, lease int64) (semel.Record, error) {
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
		fresh.CreatedAt.UnixMicro(), fresh.ExpiresAt.UnixMicro(), fresh.Deferred, held.id, held.record.Fence)
	if err == nil && n != 1 {
		err = fmt.Errorf("take: %d rows instead of one", n)
	}
	if err != nil {
		return semel.Record{}, err
	}
	return fresh, t.drop(held.bodyID)
}

// find reads what slot holds through a statement made of find.sql.
func (w *row) find(find *stmt, slot semel.Slot) (bool, error) {
	var v [rowWidth]driver.Value
	found, err := find.first(v[:], slot[:])
	if err != nil || !found {
		return false, err
	}
	return true, w.scan(slot, v[:])
}

// drop deletes the body of a slot that no longer has one.
func (t *tx) drop(body int64) error {
	if body == 0 {
		return nil
	}
	_, err := t.bodyDelete.exec(body)
	return err
}

// Complete reports false when the token does not hold the slot, nor completed it.
func (t *tx) Complete(slot semel.Slot, c semel.Completion) (bool, error) {
	body, err := t.keep(slot, c.Response)
	if err != nil {
		return false, err
	}
	status := int64(c.Response.Status)
	n, err := t.complete.exec(status, body, slot[:], c.Token[:], t.now)
	if err != nil || n == 1 {
		return true, err
	}
	n, err = t.completeLate.exec(status, body, t.now+micros(c.Retention), slot[:], c.Token[:])
	if err != nil || n == 1 {
		return true, err
	}
	if err := t.drop(body); err != nil {
		return false, err
	}
	_, done, err := t.isDone.integer(slot[:], c.Token[:])
	return done, err
}

// keep appends a response and returns its row id. The caller drops it again
// when no slot takes it.
func (t *tx) keep(slot semel.Slot, r semel.Response) (int64, error) {
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

// BeginEffects reports false when the token does not hold the slot.
func (t *tx) BeginEffects(slot semel.Slot, token semel.Token) (bool, error) {
	n, err := t.beginEffects.exec(slot[:], token[:])
	return n == 1, err
}

// Release reports false when the token does not hold the slot.
func (t *tx) Release(slot semel.Slot, token semel.Token) (bool, error) {
	n, err := t.release.exec(slot[:], token[:])
	return n == 1, err
}

// Renew returns the tokens that do not hold their slot.
func (t *tx) Renew(until int64, holders []holder) (lost []semel.Token, err error) {
	for _, h := range holders {
		n, err := t.renew.exec(until, h.slot[:], h.token[:])
		if err != nil {
			return nil, err
		}
		if n == 0 {
			lost = append(lost, h.token)
		}
	}
	return lost, nil
}

// Resolve returns ErrInFlight, ErrLost, or an error of the file.
func (t *tx) Resolve(slot semel.Slot, r semel.Resolution) (refused, err error) {
	due, expires := t.now-max(0, micros(r.Margin)), t.now+micros(r.Retention)
	var n, body int64
	if r.Response == nil {
		n, err = t.resolveFree.exec(expires, r.Reason, slot[:], r.Fence, due)
	} else {
		if body, err = t.keep(slot, *r.Response); err != nil {
			return nil, err
		}
		token := semel.NewToken()
		n, err = t.resolveDone.exec(token[:], int64(r.Response.Status), body, expires, r.Reason, slot[:], r.Fence, due)
	}
	if err != nil || n == 1 {
		return nil, err
	}
	if err := t.drop(body); err != nil {
		return nil, err
	}
	_, reserved, err := t.isDue.integer(slot[:], r.Fence)
	if reserved {
		return semel.ErrInFlight, err
	}
	return semel.ErrLost, err
}
