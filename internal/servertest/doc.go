// Package servertest gives tests real servers: PostgreSQL, MariaDB, Redis, RabbitMQ.
//
// # Use
//
//	func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }
//
//	func TestIt(t *testing.T) {
//		server := servertest.Postgres(t)
//		// connect to server.DSN(), use the schema servertest.Name(t)
//	}
//
// [Postgres], [MariaDB], [Redis] and [RabbitMQ] return one server for all tests of a
// package. Tests keep apart by a [Name] of their own. [NewPostgres] and its like
// start a server for one test, which may kill it, stop it and start it again,
// and [Link] is a line to a server that can be cut, delayed and made to lose
// replies.
//
// # Where servers come from
//
// A shared server is the one that the environment names (SEMEL_TEST_POSTGRES_DSN,
// SEMEL_TEST_MARIADB_DSN, SEMEL_TEST_MYSQL_DSN, SEMEL_TEST_REDIS_DSN, SEMEL_TEST_RABBITMQ_DSN), or else one
// that is started from the program on the PATH or where Debian puts it, in a
// temporary folder, on a free loopback port, as an unprivileged user. With
// neither, the test is skipped and says so; SEMEL_TEST_REQUIRE=all makes that a
// failure. `make servers` installs the programs.
//
// Only servers that this package started are ever stopped. They end with the
// process of the tests, however that ends (on Linux).
package servertest
