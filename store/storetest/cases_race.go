package storetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/semel-go/semel"
)

const racers = 100

var raceCases = []testCase{
	{
		"race/absent",
		"I1: of a hundred callers who race for an absent slot exactly one gets it, and all the others see that one.",
		func(k *kit) { k.race(ask("a"), another, 1, 0) },
	},
	{
		"race/released",
		"I1: of a hundred callers who race for a released slot exactly one gets it.",
		func(k *kit) {
			r := ask("a")
			k.grant(r)
			k.release(r)
			k.race(r, stranger, 2, 0)
		},
	},
	{
		"race/expired",
		"I1: of a hundred callers who race for a slot whose retention is over exactly one gets it.",
		func(k *kit) {
			r := ask("a")
			r.Retention = k.short
			k.grant(r)
			k.complete(r, answer("a"))
			k.wait(k.short)
			r.Retention = long
			k.race(r, stranger, 1, 0)
		},
	},
	{
		"race/lapsed",
		"I1: of a hundred callers who race to take a lapsed reservation over exactly one gets it.",
		func(k *kit) {
			r, _ := k.lapse("a")
			r.Lease = long
			k.race(r, taker, 2, 1)
		},
	},
	{
		"race/same-token",
		"I11: however often and however parallel an attempt repeats Reserve, it is one attempt under one fence.",
		func(k *kit) {
			r := ask("a")
			k.race(r, func(r semel.Reservation) semel.Reservation { return r }, 1, 0)
		},
	},
	{
		"race/settle",
		"I2, I12: when an attempt's Complete and Release race, one of them wins and the slot is what the winner says.",
		func(k *kit) {
			for i := range 20 {
				k.raceSettle(ask(fmt.Sprint("slot ", i)))
			}
		},
	},
	{
		"race/late-complete",
		"I1, I4: when a late Complete and a take-over race, one of them wins, and the other is told.",
		func(k *kit) {
			var lapsed []semel.Reservation
			for i := range 20 {
				r := ask(fmt.Sprint("slot ", i))
				r.Lease = k.short
				k.grant(r)
				lapsed = append(lapsed, r)
			}
			k.wait(k.short)
			for _, r := range lapsed {
				k.raceLate(r)
			}
		},
	},
	{
		"race/hot",
		"I1, I3, I6: workers on hot slots own them one at a time, under rising fences, and replay what was completed.",
		func(k *kit) {
			for i := range 8 {
				k.hotSlot(ask(fmt.Sprint("slot ", i)))
			}
		},
	},
}

// together runs f in n goroutines that start at the same time, and waits.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

// race lets callers made by vary race for the slot of r, and checks that all
// of them see one winner. Tokens that are equal win together.
func (k *kit) race(r semel.Reservation, vary func(semel.Reservation) semel.Reservation, attempts, lapses int) {
	k.Helper()
	var asked [racers]semel.Reservation
	var seen [racers]semel.Record
	tokens := make(map[semel.Token]semel.Reservation)
	for i := range asked {
		asked[i] = vary(r)
		tokens[asked[i].Token] = asked[i]
	}
	together(racers, func(i int) {
		var err error
		if seen[i], err = k.store.Reserve(k.Context(), asked[i]); err != nil {
			k.Errorf("caller %d: got error %v, want none", i, err)
		}
	})
	winner, ok := tokens[seen[0].Token]
	if !ok || seen[0].Fence <= k.fences[r.Key] {
		k.Fatalf("got the slot held by %v under fence %d, want one of the callers above fence %d",
			seen[0].Token, seen[0].Fence, k.fences[r.Key])
	}
	k.counts(seen[0], attempts, lapses)
	for i, held := range seen {
		if held.Token != winner.Token || held.Fence != seen[0].Fence || held.Fingerprint != winner.Fingerprint {
			k.Fatalf("caller %d sees %v under fence %d, caller 0 sees %v under fence %d: want one owner",
				i, held.Token, held.Fence, seen[0].Token, seen[0].Fence)
		}
	}
	k.complete(winner, answer("winner"))
}

func (k *kit) raceSettle(r semel.Reservation) {
	k.Helper()
	held := k.grant(r)
	var errs [2]error
	together(2, func(i int) {
		if i == 0 {
			errs[i] = k.store.Complete(k.Context(), completion(r, answer("a")))
			return
		}
		errs[i] = k.store.Release(k.Context(), r.Key, r.Token)
	})
	switch {
	case errs[0] == nil && errs[1] == nil:
		k.Errorf("got both Complete and Release to succeed, want one")
	case errs[0] == nil:
		k.lost("release", errs[1])
		k.refuse("replay", another(r), completed(held, answer("a")))
	case errs[1] == nil:
		k.lost("complete", errs[0])
		k.counts(k.grant(another(r)), 2, 0)
	default:
		k.Errorf("got errors %v and %v, want one of the two to succeed", errs[0], errs[1])
	}
}

func (k *kit) raceLate(r semel.Reservation) {
	k.Helper()
	next := taker(r)
	next.Lease = long
	var late, failed error
	var held semel.Record
	together(2, func(i int) {
		if i == 0 {
			late = k.store.Complete(k.Context(), completion(r, answer("late")))
			return
		}
		held, failed = k.store.Reserve(k.Context(), next)
	})
	k.must("take over", failed)
	taken := held.State == semel.StateReserved && held.Token == next.Token
	switch {
	case late == nil && taken:
		k.Errorf("got the late completion and the take-over to succeed, want one")
	case late == nil:
		k.same("a taker that came late", held, completed(k.reserve(r), answer("late")))
	case taken:
		k.lost("late complete", late)
		k.complete(next, answer("next"))
		k.refuse("replay", another(r), completed(held, answer("next")))
	default:
		k.Errorf("got error %v and a slot held by %v, want one of the two to succeed", late, held.Token)
	}
}

// hotSlot lets 16 workers fight for one slot until one of them completes it.
func (k *kit) hotSlot(r semel.Reservation) {
	k.Helper()
	var owner atomic.Pointer[semel.Token]
	var fence atomic.Int64 // of the last owner
	var kept atomic.Pointer[semel.Response]
	together(16, func(worker int) {
		for range 10_000 { // ten seconds and more
			mine := another(r)
			held, err := k.store.Reserve(k.Context(), mine)
			switch {
			case err != nil:
				k.Errorf("worker %d: reserve: got error %v, want none", worker, err)
				return
			case held.State == semel.StateCompleted:
				k.sameResponse("replay", held.Response, *kept.Load())
				return
			case held.Token != mine.Token:
				time.Sleep(time.Millisecond)
				continue
			}
			if !owner.CompareAndSwap(nil, &mine.Token) {
				k.Errorf("worker %d got the slot while another one owned it", worker)
				return
			}
			if last := fence.Swap(held.Fence); held.Fence <= last {
				k.Errorf("worker %d: got fence %d, want more than the last one, %d", worker, held.Fence, last)
			}
			time.Sleep(time.Millisecond) // the others press
			owner.Store(nil)
			if held.Attempts < 5 {
				err = k.store.Release(k.Context(), mine.Key, mine.Token)
			} else {
				own := answer(mine.Token.String())
				kept.Store(&own)
				err = k.store.Complete(k.Context(), completion(mine, own))
			}
			if err != nil {
				k.Errorf("worker %d: settle: got error %v, want none", worker, err)
				return
			}
		}
		k.Errorf("worker %d: the slot was never completed", worker)
	})
}
