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
