package mysqlstore_test

import (
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/mysqlstore"
	"github.com/semel-go/semel/store/storetest"
)

// The promises of every store, on MariaDB.
func TestConformance(t *testing.T) {
	t.Parallel()
	conform(t, servertest.MariaDB(t))
}

// The same on MySQL, if there is one.
func TestConformanceMySQL(t *testing.T) {
	t.Parallel()
	conform(t, servertest.MySQL(t))
}

func conform(t *testing.T, server *servertest.Server) {
	t.Helper()
	dsn := database(t, server, "")
	storetest.Suite{Open: func(t *testing.T) semel.Store {
		t.Helper()
		return open(t, dsn, mysqlstore.Config{Table: servertest.Name(t)})
	}}.Run(t)
}
