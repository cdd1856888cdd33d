package mysqlstore

import (
	"context"
	"database/sql"
	"math/rand/v2"
	"time"
)

// maxTries bounds how often one statement is repeated when the server says that
// nothing happened. With the pauses between them all tries take a tenth of a
// second and what the server takes.
const maxTries = 8

// again runs f until it ends otherwise than by a deadlock and the like. The
// token makes a repetition safe even if the server were wrong.
func again(f func() error) error {
	for try := 1; ; try++ {
		err := f()
		if err == nil || try == maxTries || !happensNot(err) {
			return err
		}
		if numberOf(err) == errLockWaitTimeout && try > 1 {
			return err // it has waited for seconds, twice
		}
		limit := time.Millisecond << try
		time.Sleep(limit/2 + rand.N(limit/2)) //nolint:gosec // jitter
	}
}

// exec runs a statement that writes.
func exec(ctx context.Context, q querier, text string, args ...any) (res sql.Result, err error) {
	err = again(func() error {
		res, err = q.ExecContext(ctx, text, args...)
		return err
	})
	return res, err
}

// execOne runs a statement that changes one row or none, and reports which. The
// rows that a statement matched and those that it changed are the same here:
// every one of ours changes what it matches.
func execOne(ctx context.Context, q querier, text string, args ...any) (bool, error) {
	res, err := exec(ctx, q, text, args...)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// count runs a statement that returns one number, and reports whether it is
// more than zero.
func count(ctx context.Context, q querier, text string, args ...any) (bool, error) {
	var n int
	err := again(func() error { return q.QueryRowContext(ctx, text, args...).Scan(&n) })
	return n > 0, err
}
