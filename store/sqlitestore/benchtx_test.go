package sqlitestore_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/sqlitestore"
)

// BenchmarkTransactions compares a business transaction under a key with the same
// one alone. Run it with -cpu 1,8 or so: each caller waits for the disk.
func BenchmarkTransactions(b *testing.B) {
	path := newPath(b)
	store := open(b, path, sqlitestore.Config{Guest: true})
	db, err := openLedger(path, pragmas+"&_txlock=immediate")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxIdleConns(64) // the default is 2, and opening one costs more than a transaction
	engine, err := semel.New(store, semel.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = engine.Close(uncancelled()) }()

	for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
		txs, err := store.Transactions(db, sqlitestore.TxConfig{Mode: mode})
		if err != nil {
			b.Fatal(err)
		}
		for _, callers := range []int{1, 8} {
			b.Run(fmt.Sprint(mode, "/", callers), func(b *testing.B) {
				together(b, callers, func() error {
					call := semel.Call{Key: benchKey(), Fingerprint: semel.FingerprintOf(benchBody[:32])}
					_, err := semel.DoTx(uncancelled(), engine, call, txs, func(ctx context.Context) (string, error) {
						return "booked", business(ctx, semelsql.TxFrom(ctx))
					})
					return err
				})
			})
		}
	}
	for _, callers := range []int{1, 8} {
		b.Run(fmt.Sprint("alone/", callers), func(b *testing.B) {
			together(b, callers, func() error {
				tx, err := db.BeginTx(uncancelled(), nil)
				if err != nil {
					return err
				}
				if err := business(uncancelled(), tx); err != nil {
					_ = tx.Rollback()
					return err
				}
				return tx.Commit()
			})
		})
	}
}

func together(b *testing.B, callers int, run func() error) {
	b.Helper()
	b.SetParallelism(callers)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := run(); err != nil {
				b.Error(err)
			}
		}
	})
}

// business is what a small handler does: it reads a row and writes two.
func business(ctx context.Context, tx interface {
	execer
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
},
) error {
	var n int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM ledger WHERE rowid = 1").Scan(&n); err != nil {
		return err
	}
	for range 2 {
		if _, err := tx.ExecContext(ctx, book, "an entry of some length, as one might have"); err != nil {
			return err
		}
	}
	return nil
}
