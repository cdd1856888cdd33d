//go:build unix

package proof

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"
)

// Fault is one thing that goes wrong for a while. It is over when Strike returns.
type Fault struct {
	Name   string
	Strike func(rng *rand.Rand)
}

// Faults are all that can happen to a rig.
func (r *Rig) Faults(t *testing.T) []Fault {
	faults := []Fault{
		{"server killed", func(rng *rand.Rand) {
			r.Server.Kill()
			pause(rng, 100)
			r.Server.Start()
		}},
		{"server stopped", func(rng *rand.Rand) {
			r.Server.Stop()
			pause(rng, 300)
			r.Server.Continue()
		}},
		{"connections broken", func(rng *rand.Rand) {
			for range 3 {
				r.Link.Break()
				pause(rng, 60)
			}
		}},
		{"network cut", func(rng *rand.Rand) {
			r.Link.Cut()
			pause(rng, 200)
			r.Link.Heal()
		}},
		{"network silent", func(rng *rand.Rand) {
			r.Link.Blackhole()
			pause(rng, 300)
			r.Link.Heal()
		}},
		{"network slow", func(rng *rand.Rand) {
			r.Link.Delay(time.Duration(1+rng.IntN(8)) * time.Millisecond)
			time.Sleep(400 * time.Millisecond)
			r.Link.Delay(0)
		}},
		{"replies dropped", func(rng *rand.Rand) {
			dice := rand.New(rand.NewPCG(rng.Uint64(), 0))
			r.Link.DropReplies(func() bool { return dice.IntN(40) == 0 })
			time.Sleep(600 * time.Millisecond)
			r.Link.DropReplies(nil)
		}},
	}
	if r.Sever != nil {
		faults = append(faults, Fault{"connections killed by the server", func(rng *rand.Rand) {
			for range 3 {
				if err := r.Sever(); err != nil {
					t.Logf("the server did not end its connections: %v", err)
				}
				pause(rng, 60)
			}
		}})
	}
	return faults
}

// pause lasts from a third to the whole of so many milliseconds.
func pause(rng *rand.Rand, ms int) {
	time.Sleep(time.Duration(ms/3+rng.IntN(2*ms/3)) * time.Millisecond)
}

// Nemesis lets every fault strike once in each round, in any order, with calm
// between, until the rounds or ctx are over. It must be called by the goroutine of
// the test.
func Nemesis(ctx context.Context, rng *rand.Rand, faults []Fault, rounds int) {
	for range rounds {
		for _, i := range rng.Perm(len(faults)) {
			pause(rng, 200)
			if ctx.Err() != nil {
				return
			}
			faults[i].Strike(rng)
		}
	}
	pause(rng, 300)
}
