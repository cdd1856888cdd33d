package natsstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/natsstore"
	"github.com/semel-go/semel/store/natsstore/natstest"
	"github.com/semel-go/semel/store/storetest"
)

// The promises of every store hold on three servers, where a write that is
// under way refuses others before anybody can read it (error 10164).
func TestConformanceCluster(t *testing.T) {
	t.Parallel()
	cluster := natstest.StartCluster(t, 3, natstest.Options{})
	storetest.Suite{Open: func(t *testing.T) semel.Store {
		t.Helper()
		return open(t, cluster.URL(), natsstore.Config{Replicas: 3})
	}, Expires: true}.Run(t)
}

// I1, I3, I6, I10, L4: when the server that leads the stream goes away under
// load, another one takes over; no acknowledged record is lost and no slot has
// two owners.
func TestLeaderStops(t *testing.T) {
	t.Parallel()
	cluster := natstest.StartCluster(t, 3, natstest.Options{})
	cfg := natsstore.Config{Stream: "LOAD", Replicas: 3, Timeout: 2 * time.Second}
	s := open(t, cluster.URL(), cfg)
	stopped := -1
	load(t, s, 2, func(int) {
		if stopped >= 0 { // two of three must run
			cluster.Start(t, stopped)
			waitCurrent(t, s)
		}
		stopped = cluster.Leader(t, cfg.Stream)
		cluster.Stop(t, stopped)
	})
}

// waitCurrent waits until every replica has what the leader has.
func waitCurrent(t *testing.T, s *natsstore.Store) {
	t.Helper()
	natstest.Poll(t, "the replicas are current", func() error {
		found, err := s.Inspect(t.Context())
		if err != nil {
			return err
		}
		current := 0
		for _, f := range found.Findings {
			if f.Value == "current" && f.Level == semel.Fine {
				current++
			}
		}
		if current != 2 {
			return fmt.Errorf("%d of 2", current)
		}
		return nil
	})
}
