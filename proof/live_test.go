//go:build unix

package proof

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel"
)

// TestLive checks on each store on a real server what a linearizable history
// cannot show, because a store in which nothing ever moves on is linearizable.
func TestLive(t *testing.T) {
	for _, r := range rigs {
		t.Run(r.name, func(t *testing.T) {
			n := seed(t)
			rig := r.open(t)
			t.Run("L1 lapsed is told", func(t *testing.T) { lapsedIsTold(t, rig) })
			t.Run("L1 lapsed is taken over", func(t *testing.T) { lapsedIsTakenOver(t, rig) })
			t.Run("L2 round trips", func(t *testing.T) { fewRoundTrips(t, rig) })
			t.Run("I9 over stays over", func(t *testing.T) { staysOver(t, rig) })
			t.Run("L3 nobody waits for ever", func(t *testing.T) { nobodyWaits(t, rig) })
			for _, f := range rig.Faults(t) {
				t.Run("L4 after "+f.Name, func(t *testing.T) { servesAgain(t, rig, f, n) })
			}
		})
	}
}

// asked is a reservation for a key of the test's own.
func asked(t *testing.T, id string) semel.Reservation {
	t.Helper()
	return semel.Reservation{
		Key: semel.Key{Scope: t.Name(), ID: id}, Fingerprint: requests[0], Token: semel.NewToken(),
		Lease: 200 * time.Millisecond, Margin: 50 * time.Millisecond, Retention: time.Hour,
	}
}

// again is the same request by another attempt.
func again(r semel.Reservation, takeOver bool) semel.Reservation {
	r.Token, r.TakeOver = semel.NewToken(), takeOver
	return r
}

func reserve(t *testing.T, rig *Rig, r semel.Reservation) semel.Record {
	t.Helper()
	held, err := rig.Store.Reserve(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return held
}

// besiege reserves r and asks for its key from eight sides until its lease and
// margin are over. None of them may get it, nor be told that it lapsed.
func besiege(t *testing.T, rig *Rig, r semel.Reservation) {
	t.Helper()
	begun := time.Now()
	reserve(t, rig, r)
	end := time.Now().Add(r.Lease + r.Margin + rig.Slack + 2*time.Millisecond)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for time.Now().Before(end) {
				held, err := rig.Store.Reserve(context.Background(), again(r, i%2 == 0))
				early := time.Since(begun) < r.Lease+r.Margin-rig.Slack-2*time.Millisecond
				switch {
				case err != nil:
					t.Error(err)
					return
				case early && (held.Lapsed || held.Token != r.Token):
					t.Error("I1: the lease still ran")
					return
				case held.Token != r.Token:
					return
				}
			}
		})
	}
	wg.Wait()
	time.Sleep(time.Until(end))
}

// lapsedIsTold: questions do not prolong a lease. The first reservation after it
// is told so, if it may not take over.
func lapsedIsTold(t *testing.T, rig *Rig) {
	for i := range 3 {
		r := asked(t, fmt.Sprint(i))
		begun := time.Now()
		reserve(t, rig, r)
		end := time.Now().Add(r.Lease + r.Margin + rig.Slack + 2*time.Millisecond)
		for time.Now().Before(end) {
			held := reserve(t, rig, again(r, false))
			if held.Lapsed && time.Since(begun) < r.Lease+r.Margin-rig.Slack-2*time.Millisecond {
				t.Fatal("I1: the lease still ran")
			}
		}
		if held := reserve(t, rig, again(r, false)); !held.Lapsed || held.Token != r.Token {
			t.Errorf("L1: the first reservation after the lease sees a %v slot, lapsed %t", held.State, held.Lapsed)
		}
	}
}

// lapsedIsTakenOver: nor do attempts to take over. One of those that ask gets it.
func lapsedIsTakenOver(t *testing.T, rig *Rig) {
	for i := range 3 {
		r := asked(t, fmt.Sprint(i))
		besiege(t, rig, r)
		next := again(r, true)
		held := reserve(t, rig, next)
		if held.Token == r.Token {
			t.Errorf("L1: the first reservation after the lease did not get the slot")
		}
		// One of the besiegers may have got it, late, and have lapsed since.
		if held.Lapses < 1 {
			t.Errorf("got %d lapses, want 1 or more", held.Lapses)
		}
	}
}

