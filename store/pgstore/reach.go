package pgstore

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/semel-go/semel"
)

// reachedBy checks that other connections lead to the store's database: a lock that
// the store has, under a number that nobody else uses, cannot be had there.
func (s *Store) reachedBy(ctx context.Context, there queryRow) error {
	ctx, stop := context.WithTimeout(ctx, connWait)
	defer stop()
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	token := semel.NewToken()
	number := int64(binary.BigEndian.Uint64(token[:])) //nolint:gosec // all bits count
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", pgx.QueryExecModeExec, number); err != nil {
		return err
	}
	var elsewhere bool
	if err := there(ctx, "SELECT pg_try_advisory_xact_lock($1)", number).Scan(&elsewhere); err != nil {
		return err
	}
	if elsewhere {
		return fmt.Errorf("%w: its pool does not lead to the store's database", semel.ErrOtherStore)
	}
	return nil
}
