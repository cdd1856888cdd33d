package pgstore_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/pgstore"
)

// I7, I8: a statement that was prepared on the pool, as GORM does, is seen by nobody. When it
// has committed and begun another transaction, and the work is then given up, the outcome is
// unknown.
func TestPreparedOnThePoolCommits(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	db, err := sql.Open("pgx", l.url)
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	commit, err := db.PrepareContext(t.Context(), "COMMIT AND CHAIN")
	must(t, err)
	t.Cleanup(func() { _ = commit.Close() })
	e := l.engine(t, semel.Config{Lease: time.Second, Margin: -1})
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			txs := l.SQLTransactions(db, pgstore.SQLTxConfig{Mode: mode})
			call := callOf(servertest.Name(t))
			_, err := semel.DoTx(t.Context(), e, call, txs, func(ctx context.Context) (string, error) {
				must(t, execIn(ctx, "INSERT INTO "+l.schema+".payments (id) VALUES ('"+call.Key.ID+"')"))
				_, err := semelsql.TxFrom(ctx).StmtContext(ctx, commit).ExecContext(ctx) //nolint:sqlclosecheck // the transaction does
				must(t, err)
				return "", errors.New("given up")
			})
			if !errors.Is(err, semel.ErrTxEnded) {
				t.Fatalf("got %v, want ErrTxEnded", err)
			}
			l.wantUnknown(t, e, call, txs)
		})
	}
}

// I7: when the process dies behind a commit that nobody has seen, the work is not done again.
func TestPreparedOnThePoolCommitsAndDies(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	db, err := sql.Open("pgx", l.url)
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	commit, err := db.PrepareContext(t.Context(), "COMMIT AND CHAIN")
	must(t, err)
	t.Cleanup(func() { _ = commit.Close() })
	for _, mode := range modes {
		r := deferred(servertest.Name(t))
		tx := l.begin(t, l.SQLTransactions(db, pgstore.SQLTxConfig{Mode: mode}), r)
		ctx := tx.Attach(t.Context())
		must(t, execIn(ctx, "INSERT INTO "+l.schema+".payments (id) VALUES ('"+r.Key.ID+"')"))
		_, err := semelsql.TxFrom(ctx).StmtContext(ctx, commit).ExecContext(ctx) //nolint:sqlclosecheck // the transaction does
		must(t, err)
		tx.Rollback(t.Context()) // as the server does when the process ends
		if n := l.paid(t, r.Key.ID); n != 1 {
			t.Errorf("%v: got %d effects, want 1", mode, n)
		}
		l.wantNext(t, r, false)
	}
}

// A statement can be prepared although a semicolon and a word in it look like a commit.
func TestPrepareLooksLikeACommit(t *testing.T) {
	t.Parallel()
	l := newLedger(t, servertest.Postgres(t).DSN())
	e := l.engine(t, semel.Config{})
	for _, c := range l.sqlSettings(t) {
		_, err := semel.DoTx(t.Context(), e, callOf(servertest.Name(t)), c.txs, func(ctx context.Context) (string, error) {
			stmt, err := semelsql.TxFrom(ctx).PrepareContext(ctx, "SELECT coalesce(string_agg(CASE WHEN id = '' THEN '-' ELSE id END, '; '), '') FROM "+l.schema+".payments")
			if err != nil {
				return "", err
			}
			defer func() { _ = stmt.Close() }()
			var all string
			return all, stmt.QueryRowContext(ctx).Scan(&all)
		})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
