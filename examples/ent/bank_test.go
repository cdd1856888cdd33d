package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/semel-go/semel/examples/internal/banktest"
)

func TestBank(t *testing.T) { bankOf(testBank(t)).Check(t) }

func testBank(t *testing.T) *bank {
	t.Helper()
	b, err := newBank(t.Context(), filepath.Join(t.TempDir(), "bank.db"))
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
	if _, err := newBank(t.Context(), "postgres://127.0.0.1/bank"); err == nil || !strings.Contains(err.Error(), "this example is on") {
		t.Errorf("got %v", err)
	}
}
