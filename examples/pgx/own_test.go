package main

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/semel-go/semel"
)

// I3, I8: a handler with a transaction of its own promises the same, also when the answer to
// its commit is lost.
func TestOwnTransaction(t *testing.T) {
	b := testBank(t, semel.ClaimTx)
	own := bankOf(b)
	own.Path = "/own/transfers"
	own.Check(t)
	own.LostCommit(t, func(happens bool) {
		b.commit = func(ctx context.Context, tx pgx.Tx) error {
			b.commit = commit
			if happens {
				if err := tx.Commit(ctx); err != nil {
					t.Error(err)
				}
			} else if err := tx.Rollback(ctx); err != nil {
				t.Error(err)
			}
			return errors.New("the connection is broken")
		}
	})
}
