package main

import (
	"database/sql"
	"os"
	"strings"
	"testing"

	"github.com/semel-go/semel/examples/internal/banktest"
	"github.com/semel-go/semel/internal/servertest"
)

func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }

func TestBank(t *testing.T) { bankOf(testBank(t)).Check(t) }

func testBank(t *testing.T) *bank {
	t.Helper()
	s := servertest.NewMariaDB(t)
	admin, err := sql.Open("mysql", s.DSN())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE bank"); err != nil {
		t.Fatal(err)
	}
	if err := admin.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := newBank(t.Context(), s.DSN()+"bank")
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
		if err := b.pool.QueryRowContext(t.Context(), "SELECT balance FROM accounts WHERE name = ?", name).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}}
}

// A URL, which this example does not take, is told so.
func TestDatabaseIsNoURL(t *testing.T) {
	if _, err := newBank(t.Context(), "mysql://root@127.0.0.1:3306/bank"); err == nil || !strings.Contains(err.Error(), "this example is on") {
		t.Errorf("got %v", err)
	}
}
