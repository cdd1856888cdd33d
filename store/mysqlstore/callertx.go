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
// again: LockIn takes the promise of [semel.Call].DeferEffects back for as long as its
// transaction is not rolled back.
//
// Tables that cannot roll back (MyISAM) keep what was written. Transactions of
// [Store.Transactions] see to all that but the last.
func Tx(tx *sql.Tx) semel.Tx { return &callersTx{tx: tx} }

// callersTx implements [semel.Tx]. It is for one goroutine, like its transaction.
type callersTx struct {
	tx    *sql.Tx
	steps *callersSteps // of the last store
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
		t.steps = &callersSteps{txSteps{store: s, q: t.tx, callers: true}}
	}
	return t.steps, nil
}

// callersSteps are txSteps in a transaction whose end its caller sees to.
type callersSteps struct{ txSteps }

var (
	errEarly   = fmt.Errorf("%w: commit after CompleteIn, not before", semel.ErrTxEnded)
	errOver    = fmt.Errorf("%w: commit after CompleteIn, not before, and roll back after a deadlock", semel.ErrTxEnded)
	errTooLate = errors.New("the transaction was rolled back before CompleteIn")
)

// Complete implements [semel.TxSteps]. It takes one round trip after Lock, and otherwise
// three. Whoever goes on after the end of a transaction may have written something that
// is committed, so that is told however it has ended.
func (t *callersSteps) Complete(ctx context.Context, c semel.Completion) error {
	ctx = context.WithoutCancel(ctx)
	err := t.open(ctx)
	if err == nil {
		err = t.txSteps.Complete(ctx, c)
	}
	switch {
	case errors.Is(err, sql.ErrTxDone) && t.rolledBack(ctx, c):
		err = fmt.Errorf("%w: %w", errTooLate, sql.ErrTxDone)
	case errors.Is(err, sql.ErrTxDone):
		err = fmt.Errorf("%w: %w", errEarly, sql.ErrTxDone)
	case errors.Is(err, errGone):
		err = errOver
	default:
		return err
	}
	return explain("complete", err)
}

// open finds out whether the transaction that Lock was not called in is one: outside of one a
// savepoint is gone at once.
func (t *callersSteps) open(ctx context.Context) error {
	const name = "semel_complete"
	if t.mark != 0 {
		return nil
	}
	if _, err := t.q.ExecContext(ctx, "SAVEPOINT "+name); err != nil {
		return explain("complete", err)
	}
	_, err := t.q.ExecContext(ctx, "RELEASE SAVEPOINT "+name)
	if numberOf(err) == errNoSavepoint {
		return errGone
	}
	return explain("complete", err)
}

// rolledBack reports whether a transaction that its caller has ended was rolled back, for
// certain: the promise that Lock has ended in it is there.
func (t *callersSteps) rolledBack(ctx context.Context, c semel.Completion) bool {
	held, err := t.store.Look(ctx, c.Key)
	return err == nil && t.mark != 0 && held.State == semel.StateReserved && held.Token == c.Token && held.Deferred
}
