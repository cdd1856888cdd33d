package semelsql

import (
	"context"
	"errors"
	"fmt"
)

// Mark marks a transaction before a statement that may end it unseen. ended then finds
// out whether it did: [semel.ErrTxEnded], or nil.
type Mark func(ctx context.Context) (ended func(ctx context.Context) error, err error)

// errUnwatched refuses to prepare what has to be watched while it runs.
var errUnwatched = errors.New("semelsql: a statement that may end the transaction cannot be prepared: run it by Exec or Query")

// stealthy returns what marks the transaction before query, if that has to be watched.
func (t *Tx) stealthy(query string) Mark {
	if t.watch == nil {
		return nil
	}
	first, _ := word(query)
	return t.watch(first, query)
}

// mark marks the transaction if query has to be watched.
func (t *Tx) mark(ctx context.Context, query string) error {
	mark := t.stealthy(query)
	if mark == nil {
		return nil
	}
	ended, err := mark(context.WithoutCancel(ctx))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.note(err)
	if err == nil {
		t.ended = ended
	}
	return err
}

// findOut asks whether the statement before has ended the transaction, once that one's
// rows are read. A transaction that is gone anyway need not be asked.
func (t *Tx) findOut(ctx context.Context) {
	t.mu.Lock()
	t.poll()
	ended := t.ended
	if ended == nil || len(t.rows) > 0 {
		t.mu.Unlock()
		return
	}
	t.ended = nil
	gone := t.damage == Gone
	t.mu.Unlock()
	if gone {
		return
	}
	if err := ended(context.WithoutCancel(ctx)); err != nil {
		t.spoil(fmt.Errorf("semelsql: after a statement: %w", err))
	}
}
