package mysqlstore_test

import (
	"context"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/mysqlstore"
)

// I8: a row that nobody has scanned, or rows that nobody has closed, are read to their end
// before the record is completed: the connection takes nothing else before.
func TestHandlerLeavesRowsUnread(t *testing.T) {
	t.Parallel()
	for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
		b := newBank(t, servertest.MariaDB(t), mysqlstore.TxConfig{Mode: mode})
		e := b.engine()
		const rows = "SELECT 1 UNION SELECT 2"
		for name, leave := range map[string]func(ctx context.Context, tx *semelsql.Tx) error{
			"a row": func(ctx context.Context, tx *semelsql.Tx) error { return tx.QueryRowContext(ctx, rows).Err() },
			"rows": func(ctx context.Context, tx *semelsql.Tx) error {
				left, err := tx.QueryContext(ctx, rows) //nolint:rowserrcheck,sqlclosecheck // that is the case
				if err == nil {
					left.Next()
				}
				return err
			},
		} {
			r, runs := reservation(name+mode.String()), 0
			_, err := semel.DoTx(t.Context(), e, semel.Call{Key: r.Key, Fingerprint: r.Fingerprint}, b.txs, func(ctx context.Context) (string, error) {
				runs++
				tx := semelsql.TxFrom(ctx)
				if _, err := tx.ExecContext(ctx, "INSERT INTO effects VALUES (?)", name); err != nil {
					return "", err
				}
				return "", leave(ctx, tx)
			})
			if n := b.effects(name); err != nil || runs != 1 || n != 1 {
				t.Errorf("%v, %s: got %d effects after %d runs (%v), want one after one", mode, name, n, runs, err)
			}
		}
	}
}
