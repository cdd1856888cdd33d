package pgstore_test

import (
	"context"
	"errors"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/pgstore"
)

// transfer is a small business transaction: one row is changed, one is written.
func transfer(ctx context.Context, tx pgx.Tx, id string) error {
	_, err := tx.Exec(ctx, "UPDATE accounts SET balance = balance - 1 WHERE id = $1", benchKeys.Add(1)%10_000)
	if err == nil {
		_, err = tx.Exec(ctx, "INSERT INTO transfers (id, body) VALUES ($1, $2)", id, benchBody[:100])
	}
	return err
}

// BenchmarkTransactions compares business transactions that are guarded in each mode
// with unguarded ones, in alternating slices of one run.
func BenchmarkTransactions(b *testing.B) {
	s, pool, _ := benchStore(b)
	run(b, pool, "CREATE TABLE accounts (id bigint PRIMARY KEY, balance bigint NOT NULL) WITH (fillfactor = 50)",
		"CREATE TABLE transfers (id text PRIMARY KEY, body bytea)",
		"INSERT INTO accounts SELECT i, 1000000 FROM generate_series(0, 9999) AS i")
	e, err := semel.New(s, semel.Config{Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = e.Close(context.WithoutCancel(b.Context())) })
	plain := func() {
		r := benchReservation()
		err := pgx.BeginFunc(b.Context(), pool, func(tx pgx.Tx) error { return transfer(b.Context(), tx, r.Key.ID) })
		if err != nil {
			b.Error(err)
		}
	}
	guarded := func(mode semel.TxMode) func() {
		txs := s.Transactions(pgstore.TxConfig{Mode: mode})
		return func() {
			r := benchReservation()
			out, err := e.InTx(b.Context(), semel.Call{Key: r.Key, Fingerprint: r.Fingerprint}, txs, func(ctx context.Context) (semel.Ending, error) {
				return semel.Ending{How: semel.Keep, Response: benchCompletion(r).Response}, transfer(ctx, pgstore.TxFrom(ctx), r.Key.ID)
			})
			if err == nil && !out.Ran {
				err = errors.New("it did not run")
			}
			if err != nil {
				b.Error(err)
			}
		}
	}
	claim, single := guarded(semel.ClaimTx), guarded(semel.SingleTx)
	for _, callers := range []int{1, 8, 32} {
		b.Run(strconv.Itoa(callers), func(b *testing.B) {
			rate(callers, slice, claim) // warm up
			var plains, claims, singles []float64
			for b.Loop() {
				plains = append(plains, rate(callers, slice, plain))
				claims = append(claims, rate(callers, slice, claim))
				singles = append(singles, rate(callers, slice, single))
			}
			b.ReportMetric(median(plains), "plain/s")
			b.ReportMetric(median(claims)/median(plains), "claim-of-plain")
			b.ReportMetric(median(singles)/median(plains), "single-of-plain")
			b.ReportMetric(0, "ns/op")
		})
	}
}
