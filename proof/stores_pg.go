//go:build unix

package proof

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/pgstore"
)

// Postgres starts a PostgreSQL that syncs every commit.
func Postgres(t *testing.T) *Rig {
	t.Helper()
	s := servertest.NewPostgres(t, "fsync=on", "synchronous_commit=on", "full_page_writes=on")
	link := servertest.NewLink(t, s.Addr())
	store, err := pgstore.Open(t.Context(), through(link, s), pgstore.Config{})
	return &Rig{
		Name: "pgstore", Store: ready(t, store, err), Link: link, Server: serverOf[servertest.TB](t, s),
		Sever: func() error { return terminate(t.Context(), s.DSN()) },
		Trips: Trips{Fresh: 1, InFlight: 1, Replay: 1, TakeOver: 1},
	}
}

// terminate ends every session but its own.
func terminate(ctx context.Context, dsn string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`)
	return err
}
