package pgstore_test

import (
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/pgstore"
	"github.com/semel-go/semel/store/storetest"
)

// The promises of every store, over a pool that a program has for itself too.
func TestConformance(t *testing.T) {
	t.Parallel()
	pool := poolOf(t, servertest.Postgres(t).DSN()+"&pool_max_conns=16")
	storetest.Suite{Open: func(t *testing.T) semel.Store {
		t.Helper()
		s, err := pgstore.New(pool, pgstore.Config{Schema: servertest.Name(t), Table: `my "table"`, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		migrate(t, s)
		return s
	}}.Run(t)
}

// Open costs none of them.
func TestConformanceOpened(t *testing.T) {
	t.Parallel()
	storetest.Suite{Open: func(t *testing.T) semel.Store {
		t.Helper()
		return fresh(t, servertest.Postgres(t).DSN())
	}}.Run(t)
}

// Nor does a pooler that gives each statement another connection, on which
// prepared statements are not to be relied on.
func TestConformancePooled(t *testing.T) {
	t.Parallel()
	server := servertest.Postgres(t)
	pool := poolOf(t, servertest.NewPgBouncer(t, server).DSN()+"&pool_max_conns=16")
	storetest.Suite{Open: func(t *testing.T) semel.Store {
		t.Helper()
		s, err := pgstore.New(pool, pgstore.Config{Schema: servertest.Name(t), ListenURL: server.DSN(), Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		migrate(t, s)
		return s
	}}.Run(t)
}