// fewRoundTrips counts what an uncontended reservation asks the server.
func fewRoundTrips(t *testing.T, rig *Rig) {
	reserve(t, rig, asked(t, "first")) // the store looks at its server once
	for _, step := range []struct {
		name string
		most int
		run  func(r semel.Reservation)
		then func(r semel.Reservation) semel.Reservation
	}{
		{"fresh", rig.Trips.Fresh, nil, func(r semel.Reservation) semel.Reservation { return r }},
		{
			"in flight", rig.Trips.InFlight, func(r semel.Reservation) { reserve(t, rig, r) },
			func(r semel.Reservation) semel.Reservation { return again(r, false) },
		},
		{"replay", rig.Trips.Replay, func(r semel.Reservation) {
			reserve(t, rig, r)
			c := semel.Completion{Key: r.Key, Token: r.Token, Response: semel.Response{Status: 200, Body: []byte("done")}, Retention: r.Retention}
			if err := rig.Store.Complete(context.Background(), c); err != nil {
				t.Fatal(err)
			}
		}, func(r semel.Reservation) semel.Reservation { return again(r, false) }},
		{"take-over", rig.Trips.TakeOver, func(r semel.Reservation) {
			reserve(t, rig, r)
			time.Sleep(r.Lease + r.Margin + rig.Slack + 2*time.Millisecond)
		}, func(r semel.Reservation) semel.Reservation { return again(r, true) }},
	} {
		var trips []int
		for i := range 5 {
			r := asked(t, fmt.Sprint(step.name, i))
			if step.run != nil {
				step.run(r)
			}
			next := step.then(r)
			before := rig.Link.Asked()
			reserve(t, rig, next)
			trips = append(trips, rig.Link.Asked()-before)
		}
		t.Logf("%s, %s: round trips of five reservations %v", rig.Name, step.name, trips)
		// A pool or a keep-alive may talk beside a step, so the least one counts.
		least := trips[0]
		for _, n := range trips {
			least = min(least, n)
		}
		if least > step.most {
			t.Errorf("L2: %s takes %d round trips, want at most %d", step.name, least, step.most)
		}
	}
}

// servesAgain: when a fault is over, service is back without opening the store
// anew, and what was kept is there.
func servesAgain(t *testing.T, rig *Rig, f Fault, n uint64) {
	r := asked(t, "kept")
	before := reserve(t, rig, r)
	f.Strike(rand.New(rand.NewPCG(n, 0)))
	rig.WaitUntilServing(t)
	var held semel.Record
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if held, err = rig.Store.Reserve(context.Background(), again(r, false)); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("L4: no service a minute after the fault: %v", err)
	}
	if held.Token != r.Token || held.Fence != before.Fence {
		t.Errorf("I10: the reservation is gone: %v slot under fence %d, want %d", held.State, held.Fence, before.Fence)
	}
	if _, err := rig.Store.Reserve(context.Background(), asked(t, "new")); err != nil {
		t.Errorf("L4: a second reservation: %v", err)
	}
}

// staysOver: a kill of the server does not bring back the reservations whose
// responses are over: they would never leave again. Where a purge deletes, they
// were purged; where it leaves that to the server (Redis, NATS), they are gone or
// wait for it. With make proof they are gone everywhere.
func staysOver(t *testing.T, rig *Rig) {
	const keys = 100
	for i := range keys {
		r := asked(t, fmt.Sprint(i))
		r.Retention = 100 * time.Millisecond
		reserve(t, rig, r)
		c := semel.Completion{Key: r.Key, Token: r.Token, Response: semel.Response{Status: 200}, Retention: r.Retention}
		if err := rig.Store.Complete(context.Background(), c); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(100*time.Millisecond + rig.Grace)
	reserve(t, rig, asked(t, "a later one"))
	purged := 0
	for n := 1; n > 0; purged += n {
		var err error
		if n, err = rig.Store.Purge(context.Background(), 20); err != nil {
			t.Fatal(err)
		}
	}
	if long() {
		time.Sleep(rig.Forgets)
	}
	rig.Server.Kill()
	rig.Server.Start()
	rig.WaitUntilServing(t)
	back := 0
	for held, err := range rig.Store.List(context.Background(), semel.Filter{Scope: t.Name(), States: []semel.State{semel.StateReserved}}) {
		if err != nil {
			t.Fatal(err)
		}
		if held.Key.ID != "a later one" {
			back++
		}
	}
	if back > 0 {
		t.Errorf("of %d keys, %d were purged, and after a kill %d are reserved again (I9)", keys, purged, back)
	}
}
