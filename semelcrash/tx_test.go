package semelcrash

import (
	"context"
	"testing"

	"github.com/semel-go/semel"
)

// A watched transaction can what the transaction can, no more and no less: else the
// service that is killed goes another way to its commit than that of production.
func TestTransactionsCan(t *testing.T) {
	p, passed := watch()
	begin := func(inner semel.Transaction) semel.Transaction {
		tx, err := p.Transactions(fixed{tx: inner}).Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	both, ok := begin(single{}).(semel.CompleteCommitter)
	if !ok {
		t.Fatal("it cannot complete and commit in one trip")
	}
	if err := both.CompleteAndCommit(t.Context(), semel.Completion{}); err != nil {
		t.Error(err)
	}
	same(t, passed(), []string{"before tx.Begin 1", "after tx.Begin 1", "before tx.Commit 1", "after tx.Commit 1"})
	if _, ok := begin(double{}).(semel.CompleteCommitter); ok {
		t.Error("it can complete and commit in one trip")
	}
}

// fixed begins one transaction.
type fixed struct {
	semel.Transactions
	tx semel.Transaction
}

func (f fixed) Begin(context.Context) (semel.Transaction, error) { return f.tx, nil }

// single completes and commits in one trip, and double in two.
type (
	single struct{ semel.Transaction }
	double struct{ semel.Transaction }
)

func (single) CompleteAndCommit(context.Context, semel.Completion) error { return nil }
