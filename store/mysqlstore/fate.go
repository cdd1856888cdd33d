package mysqlstore

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/semel-go/semel"
)

// fatePatience bounds how long it is asked what has become of a transaction.
const fatePatience = 2 * time.Second

var (
	// errEnded: a statement of the business code has ended the transaction of its attempt.
	errEnded error = endedError("a statement of the handler has ended the transaction, and may have committed it without the record")
	// errUntold: there is no answer, and in doubt that is as good as errEnded.
	errUntold error = endedError("it cannot be found out whether a statement of the handler has ended the transaction and committed it without the record")
)

type endedError string

// Error says it in one sentence, where the two errors that it is would be two.
func (e endedError) Error() string { return "mysqlstore: " + string(e) }

// Unwrap returns what it is.
func (endedError) Unwrap() []error { return []error{semel.ErrTxEnded, semel.ErrTxOwned} }

// fate finds out, of a transaction that was not committed, whether a statement of the
// business code had ended it before, and committed what came before that statement. The lock
// and the reservation of a transaction end the promise of its attempt, which a rollback
// restores: a promise that is not there was ended by a commit. It is safe for concurrent use.
type fate struct {
	steps  *txSteps
	doubt  atomic.Bool
	answer atomic.Pointer[bool] // of ask: whether it was ended
}

// raise says that a statement is on its way which may commit.
func (f *fate) raise() { f.doubt.Store(true) }

// doubted reports whether there is anything to ask for.
func (f *fate) doubted() bool { return f.doubt.Load() && (f.steps.mark != 0 || f.steps.ours) }

// ask asks on the connection of a transaction that has ended cleanly, before it is given
// back: for another one it might have to wait behind all who want one of the pool. Where
// the completion has come through there is a commit, or it is asked later. After an error
// the connection is of no more use.
func (f *fate) ask(ctx context.Context, q querier) error {
	t := f.steps
	if !f.doubted() || t.done.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, fatePatience)
	defer cancel()
	committed, err := t.store.unpromised(ctx, q, t.store.forms.Load().lookNow, t.key, t.token)
	if err == nil {
		f.answer.Store(&committed)
	}
	_, err = q.ExecContext(ctx, "ROLLBACK") // without autocommit the look has begun a transaction
	return err
}

// ended is [semelsql.Session].Fate. What was not doubted costs nothing.
func (f *fate) ended(over bool) error {
	if !f.doubted() {
		return nil
	}
	for deadline := time.Now().Add(fatePatience); ; time.Sleep(10 * time.Millisecond) {
		committed, err := f.told(over)
		switch {
		case err == nil && committed:
			return errEnded
		case err == nil:
			return nil
		case time.Now().After(deadline): // in doubt, no answer is a yes
			return fmt.Errorf("%w: %w", errUntold, err)
		}
	}
}

// told is what ask was told, or what the store is on a connection of its own.
func (f *fate) told(over bool) (bool, error) {
	if known := f.answer.Load(); known != nil {
		return *known, nil
	}
	t := f.steps
	committed, err := t.store.committed(t.key, t.token, over)
	if known := f.answer.Load(); err != nil && known != nil { // which came meanwhile
		return *known, nil
	}
	return committed, err
}

// committed asks, on another connection, whether the slot is reserved by token without a
// promise. Of a transaction that is over it does not answer while somebody has the row
// locked: the server may still be at work on what its client has given up.
func (s *Store) committed(key semel.Key, token semel.Token, over bool) (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), fatePatience) //nolint:forbidigo // there is no caller's
	defer cancel()
	q, err := s.ready(ctx)
	if err != nil {
		return false, err
	}
	text := s.sql.find
	if over {
		text = s.forms.Load().lookNow
	}
	return s.unpromised(ctx, q, text, key, token)
}

// unpromised reports whether the slot is reserved by token without a promise.
func (s *Store) unpromised(ctx context.Context, q querier, text string, key semel.Key, token semel.Token) (bool, error) {
	w, found, err := s.find(ctx, q, text, key.Slot())
	held := w.record
	return found && held.State == semel.StateReserved && held.Token == token && !held.Deferred, err
}
