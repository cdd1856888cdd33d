package mysqlstore_test

import (
	"database/sql"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/mysqlstore"
)

func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }

var quiet = slog.New(slog.DiscardHandler)

// database makes a database of the test's own and returns its DSN, with the
// parameters, which begin with "?" or are empty.
func database(tb testing.TB, server *servertest.Server, params string) string {
	tb.Helper()
	name := servertest.Name(tb)
	admin := pool(tb, server.DSN())
	run(tb, admin, "CREATE DATABASE "+name)
	if server.External() {
		tb.Cleanup(func() { run(tb, admin, "DROP DATABASE "+name) })
	}
	base, _, _ := strings.Cut(server.DSN(), "?")
	return base + name + params
}

// pool opens a pool and closes it at the end of the test.
func pool(tb testing.TB, dsn string) *sql.DB {
	tb.Helper()
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		tb.Fatal(err)
	}
	cfg.Logger = &mysql.NopLogger{}
	c, err := mysql.NewConnector(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(32)
	db.SetMaxIdleConns(32)
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

func run(tb testing.TB, db *sql.DB, text string, args ...any) {
	tb.Helper()
	if _, err := db.Exec(text, args...); err != nil {
		tb.Fatalf("%s: %v", text, err)
	}
}

// open returns a store with a pool of its own, migrated.
func open(tb testing.TB, dsn string, cfg mysqlstore.Config) *mysqlstore.Store {
	tb.Helper()
	s := openOnly(tb, dsn, cfg)
	if err := s.Migrate(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return s
}

// openOnly is open without the migration.
func openOnly(tb testing.TB, dsn string, cfg mysqlstore.Config) *mysqlstore.Store {
	tb.Helper()
	if cfg.Logger == nil {
		cfg.Logger = quiet
	}
	s, err := mysqlstore.Open(tb.Context(), dsn, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// on returns a store on a pool, migrated.
func on(tb testing.TB, db *sql.DB, cfg mysqlstore.Config) *mysqlstore.Store {
	tb.Helper()
	cfg.Logger = quiet
	s, err := mysqlstore.New(db, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.Migrate(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

func reservation(id string) semel.Reservation {
	return semel.Reservation{
		Key: semel.Key{Scope: "tenant-1", ID: id}, Fingerprint: semel.FingerprintOf([]byte("request")),
		Token: semel.NewToken(), Lease: time.Hour, Retention: 24 * time.Hour, Owner: "host/1",
	}
}

// anew is the same request in another attempt.
func anew(r semel.Reservation) semel.Reservation {
	r.Token = semel.NewToken()
	return r
}

func completion(r semel.Reservation, body string) semel.Completion {
	return semel.Completion{
		Key: r.Key, Token: r.Token, Retention: r.Retention,
		Response: semel.Response{Status: 201, Header: []byte("header"), Body: []byte(body)},
	}
}

// mustReserve reserves a slot that r must get.
func mustReserve(tb testing.TB, s semel.Store, r semel.Reservation) semel.Record {
	tb.Helper()
	held, err := s.Reserve(tb.Context(), r)
	if err != nil || held.State != semel.StateReserved || held.Token != r.Token {
		tb.Fatalf("got a %v slot held by %v (%v), want it reserved by %v", held.State, held.Token, err, r.Token)
	}
	return held
}

func mustComplete(tb testing.TB, s semel.Store, r semel.Reservation, body string) {
	tb.Helper()
	if err := s.Complete(tb.Context(), completion(r, body)); err != nil {
		tb.Fatal(err)
	}
}

// mustReplay checks that a retry gets the kept response (I3).
func mustReplay(tb testing.TB, s semel.Store, r semel.Reservation, body string) {
	tb.Helper()
	held, err := s.Reserve(tb.Context(), anew(r))
	if err != nil || held.State != semel.StateCompleted || string(held.Response.Body) != body {
		tb.Fatalf("got a %v slot with %d bytes (%v), want the kept response of %d bytes",
			held.State, len(held.Response.Body), err, len(body))
	}
}
