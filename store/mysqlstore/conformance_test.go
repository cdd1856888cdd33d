package mysqlstore_test

import (
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/mysqlstore"
	"github.com/semel-go/semel/store/storetest"
)

// The promises of every store, with the sessions that Open makes.
func TestConformance(t *testing.T) {
	t.Parallel()
	server := servertest.MariaDB(t)
	dsn := database(t, server, "")
	storetest.Suite{Open: func(t *testing.T) semel.Store {
		t.Helper()
		return open(t, dsn, mysqlstore.Config{Table: servertest.Name(t)})
	}}.Run(t)
}

// The same, on MySQL, if there is one.
func TestConformanceMySQL(t *testing.T) {
	t.Parallel()
	server := servertest.MySQL(t)
	dsn := database(t, server, "")
	storetest.Suite{Open: func(t *testing.T) semel.Store {
		t.Helper()
		return open(t, dsn, mysqlstore.Config{Table: servertest.Name(t)})
	}}.Run(t)
}

// The same with the sessions of a pool that the store did not choose: the
// default isolation of REPEATABLE READ, another time zone, matched rows instead
// of changed ones, arguments in the text, another character set, other modes.
func TestConformancePools(t *testing.T) {
	t.Parallel()
	for name, server := range map[string]func(servertest.TB) *servertest.Server{"MariaDB": servertest.MariaDB, "MySQL": servertest.MySQL} {
		for _, params := range []string{
			"?clientFoundRows=true&parseTime=true&loc=Europe%2FVienna&time_zone=%27%2B13%3A00%27",
			"?interpolateParams=true&charset=latin1&sql_mode=%27STRICT_ALL_TABLES%2CANSI_QUOTES%2CPIPES_AS_CONCAT%2CNO_BACKSLASH_ESCAPES%27",
		} {
			t.Run(name+params, func(t *testing.T) {
				t.Parallel()
				db := pool(t, database(t, server(t), params))
				storetest.Suite{Open: func(t *testing.T) semel.Store {
					t.Helper()
					return on(t, db, mysqlstore.Config{Table: servertest.Name(t)})
				}}.Run(t)
			})
		}
	}
}

const readCommitted = "?tx_isolation=%27READ-COMMITTED%27"

// The same with the statements for other servers, which MariaDB understands too: those
// of MySQL, and those of MariaDB 10.5.
func TestConformanceForms(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"8.4.0", "10.5.29-MariaDB"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			db := pool(t, database(t, servertest.MariaDB(t), readCommitted))
			storetest.Suite{Open: func(t *testing.T) semel.Store {
				t.Helper()
				s := on(t, db, mysqlstore.Config{Table: servertest.Name(t)})
				if err := s.Pretend(t.Context(), version); err != nil {
					t.Fatal(err)
				}
				return s
			}}.Run(t)
		})
	}
}
