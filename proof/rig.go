//go:build unix

package proof

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel/internal/servertest"
)

// Rig is a store on a real server, at the end of a line that can fail.
type Rig struct {
	// Name of the store.
	Name string
	// Store was opened through Link.
	Store Store
	Link  *servertest.Link
	// Server is the process behind it.
	Server Server
	// Sever makes the server end the connections of its clients; nil if it
	// cannot be asked to.
	Sever func() error
	// Lease, Slack and Grace of the load that it gets; see [Load].
	Lease, Slack, Grace time.Duration
	// Forgets is how long after its retention the server itself deletes what
	// Purge leaves to it.
	Forgets time.Duration
	// Repeats is set where the driver repeats steps by itself.
	Repeats *Repeats
	// Trips is how many questions a reservation may ask the server when nobody
	// else wants the slot (L2).
	Trips Trips
}

// Trips are the greatest numbers of round trips of a Reserve, by its outcome.
type Trips struct{ Fresh, InFlight, Replay, TakeOver int }

// Server is what a rig does to a server's process.
type Server struct{ Kill, Start, Stop, Continue func() }

// process is a server of servertest or of natstest.
type process[TB any] interface {
	Kill(tb TB)
	Start(tb TB)
	Stop(tb TB)
	Continue(tb TB)
}

func serverOf[TB any](tb TB, p process[TB]) Server {
	return Server{
		Kill: func() { p.Kill(tb) }, Start: func() { p.Start(tb) },
		Stop: func() { p.Stop(tb) }, Continue: func() { p.Continue(tb) },
	}
}

// served is a store of the shape of docs/adr/0017.
type served interface {
	Store
	io.Closer
	Migrate(ctx context.Context) error
	Validate(ctx context.Context) error
}

// ready prepares a store on a server that runs.
func ready(t *testing.T, s served, err error) Store {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// through is the address of a server, by way of the link.
func through(link *servertest.Link, s *servertest.Server) string {
	return strings.Replace(s.DSN(), s.Addr(), link.Addr(), 1)
}

// WaitUntilServing asks until the store can be reached: a line that was cut and
// a server that was down come back without the store being opened anew (L4).
func (r *Rig) WaitUntilServing(t *testing.T) {
	t.Helper()
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err = within(3*time.Second, func() (struct{}, error) { return struct{}{}, r.Store.Ping(ctx) })
		cancel()
		if err == nil {
			return
		}
	}
	t.Fatalf("%s does not serve a minute after its server was back (L4): %v", r.Name, err)
}
