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
// never does: CompleteIn tells, by [semel.ErrTxEnded], as it does of a transaction that was
// committed before. Pass the same Tx to LockIn and CompleteIn, so that one that was rolled
// back is known to be. A statement that commits and begins anew ("COMMIT; BEGIN") is not
// found out: until the record is committed the attempt counts then as one that may have had
// an effect.
func Tx(tx *sql.Tx) semel.Tx { return &callerTx{tx: tx} }

// callerTx implements [semel.Tx]. It is for one goroutine, like its transaction.
type callerTx struct {
	tx    *sql.Tx
	steps *callerSteps // of the last store
}

// Steps implements [semel.Tx].
func (c *callerTx) Steps(store semel.Store) (semel.TxSteps, error) {
	s, ok := semel.As[*Store](store)
	switch {
	case !ok:
		return nil, semel.ErrOtherStore
	case s.writer == nil:
		return nil, ErrReadOnly
	case c.tx == nil:
		return nil, errors.New("sqlitestore: there is no transaction")
	}
	if c.steps == nil || c.steps.store != s {
		c.steps = &callerSteps{slotSteps: slotSteps{store: s, tx: c.tx}}
	}
	return c.steps, nil
}

// slotSteps are the statements of a store in a transaction of package sql.
type slotSteps struct {
	store    *Store
	tx       *sql.Tx
	prepared prepared // or nil
}

func (x slotSteps) statement(name string) statement { return callerStmt{x, name} }

// lock takes SQLite's write lock, checks that token holds the slot, and ends the promise of
// its attempt, unless the transaction is rolled back.
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
type callerSteps struct {
	slotSteps
	locked semel.Token // what Lock has succeeded with; zero: nothing
}

// Lock implements [semel.TxSteps].
func (x *callerSteps) Lock(_ context.Context, key semel.Key, token semel.Token) error {
	err := x.step(func() error { return x.lock(key.Slot(), token) })
	if err == nil {
		x.locked = token
	}
	return err
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
	err := x.step(func() error {
		slot := c.Key.Slot()
		if err := x.open(); err != nil {
			return err
		}
		if err := x.lock(slot, c.Token); err != nil { // and then look at the clock
			return err
		}
		return x.complete(slot, c)
	})
	if errors.Is(err, sql.ErrTxDone) {
		return x.over(c.Key, c.Token, err)
	}
	return err
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

// errEnded says that a transaction had ended before its record was completed in it.
var errEnded = fmt.Errorf("sqlitestore: the transaction has ended: commit after CompleteIn, not before: %w", semel.ErrTxEnded)

// open returns an error when the transaction is none any more: a statement has ended it, or an
// error of SQLite, and what was written since is committed on its own.
func (x *callerSteps) open() error {
	_, err := x.tx.ExecContext(uncancelled(), "BEGIN")
	switch {
	case codeOf(err) == codeError: // it cannot begin within a transaction
		return nil
	case err != nil:
		return err
	}
	_, err = x.tx.ExecContext(uncancelled(), "ROLLBACK")
	return errors.Join(errEnded, err)
}

// over tells what has become of a transaction that package sql has ended: a promise that
// Lock would have ended with a commit, and that stands, says that it was rolled back.
func (x *callerSteps) over(key semel.Key, token semel.Token, cause error) error {
	if x.locked == token {
		held, err := x.store.Look(uncancelled(), key)
		if err == nil && held.State == semel.StateReserved && held.Token == token && held.Deferred {
			return fmt.Errorf("sqlitestore: the transaction was rolled back before CompleteIn: %w", cause)
		}
	}
	return fmt.Errorf("%w: %w", errEnded, cause)
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
