package pgstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/semel-go/semel"
)

// lookPatience is how long a look waits for each of the two locks.
const lookPatience = 5 * time.Second

// Look implements [semel.Looker]. It waits up to 5 s for the transaction that has
// the number of the slot, and as long for the one that has its row, whose client may have been
// gone for a while; then it fails with [ErrBusy]. What it answers is, like every
// step, with the standby too.
func (s *Store) Look(ctx context.Context, key semel.Key) (semel.Record, error) {
	ctx = context.WithoutCancel(ctx)
	for try := 1; ; try++ {
		var w row
		err := s.once(ctx, func(conn *pgxpool.Conn) error { return s.lookAt(ctx, conn, key, &w) })
		if err == nil {
			w.record.Key = key
			return w.record, nil
		}
		if again := unknownStatement(err) || severed(err) && !isConnect(err); again && try < maxTries {
			s.learn(err)
			continue // also on another connection: looking twice is harmless
		}
		if codeOf(err) == codeLockNotAvailable {
			err = fmt.Errorf("%w: %w", ErrBusy, err)
		}
		return semel.Record{}, explain("look", err)
	}
}

// lookAt reads the row under its lock, in a transaction that commits: a commit that
// locked a row waits for the standby, and for all that came before it.
func (s *Store) lookAt(ctx context.Context, conn *pgxpool.Conn, key semel.Key, w *row) error {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}) // each statement sees what the one before waited for
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }() // does nothing after the commit
	slot := key.Slot()
	wait := fmt.Sprintf("SET LOCAL lock_timeout = %d; SELECT pg_advisory_xact_lock(%d)", lookPatience.Milliseconds(), s.names.number(slot))
	if _, err := tx.Exec(ctx, wait, pgx.QueryExecModeSimpleProtocol); err != nil {
		return err
	}
	err = w.scan(tx.QueryRow(ctx, s.sql.look, s.execMode(), slot[:]), &w.record.Response.Header, &w.record.Response.Body)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) { // no row: nobody has ever used it, or it is purged
		return err
	}
	return tx.Commit(ctx)
}
