package redisstore_test

import (
	"os"
	"testing"

	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/redisstore"
)

func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }

// open opens a store that shares nothing with any other. It is closed when the
// test ends.
func open(tb testing.TB, url string, cfg redisstore.Config) *redisstore.Store {
	tb.Helper()
	if cfg.Prefix == "" {
		cfg.Prefix = servertest.Name(tb) + ":"
	}
	s, err := redisstore.Open(tb.Context(), url, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return s
}

