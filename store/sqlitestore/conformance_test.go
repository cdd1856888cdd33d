package sqlitestore_test

import (
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/sqlitestore"
	"github.com/semel-go/semel/store/storetest"
)

// The promises of every store.
func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Suite{Open: func(t *testing.T) semel.Store {
		t.Helper()
		return open(t, newPath(t), sqlitestore.Config{})
	}}.Run(t)
}

// Shared costs none of them.
func TestConformanceShared(t *testing.T) {
	t.Parallel()
	storetest.Suite{Open: func(t *testing.T) semel.Store {
		t.Helper()
		path := newPath(t)
		if err := sqlitestore.Migrate(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		return open(t, path, sqlitestore.Config{Shared: true})
	}}.Run(t)
}
