package redisstore_test

import (
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/redisstore"
	"github.com/semel-go/semel/store/storetest"
)

// The promises of every store.
func TestConformance(t *testing.T) {
	t.Parallel()
	server := servertest.Redis(t)
	storetest.Suite{Expires: true, Open: func(t *testing.T) semel.Store {
		t.Helper()
		return open(t, server.DSN(), redisstore.Config{})
	}}.Run(t)
}
