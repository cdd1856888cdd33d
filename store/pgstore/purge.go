package pgstore

import (
	"context"

	"github.com/semel-go/semel"
)

var _ semel.Purger = (*Store)(nil)

// maxPurge bounds one statement and the locks that it holds.
const maxPurge = 1000

// Purge implements [semel.Purger]. One call deletes at most 1,000 records,
// whatever the limit, in one statement. Records that another purge has locked
// are left to it, so that any number of processes may purge at once.
func (s *Store) Purge(ctx context.Context, limit int) (n int, err error) {
	limit = min(limit, maxPurge)
	if limit <= 0 {
		return 0, nil
	}
	// The head of the index is full of what the last calls deleted, until a
	// vacuum, and of lapsed reservations, until somebody resolves them. So each
	// call begins where the last one ended, and one that finds too little lets
	// the next one begin anew.
	from := s.purged.Load()
	for {
		var last int64
		err = s.step(ctx, "purge", func(ctx context.Context, q querier, _ int) error {
			return q.QueryRow(ctx, s.sql.purge, s.execMode(), from, int32(limit)).Scan(&n, &last) //nolint:gosec // at most maxPurge
		})
		if err != nil {
			return 0, err
		}
		if n < limit {
			last = 0
		}
		s.purged.Store(last)
		if n > 0 || from == 0 {
			return n, nil
		}
		from = 0
	}
}
