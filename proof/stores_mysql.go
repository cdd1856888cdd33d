//go:build unix

package proof

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/mysqlstore"
)

// MariaDB starts a MariaDB that syncs every commit.
func MariaDB(t *testing.T) *Rig {
	t.Helper()
	s := servertest.NewMariaDB(t, "innodb_flush_log_at_trx_commit=1")
	link := servertest.NewLink(t, s.Addr())
	if err := execute(t.Context(), s.DSN(), "CREATE DATABASE proof"); err != nil {
		t.Fatal(err)
	}
	address, _, _ := strings.Cut(through(link, s), "?")
	store, err := mysqlstore.Open(t.Context(), address+"proof", mysqlstore.Config{})
	return &Rig{
		Name: "mysqlstore", Store: ready(t, store, err), Link: link, Server: serverOf[servertest.TB](t, s),
		Sever: func() error { return kill(t.Context(), s.DSN()) },
		Trips: Trips{Fresh: 1, InFlight: 2, Replay: 2, TakeOver: 3},
	}
}

// kill ends every connection but its own.
func kill(ctx context.Context, dsn string) (err error) {
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.QueryContext(ctx, "SELECT id FROM information_schema.processlist WHERE id <> connection_id() AND user = 'root'")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var ids []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return err
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, id := range ids {
		_, _ = db.ExecContext(ctx, fmt.Sprintf("KILL %d", id)) // it may have ended by itself
	}
	return nil
}

func execute(ctx context.Context, dsn, statement string) error {
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, statement)
	return errors.Join(err, db.Close())
}
