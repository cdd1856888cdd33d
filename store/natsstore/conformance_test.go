package natsstore_test

import (
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/natsstore"
	"github.com/semel-go/semel/store/natsstore/natstest"
	"github.com/semel-go/semel/store/storetest"
)

// The promises of every store.
func TestConformance(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	storetest.Suite{Open: func(t *testing.T) semel.Store {
		t.Helper()
		return open(t, server.URL(), natsstore.Config{})
	}, Expires: true}.Run(t)
}
