package semelwatermill_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelwatermill"
	"github.com/semel-go/semel/store/sqlitestore"
)

// I7, I8: a handler that has locked its slot in a transaction of its own and succeeds without
// CompleteIn is not believed: nothing is published, and it does not run again.
func TestOwnTransactionWithoutCompleteIn(t *testing.T) {
	for _, commits := range []bool{false, true} {
		b := openBank(t, filepath.Join(t.TempDir(), "bank.db"), semel.ClaimTx)
		runs := 0
		h := inHandler(guard(t, b.engine, semelwatermill.Config{}).Middleware(func(msg *message.Message) ([]*message.Message, error) {
			runs++
			tx, err := b.db.BeginTx(context.WithoutCancel(msg.Context()), nil)
			if err != nil {
				return nil, err
			}
			defer func() { _ = tx.Rollback() }()
			if err := semel.FromContext(msg.Context()).LockIn(msg.Context(), sqlitestore.Tx(tx)); err != nil {
				return nil, err
			}
			if _, err := tx.ExecContext(msg.Context(), "INSERT INTO payments VALUES (?)", msg.UUID); err != nil {
				return nil, err
			}
			if commits {
				err = tx.Commit()
			}
			return []*message.Message{order("r1", "paid")}, err
		}))
		for range 2 {
			if msgs, err := h(order("m1", "x")); !errors.Is(err, semel.ErrOutcomeUnknown) || len(msgs) > 0 {
				t.Errorf("committed %v: got %d messages, error %v, want ErrOutcomeUnknown", commits, len(msgs), err)
			}
		}
		if runs != 1 {
			t.Errorf("committed %v: it ran %d times", commits, runs)
		}
	}
}
