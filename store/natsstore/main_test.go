package natsstore_test

import (
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/natsstore"
	"github.com/semel-go/semel/store/natsstore/natstest"
)

func TestMain(m *testing.M) { os.Exit(natstest.Main(m)) }

// open returns a migrated store with a stream of its own on the servers of url.
func open(t testing.TB, url string, cfg natsstore.Config) *natsstore.Store {
	t.Helper()
	s := connect(t, url, cfg)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// connect returns a store without a stream.
func connect(t testing.TB, url string, cfg natsstore.Config) *natsstore.Store {
	t.Helper()
	if cfg.Stream == "" {
		cfg.Stream = servertest.Name(t)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second // on a busy machine an answer may take longer than it should
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := natsstore.Open(t.Context(), url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}
