package main

import (
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/examples/internal/banktest"
	"github.com/semel-go/semel/internal/servertest"
)

func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }

func TestBank(t *testing.T) {
	for _, mode := range []semel.TxMode{semel.ClaimTx, semel.SingleTx} {
		t.Run(mode.String(), func(t *testing.T) { bankOf(testBank(t, mode)).Check(t) })
	}
}

func testBank(t *testing.T, mode semel.TxMode) *bank {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), servertest.NewPostgres(t).DSN())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	b, err := newBank(t.Context(), pool, mode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	return b
}

func bankOf(b *bank) banktest.Bank {
	return banktest.Bank{Handler: b.routes(), Balance: func(t *testing.T, name string) (n int64) {
		t.Helper()
		if err := b.pool.QueryRow(t.Context(), "SELECT balance FROM accounts WHERE name = $1", name).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}}
}
