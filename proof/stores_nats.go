//go:build unix

package proof

import (
	"testing"
	"time"

	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/natsstore"
	"github.com/semel-go/semel/store/natsstore/natstest"
)

// NATS starts a NATS server, in a process of its own, that syncs every write.
func NATS(t *testing.T) *Rig {
	t.Helper()
	s := natstest.Start(t, natstest.Options{SyncAlways: true})
	link := servertest.NewLink(t, s.Addr())
	store, err := natsstore.Open(t.Context(), "nats://"+link.Addr(), natsstore.Config{SyncAlways: true, Timeout: time.Second})
	return &Rig{
		Name: "natsstore", Store: ready(t, store, err), Link: link, Server: serverOf[testing.TB](t, s),
		// It reckons the server's time from earlier answers, and what each step
		// does not know for certain it adds to the retention.
		Lease: 80 * time.Millisecond, Slack: 20 * time.Millisecond, Grace: time.Second, Forgets: 65 * time.Second,
		Trips: Trips{Fresh: 1, InFlight: 2, Replay: 2, TakeOver: 3},
	}
}
