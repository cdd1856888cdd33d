package mysqlstore

import (
	"context"
	"math/rand/v2"
	"time"
)

// maxTries bounds how often a step is repeated when the server says that
// nothing happened. With the pauses between them all tries take a quarter of a
// second and what the server takes.
const maxTries = 8

// step runs f, and again while it is known that nothing happened. The driver
// never sees a context that can be cancelled: it would abandon the statement,
// and whether it took effect would stay unknown.
func (s *Store) step(ctx context.Context, name string, f func(ctx context.Context, q querier) error) error {
	ctx = context.WithoutCancel(ctx)
	q, err := s.ready(ctx)
	if err == nil {
		err = again(happensNot, func() error { return f(ctx, q) })
	}
	if spoils(err) {
		s.forget(q)
	}
	return explain(name, err)
}

// again runs f, and again after errors that may be repeated. A lock that was not
// to be had is asked for twice: each time takes seconds.
func again(repeatable func(error) bool, f func() error) error {
	for try := 1; ; try++ {
		err := f()
		if err == nil || try == maxTries || !repeatable(err) {
			return err
		}
		if numberOf(err) == errLockWaitTimeout && try > 1 {
			return err
		}
		limit := time.Millisecond << try
		time.Sleep(limit/2 + rand.N(limit/2)) //nolint:gosec // jitter
	}
}

// execOne runs a statement that changes one row or none, and reports which. The
// rows that a statement matched and those that it changed are the same here:
// every one of ours changes what it matches.
func execOne(ctx context.Context, q querier, text string, args ...any) (bool, error) {
	res, err := q.ExecContext(ctx, text, args...)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// exists runs a statement that counts rows, and reports whether there is one.
func exists(ctx context.Context, q querier, text string, args ...any) (bool, error) {
	var n int
	err := q.QueryRowContext(ctx, text, args...).Scan(&n)
	return n > 0, err
}
