package pgstore

import (
	"cmp"
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A commit that waits for a synchronous standby can be told to stop waiting: by
// an operator, by a client that gives up or whose connection breaks, by a shutdown. The server then says so in a
// warning, and the step stands, visible to all and perhaps lost with the next
// failover. The warning is seen on connections that Open made.

// noticed is where a connection keeps that it saw the warning.
const noticed = "semel.pgstore.noticed"

// waitRoutine is the routine of the server that gives the warning up to now; its
// text depends on the language.
const waitRoutine = "SyncRepWaitForLSN"

func onNotice(conn *pgconn.PgConn, n *pgconn.Notice) {
	if n.Routine == waitRoutine {
		conn.CustomData()[noticed] = true
	}
}

// confirmStatement writes to the log, so that its commit waits for the standby,
// and by the order of the log for everything before it.
const confirmStatement = "SELECT pg_logical_emit_message(true, 'semel', '')"

// settled returns err, or ErrNotReplicated when the standby may lack the step
// that ended with err, or cannot be asked. Until it is known to have everything, no step of this
// store succeeds: the repetition of a step that stands would write nothing,
// wait for nothing, and be acknowledged.
func (s *Store) settled(ctx context.Context, conn *pgxpool.Conn, err error) error {
	s.notice(conn)
	marks := s.behind.Load()
	if marks == s.caughtUp.Load() || conn.Conn().IsClosed() {
		return err
	}
	if _, failed := conn.Exec(ctx, confirmStatement, pgx.QueryExecModeExec); failed != nil {
		return cmp.Or(err, fmt.Errorf("%w: %w", ErrNotReplicated, failed))
	}
	if takeNotice(conn) {
		return ErrNotReplicated
	}
	s.caughtUp.Store(marks) // those that came meanwhile stay
	return err
}

// catchUp is settled on a connection of its own, if there is anything to catch up with.
func (s *Store) catchUp(ctx context.Context) error {
	if s.behind.Load() == s.caughtUp.Load() {
		return nil
	}
	waiting, stop := context.WithTimeout(ctx, connWait)
	defer stop()
	conn, err := s.pool.Acquire(waiting)
	if err != nil {
		return err
	}
	defer conn.Release()
	return s.settled(ctx, conn, nil)
}

// notice counts a step that the standby may lack: the connection saw the warning, or
// broke, and the driver, which then tells the server to cancel whatever it
// is at, has made it stop waiting without our hearing of it.
func (s *Store) notice(conn *pgxpool.Conn) {
	if takeNotice(conn) || conn.Conn().IsClosed() {
		s.behind.Add(1)
	}
}

func takeNotice(conn *pgxpool.Conn) bool {
	data := conn.Conn().PgConn().CustomData()
	_, seen := data[noticed]
	delete(data, noticed)
	return seen
}
