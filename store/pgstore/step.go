package pgstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// querier is what a step needs of a connection or of a transaction.
type querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// maxTries bounds how often a step is repeated. With the pauses between them
// all tries take a second and what the server takes.
const maxTries = 16

// errRaced says that a statement saw the moment before another one's and wrote
// nothing. The next try sees what came of it.
var errRaced = errors.New("another statement came between")

// step runs f on a connection, and again while it is known that nothing
// happened. It never passes on a context that can be cancelled: the driver would
// abandon the statement, and the server, told to cancel it while it waits for a
// standby, would make it visible unreplicated.
func (s *Store) step(ctx context.Context, name string, f func(ctx context.Context, q querier, try int) error) error {
	ctx = context.WithoutCancel(ctx)
	for try := 1; ; try++ {
		err := s.once(ctx, func(conn *pgxpool.Conn) error { return f(ctx, conn, try) })
		if err == nil {
			return nil
		}
		raced := errors.Is(err, errRaced)
		if !raced && !happensNot(err) || try == maxTries {
			if raced {
				err = ErrBusy
			}
			return explain(name, err)
		}
		s.learn(err)
		pause(try)
	}
}

// learn sends statements whole from now on if err says that the servers behind the
// connection do not know ours.
func (s *Store) learn(err error) {
	if unknownStatement(err) {
		s.mode.Store(int32(s.wholeMode))
	}
}

// once runs f on a connection of its own.
func (s *Store) once(ctx context.Context, f func(conn *pgxpool.Conn) error) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	err = s.settled(ctx, conn, f(conn))
	if conn.Conn().IsClosed() {
		s.watch.note()
	}
	return err
}

// pause lets the other statement end. The first repetition follows at once: the
// statement that won has usually committed by then.
func pause(try int) {
	if try == 1 {
		return
	}
	limit := min(time.Millisecond<<(try-2), 128*time.Millisecond)
	time.Sleep(limit/2 + rand.N(limit/2)) //nolint:gosec // jitter
}

// execMode says how statements are sent: what Config says, or else what is
// known about the way to the server.
func (s *Store) execMode() pgx.QueryExecMode { return pgx.QueryExecMode(s.mode.Load()) }

// wayTo looks at a connection and chooses how statements are sent. The number of
// the process that serves it is the one that answered at the start, unless a
// pooler gives each transaction another one; prepared statements are then not
// to be relied on.
func (s *Store) wayTo(conn *pgxpool.Conn, pid uint32) (pooled bool) {
	pooled = conn.Conn().PgConn().PID() != pid
	if s.fixedMode {
		return pooled
	}
	mode := pgx.QueryExecModeCacheStatement
	if pooled {
		mode = s.wholeMode
	}
	s.mode.Store(int32(mode))
	return pooled
}
