package main

import (
	"database/sql"
	"database/sql/driver"
	"testing"
)

// I3, I8: a handler with a transaction of its own promises the same, also when the answer to
// its commit is lost.
func TestOwnTransaction(t *testing.T) {
	b := testBank(t)
	own := bankOf(b)
	own.Path = "/own/transfers"
	own.Check(t)
	own.LostCommit(t, func(happens bool) {
		b.commit = func(tx *sql.Tx) error {
			b.commit = (*sql.Tx).Commit
			if happens {
				if err := tx.Commit(); err != nil {
					t.Error(err)
				}
			} else if err := tx.Rollback(); err != nil {
				t.Error(err)
			}
			return driver.ErrBadConn
		}
	})
}
