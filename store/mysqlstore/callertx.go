package mysqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/semel-go/semel"
)

// Tx makes a caller's open transaction one of [semel.Claim.LockIn] and
// [semel.Claim.CompleteIn]. It must be in the database that holds the records, at any
// isolation level but READ UNCOMMITTED. Begin it with a context that does not end:
// package sql rolls it back beside its user when the context ends (golang/go#34775).
//
// Commit it after CompleteIn, not before. Once it has ended, by Commit, by a COMMIT or ROLLBACK
// that is sent as a statement, by one that commits by itself (DDL) or by a deadlock, what is
// written next is committed at once: return errors of the database. CompleteIn then
// returns [semel.ErrTxEnded], as what was written may be committed, if the same Tx is
// passed to both calls; without LockIn, where it takes two round trips more, also with another
// one. It does not see a transaction that has ended and been followed by another one, nor on
// MySQL, which cannot tell, one that was committed after LockIn. Neither lets an attempt run
// again that was committed: LockIn takes the promise of [semel.Call].DeferEffects back for as
// long as it is not rolled back.
//
// A LockIn that is rolled back alone, with a savepoint from before it as a nested transaction
// is, makes CompleteIn fail: roll back, or call LockIn again. A ROLLBACK that another
// transaction follows looks the same, so write nothing between the two: it stays, and the
// attempt runs again.
//
// Tables that cannot roll back (MyISAM) keep what was written. Transactions of
// [Store.Transactions] see to all that but the last.
func Tx(tx *sql.Tx) semel.Tx { return &callersTx{tx: tx, marks: map[semel.Token]int64{}} }

// callersTx implements [semel.Tx]. It is for one goroutine, like its transaction.
type callersTx struct {
	tx    *sql.Tx
	steps *callersSteps // of the last store
	marks map[semel.Token]int64
}

// Steps implements [semel.Tx].
func (t *callersTx) Steps(store semel.Store) (semel.TxSteps, error) {
	s, ok := semel.As[*Store](store)
	switch {
	case !ok:
		return nil, semel.ErrOtherStore
	case t.tx == nil:
		return nil, errors.New("mysqlstore: the transaction is nil")
	case t.steps == nil || t.steps.store != s:
		t.steps = &callersSteps{txSteps{store: s, q: t.tx, callers: true}, t.marks}
	}
	return t.steps, nil
}

// callersSteps are txSteps in a transaction whose end its caller sees to.
type callersSteps struct {
	txSteps
	marks map[semel.Token]int64 // what Lock left in the row of each attempt
}

var (
	errEarly   = fmt.Errorf("%w: commit after CompleteIn, not before", semel.ErrTxEnded)
	errOver    = fmt.Errorf("%w: commit after CompleteIn, not before, and roll back after a deadlock", semel.ErrTxEnded)
	errTooLate = errors.New("the transaction was rolled back before CompleteIn")
	errUndone  = errors.New("LockIn was rolled back, and the transaction goes on: roll it back, or call LockIn again")
)

// Lock implements [semel.TxSteps]. It takes one round trip.
func (t *callersSteps) Lock(ctx context.Context, key semel.Key, token semel.Token) error {
	err := t.txSteps.Lock(ctx, key, token)
	if err == nil {
		t.marks[token] = t.mark
	}
	return err
}

// Complete implements [semel.TxSteps]. It takes one round trip after Lock, and otherwise
// three. Whoever goes on after the end of a transaction may have written something that
// is committed, so that is told however it has ended.
func (t *callersSteps) Complete(ctx context.Context, c semel.Completion) error {
	ctx = context.WithoutCancel(ctx)
	t.mark = t.marks[c.Token]
	var err error
	if t.mark == 0 {
		err = t.open(ctx)
	}
	if err == nil {
		err = t.txSteps.Complete(ctx, c)
	}
	switch {
	case errors.Is(err, sql.ErrTxDone) && t.rolledBack(ctx, c):
		err = fmt.Errorf("%w: %w", errTooLate, sql.ErrTxDone)
	case errors.Is(err, sql.ErrTxDone):
		err = fmt.Errorf("%w: %w", errEarly, sql.ErrTxDone)
	case errors.Is(err, errGone) && t.undone(ctx, c):
		err = errUndone
	case errors.Is(err, errGone):
		err = errOver
	default:
		return err
	}
	return explain("complete", err)
}

// open finds out whether the transaction is one still: outside of one a savepoint is gone at
// once.
func (t *callersSteps) open(ctx context.Context) error {
	const name = "semel_complete"
	if _, err := t.q.ExecContext(ctx, "SAVEPOINT "+name); err != nil {
		return explain("complete", err)
	}
	_, err := t.q.ExecContext(ctx, "RELEASE SAVEPOINT "+name)
	if numberOf(err) == errNoSavepoint {
		return errGone
	}
	return explain("complete", err)
}

// undone reports whether it is the lock alone that is gone, with a savepoint from before it:
// a transaction is open, and the slot is its attempt's.
func (t *callersSteps) undone(ctx context.Context, c semel.Completion) bool {
	own := t.store.forms.Load()
	if own == nil || t.open(ctx) != nil {
		return false
	}
	w, found, err := t.store.find(ctx, t.q, own.lookNow, c.Key.Slot())
	held := w.record
	return err == nil && found && held.State == semel.StateReserved && held.Token == c.Token
}

// rolledBack reports whether a transaction that its caller has ended was rolled back, for
// certain: the promise that Lock has ended in it is there.
func (t *callersSteps) rolledBack(ctx context.Context, c semel.Completion) bool {
	held, err := t.store.Look(ctx, c.Key)
	return err == nil && t.mark != 0 && held.State == semel.StateReserved && held.Token == c.Token && held.Deferred
}
