package pgstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// closePatience bounds the farewell of a connection that was listened on.
const closePatience = time.Second

var errPooled = fmt.Errorf("pgstore: a pooler stands before the server, and who listens through it may hear nothing: "+
	"name the server itself in Config.ListenURL: %w", errors.ErrUnsupported)

// channel is where the texts of the store's table go. Other tables have other ones.
func (n *names) channel() string { return fmt.Sprintf("semel_%016x", n.mix) }

// Send implements [semel.Messenger] with a NOTIFY in a transaction of its own. A commit that
// notifies makes all others of the instance that do wait until it is done; one that writes
// nothing else waits for neither disk nor standby.
func (s *Store) Send(ctx context.Context, text string) error {
	_, err := s.pool.Exec(ctx, "SELECT pg_notify($1, $2)", pgx.QueryExecModeExec, s.names.channel(), text)
	return explain("send", err)
}

// Listen implements [semel.Messenger] on a connection of its own, beside those of the pool.
// Through a pooler it fails with [errors.ErrUnsupported], see [Config.ListenURL].
func (s *Store) Listen(ctx context.Context, ready func(), heard func(text string)) error {
	return explain("listen", s.listenOn(ctx, ready, heard))
}

func (s *Store) listenOn(ctx context.Context, ready func(), heard func(text string)) error {
	conn, err := s.dialDirect(ctx)
	if err != nil {
		return err
	}
	defer func() {
		ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), closePatience)
		defer stop()
		_ = conn.Close(ctx) // nothing is lost with it
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{s.names.channel()}.Sanitize(), pgx.QueryExecModeExec); err != nil {
		return err
	}
	ready()
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		heard(n.Payload)
	}
}

// dialDirect makes a connection to the server itself.
func (s *Store) dialDirect(ctx context.Context) (*pgx.Conn, error) {
	if s.listen != nil {
		return pgx.ConnectConfig(ctx, s.listen)
	}
	pool := s.pool.Config()
	if pool.BeforeConnect != nil {
		if err := pool.BeforeConnect(ctx, pool.ConnConfig); err != nil {
			return nil, err
		}
	}
	conn, err := pgx.ConnectConfig(ctx, pool.ConnConfig)
	if err != nil {
		return nil, err
	}
	var pid uint32
	if err = conn.QueryRow(ctx, "SELECT pg_backend_pid()", pgx.QueryExecModeExec).Scan(&pid); err == nil && pid != conn.PgConn().PID() {
		err = errPooled
	}
	if err != nil {
		_ = conn.Close(ctx) // it was never used
		return nil, err
	}
	return conn, nil
}
