package memstore_test

import (
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
	"github.com/semel-go/semel/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Suite{Open: open, VirtualTime: true}.Run(t)
}

// A bound that is not reached changes nothing.
func TestConformanceBounded(t *testing.T) {
	storetest.Suite{VirtualTime: true, Open: func(*testing.T) semel.Store {
		return memstore.New(memstore.Config{MaxRecords: 1002})
	}}.Run(t)
}

func open(*testing.T) semel.Store { return memstore.New(memstore.Config{}) }
