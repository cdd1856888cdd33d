package proof

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/semel-go/semel"
)

// Load is what the workers of one run do.
type Load struct {
	// Seed chooses what each worker does. The store and the scheduler choose
	// the order, so a seed makes a failure likely again, not certain.
	Seed uint64
	// Scope keeps runs on one store apart.
	Scope string
	// Workers call the store at once; Keys are fought over.
	Workers, Keys int
	// Steps and For end the run, whichever comes first.
	Steps int
	For   time.Duration
	// Lease is short, so that attempts lapse and their owners come back late.
	Lease time.Duration
	// Margin is asked for by half of the reservations; the others ask for none.
	Margin time.Duration
	// Slack is how exactly the store can tell the end of a lease: the grain of
	// its clock, and how far its clock and ours drift apart within a lease.
	Slack time.Duration
	// Grace is how much later than promised the store may forget. It must never
	// forget earlier.
	Grace time.Duration
	// Patience is how long a worker waits for an answer.
	Patience time.Duration
	// Repeats is set where the store's driver repeats steps by itself.
	Repeats *Repeats
}

// fill sets what was left out.
func (l Load) fill() Load {
	l.Workers = cmp.Or(l.Workers, 16)
	l.Keys = cmp.Or(l.Keys, 4)
	l.Steps = cmp.Or(l.Steps, 1<<30)
	l.Lease = cmp.Or(l.Lease, 40*time.Millisecond)
	l.Margin = cmp.Or(l.Margin, l.Lease/4)
	l.Slack = cmp.Or(l.Slack, 2*time.Millisecond)
	l.Patience = cmp.Or(l.Patience, 5*time.Second)
	l.Scope = cmp.Or(l.Scope, "proof")
	return l
}

// Tally counts what happened in a run, to tell a hard one from a tame one.
type Tally struct {
	steps, unknown    atomic.Int64
	repeated          atomic.Int64 // sendings besides the last that the driver made
	grants, takeOvers atomic.Int64 // reservations got, and those of them from a lapsed attempt
	zombies, replays  atomic.Int64 // owners who came back too late, and kept answers seen
	resolved, purged  atomic.Int64 // by the operator, and by the purger
}

// String is one line for the log.
func (t *Tally) String() string {
	return fmt.Sprintf("%d steps, %d answers lost, %d sent again; %d grants, %d take-overs, %d zombies refused, %d replays, %d resolved, %d purged",
		t.steps.Load(), t.unknown.Load(), t.repeated.Load(), t.grants.Load(), t.takeOvers.Load(), t.zombies.Load(), t.replays.Load(),
		t.resolved.Load(), t.purged.Load())
}

// Tame says what a run has not met that it should have, or is empty.
func (t *Tally) Tame() string {
	switch {
	case t.takeOvers.Load() == 0:
		return "no attempt was taken over"
	case t.zombies.Load() == 0:
		return "no owner came back too late"
	case t.replays.Load() == 0:
		return "nothing was replayed"
	}
	return ""
}

// Run is one load on one store.
type Run struct {
	Load    Load
	History *History
	Tally   Tally
	keys    *keyring
}

// NewRun prepares a run. The zero fields of load get their defaults.
func NewRun(load Load) *Run {
	load = load.fill()
	return &Run{Load: load, History: NewHistory(), keys: newKeyring(load)}
}

// Work lets the workers loose on store until the run is over or ctx ends.
func (r *Run) Work(ctx context.Context, store Store) {
	ctx, cancel := context.WithTimeout(ctx, r.Load.For)
	defer cancel()
	var left atomic.Int64
	left.Store(int64(r.Load.Steps))
	var workers, purger sync.WaitGroup
	for i := range r.Load.Workers {
		w := &worker{
			tape: r.tape(store, i), load: r.Load, keys: r.keys, left: &left,
			rng: rand.New(rand.NewPCG(r.Load.Seed, uint64(i))), tally: &r.Tally,
		}
		workers.Go(func() { w.run(ctx) })
	}
	purger.Go(func() { r.purge(ctx, store) })
	workers.Wait()
	cancel()
	purger.Wait()
}

// tape is one worker's way to the store.
func (r *Run) tape(store Store, worker int) tape {
	l := r.Load
	return tape{store, r.History, worker, l.Patience, l.Slack, l.Grace, l.Repeats}
}

// purge runs beside the workers. Nothing but expired keys may go.
func (r *Run) purge(ctx context.Context, store Store) {
	for ctx.Err() == nil {
		time.Sleep(r.Load.Lease)
		n, err := within(r.Load.Patience, func() (int, error) { return store.Purge(context.WithoutCancel(ctx), 20) })
		if err == nil {
			r.Tally.purged.Add(int64(n))
		}
	}
}

// Audit asks once more for every key, when every fault is over: what was
// acknowledged before a fault must be there after it (I10). It returns how many
// keys it asked for and about how many it heard.
func (r *Run) Audit(store Store) (heard, asked int) {
	t := r.tape(store, r.Load.Workers)
	for _, key := range r.keys.keys() {
		looked := t.look(key)
		held := t.reserve(semel.Reservation{
			Key: key, Fingerprint: requests[0], Token: semel.NewToken(), Lease: time.Hour, Retention: time.Hour, Owner: "audit",
		})
		asked++
		if !looked.Unknown && !held.Unknown {
			heard++
		}
	}
	return heard, asked
}
