package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/semel-go/semel"
)

var (
	_ semel.Looker  = (*Store)(nil)
	_ semel.TxSteps = (*callerSteps)(nil)
	_ semel.TxSteps = (*ownSteps)(nil)
)

// Tx makes a transaction of the application one that a claim can lock its slot and
// complete in, see [semel.Claim.LockIn]. It must be one of modernc.org/sqlite on the
// file of the store, on a connection with synchronous FULL or EXTRA; anything else is
// refused in the first step. A connection without a busy_timeout is given one of 5 s.
//
// Lock first, before anything is read: a transaction that has read and then wants to
// write is refused by SQLite when somebody else has written meanwhile. SQLite has one
// writer at a time, so from the first write to the end of the transaction every
// other step of the store waits, up to 5 s, except that a reservation whose slot is
// held or completed is answered at once. Isolation is always serializable.
//
// After an error of SQLite roll back, unless it is known to undo its statement alone:
// some undo the transaction, and what is written then commits on its own. The record
// never does: CompleteIn tells.
func Tx(tx *sql.Tx) semel.Tx { return callerTx{tx} }

type callerTx struct{ tx *sql.Tx }

// Steps implements [semel.Tx].
func (c callerTx) Steps(store semel.Store) (semel.TxSteps, error) {
	s, ok := semel.As[*Store](store)
	switch {
	case !ok:
		return nil, semel.ErrOtherStore
	case s.writer == nil:
		return nil, ErrReadOnly
	case c.tx == nil:
		return nil, errors.New("sqlitestore: there is no transaction")
	}
	return &callerSteps{slotSteps{store: s, tx: c.tx}}, nil
}

// slotSteps are the statements of a store in a transaction of package sql.
type slotSteps struct {
	store    *Store
	tx       *sql.Tx
	prepared prepared // or nil
}

func (x slotSteps) statement(name string) statement { return callerStmt{x, name} }

// lock takes SQLite's write lock, and checks that token holds the slot.
func (x slotSteps) lock(slot semel.Slot, token semel.Token) error {
	n, err := x.statement("lock").exec(slot[:], token[:])
	return lostUnless(n == 1, err)
}

// reserve is [semel.Store].Reserve, which takes over nothing. A fresh slot, which is most
// often the case, takes one statement. For any other, what is read before SQLite's write
// lock may be old, and the clock too.
func (x slotSteps) reserve(slot semel.Slot, r semel.Reservation) (semel.Record, error) {
	r.TakeOver, r.TakeOverBlameless = false, false
	statements := slotStatementsOf(x.statement)
	t := slotTx{slotStatements: &statements, now: x.store.clock.now()}
	fresh, lease := t.fresh(r)
	fence, taken, err := x.statement("reserve_fresh").integer(t.values(slot, fresh, lease)...)
	if err != nil || taken {
		fresh.Fence = fence
		return fresh, err
	}
	floor, found, err := t.slotStatements.floor.integer()
	if err == nil && !found {
		err = errNoFloor
	}
	if err != nil {
		return semel.Record{}, err
	}
	t.floor, t.now = floor, x.store.clock.now()
	return t.Reserve(slot, r)
}

// complete writes the response and nothing else: a token that has completed the slot
// before is lost.
func (x slotSteps) complete(slot semel.Slot, c semel.Completion) error {
	if len(c.Response.Header)+len(c.Response.Body) > maxResponse {
		return semel.ErrTooLarge
	}
	statements := slotStatementsOf(x.statement)
	t := slotTx{slotStatements: &statements, now: x.store.clock.now()}
	kept, err := t.settle(slot, c)
	return lostUnless(kept, err)
}

// callerSteps are the steps in a transaction that the application has begun and
// will end. The store is not told when.
type callerSteps struct{ slotSteps }

// Lock implements [semel.TxSteps].
func (x *callerSteps) Lock(_ context.Context, key semel.Key, token semel.Token) error {
	return x.step(func() error { return x.lock(key.Slot(), token) })
}

// Reserve implements [semel.TxSteps].
func (x *callerSteps) Reserve(_ context.Context, r semel.Reservation) (held semel.Record, err error) {
	slot := r.Key.Slot()
	if x.store.traffic.works(slot) {
		return atWork(r), nil
	}
	err = x.step(func() (err error) {
		held, err = x.reserve(slot, r)
		return err
	})
	return held, err
}

// Complete implements [semel.TxSteps].
func (x *callerSteps) Complete(_ context.Context, c semel.Completion) error {
	return x.step(func() error {
		slot := c.Key.Slot()
		if err := x.open(); err != nil {
			return err
		}
		if err := x.lock(slot, c.Token); err != nil { // and then look at the clock
			return err
		}
		return x.complete(slot, c)
	})
}

// step runs one step and then looks at the connection. Not before: a transaction
// whose first statement does not write may be too old to write.
func (x *callerSteps) step(run func() error) error {
	s := x.store
	err := s.writer.queue.refusal()
	if err == nil {
		err = x.patient()
	}
	if err != nil {
		return s.stepError(err)
	}
	err = run()
	if err == nil || errors.Is(err, semel.ErrLost) || codeOf(err) == codeError { // no such slot, no such table
		found, ferr := settingsOf(x.tx)
		if ferr == nil {
			ferr = s.fit(found)
		}
		if ferr != nil {
			err = ferr
		}
	}
	return s.stepError(err)
}

// patient lets the connection wait for other writers.
func (x *callerSteps) patient() error {
	var ms int64
	if err := x.tx.QueryRowContext(uncancelled(), "PRAGMA busy_timeout").Scan(&ms); err != nil || ms > 0 {
		return err
	}
	_, err := x.tx.ExecContext(uncancelled(), setBusyTimeout)
	return err
}

// errRolledBack says that SQLite has ended a transaction by itself.
var errRolledBack = errors.New("sqlitestore: the database has rolled the transaction back")

// open returns an error when the transaction is none any more. After some errors SQLite
// rolls back by itself, and what is written next commits on its own.
func (x *callerSteps) open() error {
	_, err := x.tx.ExecContext(uncancelled(), "BEGIN")
	switch {
	case codeOf(err) == codeError: // it cannot begin within a transaction
		return nil
	case err != nil:
		return err
	}
	_, err = x.tx.ExecContext(uncancelled(), "ROLLBACK")
	return errors.Join(errRolledBack, err)
}

// atWork is the answer to r while a transaction of which nothing is known is at work
// on the slot.
func atWork(r semel.Reservation) semel.Record {
	return semel.Record{Key: r.Key, State: semel.StateReserved, Fingerprint: r.Fingerprint}
}

// Look implements [semel.Looker]. It waits for whoever writes to the file, up to 5 s.
func (s *Store) Look(_ context.Context, key semel.Key) (semel.Record, error) {
	if s.writer == nil {
		return semel.Record{}, ErrReadOnly
	}
	slot := key.Slot()
	var held row
	err := s.writer.do(0, func(t *tx) error {
		held = row{}
		_, err := held.find(t.find, slot)
		return err
	})
	if err != nil {
		return semel.Record{}, err
	}
	held.record.Key = key
	return held.record, nil
}

// stepError judges the error of a step in a transaction.
func (s *Store) stepError(err error) error {
	if damageOf(err) == file {
		return s.writer.poison(err)
	}
	if codeOf(err) == codeBusySnapshot {
		err = fmt.Errorf("the transaction has read before it wrote, and somebody else has written since: lock first, or begin it with _txlock=immediate: %w", err)
	}
	return explain(s.path, err)
}
