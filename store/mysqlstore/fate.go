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

// errEnded: a statement of the business code has ended the transaction of its attempt.
var errEnded error = endedError{}

type endedError struct{}

// Error says it in one sentence, where the two errors that it is would be two.
func (endedError) Error() string {
	return "mysqlstore: a statement of the handler has ended the transaction, and may have committed it without the record"
}

// Unwrap returns what it is.
func (endedError) Unwrap() []error { return []error{semel.ErrTxEnded, semel.ErrTxOwned} }

// fate finds out, of a transaction that was not committed, whether a statement of the
// business code had ended it before, and committed what came before that statement. The lock
// and the reservation of a transaction end the promise of its attempt, which a rollback
// restores: a promise that is not there was ended by a commit. It is safe for concurrent use.
type fate struct {
	steps *txSteps
	doubt atomic.Bool
}

// raise says that a statement is on its way which may commit.
func (f *fate) raise() { f.doubt.Store(true) }

// ended is [semelsql.Session].Fate. What was not doubted costs nothing.
func (f *fate) ended(over bool) error {
	t := f.steps
	if !f.doubt.Load() || t.mark == 0 && !t.ours {
		return nil
	}
	for deadline := time.Now().Add(fatePatience); ; time.Sleep(10 * time.Millisecond) {
		committed, err := t.store.committed(t.key, t.token, over)
		switch {
		case err == nil && committed:
			return errEnded
		case err == nil:
			return nil
		case time.Now().After(deadline): // in doubt, no answer is a yes
			return fmt.Errorf("%w: %w", errEnded, err)
		}
	}
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
	w, found, err := s.find(ctx, q, text, key.Slot())
	held := w.record
	return found && held.State == semel.StateReserved && held.Token == token && !held.Deferred, err
}
