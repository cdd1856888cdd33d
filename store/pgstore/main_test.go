package pgstore_test

import (
	"context"
	"log/slog"
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/pgstore"
)

func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }

// quiet drops what stores log.
var quiet = slog.New(slog.DiscardHandler)

// poolOf returns a pool for a URL, closed with the test.
func poolOf(tb testing.TB, url string) *pgxpool.Pool {
	tb.Helper()
	pool, err := pgxpool.New(tb.Context(), url)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(pool.Close)
	return pool
}

// opened returns a store made by Open, closed with the test, and not migrated.
func opened(tb testing.TB, url string, cfg pgstore.Config) *pgstore.Store {
	tb.Helper()
	if cfg.Logger == nil {
		cfg.Logger = quiet
	}
	s, err := pgstore.Open(tb.Context(), url, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// fresh returns an empty store in a schema of its own.
func fresh(tb testing.TB, url string) *pgstore.Store {
	tb.Helper()
	s := opened(tb, url, pgstore.Config{Schema: servertest.Name(tb)})
	migrate(tb, s)
	return s
}

func migrate(tb testing.TB, s *pgstore.Store) {
	tb.Helper()
	if err := s.Migrate(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

// run executes statements of a test's own, past the store.
func run(tb testing.TB, pool *pgxpool.Pool, statements ...string) {
	tb.Helper()
	for _, s := range statements {
		if _, err := pool.Exec(context.WithoutCancel(tb.Context()), s); err != nil {
			tb.Fatalf("%s: %v", s, err)
		}
	}
}

// look returns the one value of a query of a test's own.
func look[T any](tb testing.TB, pool *pgxpool.Pool, query string, args ...any) (v T) {
	tb.Helper()
	if err := pool.QueryRow(tb.Context(), query, args...).Scan(&v); err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
	return v
}

var _ semel.Store = (*pgstore.Store)(nil)
