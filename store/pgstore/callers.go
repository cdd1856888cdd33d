package pgstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/semel-go/semel"
)

// errEarly is errEnded where the transaction is the caller's own.
var errEarly = fmt.Errorf("pgstore: the transaction has ended: commit after CompleteIn, not before: %w", semel.ErrTxEnded)

// callersSteps are the steps in a transaction that its owner may end at any time, by
// statements too, and nobody sees it.
type callersSteps struct{ steps }

// Complete implements [semel.TxSteps].
func (t *callersSteps) Complete(ctx context.Context, c semel.Completion) (err error) {
	if t.id == 0 { // without LockIn: what is no transaction has another number with each statement
		t.id, err = t.number(ctx, "txid_current()")
		if err != nil {
			return t.judge(explain("complete", err))
		}
	}
	return t.judge(t.steps.Complete(ctx, c))
}

// judge says of a transaction that has ended what has become of it.
func (t *callersSteps) judge(err error) error {
	switch {
	case errors.Is(err, semel.ErrTxEnded):
		return errEarly
	case !errors.Is(err, pgx.ErrTxClosed) && !errors.Is(err, sql.ErrTxDone):
		return err
	case t.id == 0:
		return fmt.Errorf("%w: %w", errEarly, err)
	}
	f := &fate{}
	f.number.Store(t.id)
	f.raise(mayHaveEnded)
	if f.ended(t.store, true) != nil {
		return fmt.Errorf("%w: %w", errEarly, err)
	}
	return fmt.Errorf("pgstore: the transaction was rolled back before CompleteIn: %w", err)
}
