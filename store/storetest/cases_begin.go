package storetest

import (
	"fmt"

	"github.com/semel-go/semel"
)

// beginCases check how a promise ends.
var beginCases = []testCase{
	{
		"begin/ends-the-promise",
		"I7: once effects have begun a lapsed reservation is not blameless: it stays, and taking it over is a lapse.",
		func(k *kit) {
			need[semel.EffectBeginner](k)
			r := ask("a")
			r.Lease = k.short
			r, held := k.promiseOf(r)
			k.begin(r)
			held.Deferred = false
			k.listed("begun", held)
			k.wait(k.short)
			if got := k.refuse("a taker of the blameless", blamelessTaker(r), held); !got.Lapsed {
				k.Errorf("got a running reservation, want a lapsed one")
			}
			k.counts(k.grant(taker(r)), 2, 1)
		},
	},
	{
		"begin/repeat",
		"I11: beginning again is harmless, and so is beginning without a promise; a repeated Reserve does not make it undone.",
		func(k *kit) {
			need[semel.EffectBeginner](k)
			r, held := k.promise("a")
			held.Deferred = false
			for range 2 {
				k.begin(r)
				k.refuse("the attempt itself", r, held)
				k.refuse("another attempt", another(r), held)
			}
			plain := ask("b")
			held = k.grant(plain)
			k.begin(plain)
			k.refuse("without a promise", another(plain), held)
			k.complete(plain, answer("b"))
		},
	},
	{
		"begin/late",
		"I4, I7: the attempt that lapsed may still begin as long as nobody took it over; that does not prolong its lease.",
		func(k *kit) {
			need[semel.EffectBeginner](k)
			r, held := k.lapsedPromise("a")
			k.begin(r)
			held.Deferred = false
			if got := k.refuse("a taker of the blameless", blamelessTaker(r), held); !got.Lapsed {
				k.Errorf("got a running reservation, want a lapsed one")
			}
			k.complete(r, answer("a"))
		},
	},
	{
		"begin/lost",
		"I4: only the token that holds a slot begins; on any other slot it gets ErrLost and changes nothing.",
		func(k *kit) {
			need[semel.EffectBeginner](k)
			absent := ask("absent")
			k.notBegun("absent slot", absent)
			k.vacant("after a strange step", absent.Key)

			r, held := k.promise("a")
			k.notBegun("running attempt of another", another(r))
			k.refuse("the attempt", another(r), held)
			k.complete(r, answer("a"))
			k.notBegun("slot that it completed", r)
			k.notBegun("slot that another completed", another(r))
			k.refuse("replay", another(r), completed(held, answer("a")))

			r, _ = k.promise("b")
			k.release(r)
			k.notBegun("slot that it released", r)
			k.notBegun("free slot", another(r))
			k.counts(k.grant(another(r)), 2, 0)
		},
	},
	{
		"begin/race",
		"I4, I7: when an attempt that lapsed begins while another takes it over, one of them wins and the other is told.",
		func(k *kit) {
			need[semel.EffectBeginner](k)
			var lapsed []semel.Reservation
			for i := range 20 {
				r := ask(fmt.Sprint("slot ", i))
				r.Lease = k.short
				r, _ = k.promiseOf(r)
				lapsed = append(lapsed, r)
			}
			k.wait(k.short)
			for _, r := range lapsed {
				k.raceBegin(r)
			}
		},
	},
}

// begin ends the promise of r's attempt, which must succeed.
func (k *kit) begin(r semel.Reservation) {
	k.Helper()
	k.must("begin effects", need[semel.EffectBeginner](k).BeginEffects(k.Context(), r.Key, r.Token))
}

// notBegun tries to begin with a token that does not hold the slot, if the store
// can begin.
func (k *kit) notBegun(what string, r semel.Reservation) {
	k.Helper()
	if beginner, ok := semel.As[semel.EffectBeginner](k.store); ok {
		k.lost("begin effects of "+what, beginner.BeginEffects(k.Context(), r.Key, r.Token))
	}
}

func (k *kit) raceBegin(r semel.Reservation) {
	k.Helper()
	next := blamelessTaker(r)
	next.Lease = long
	var late, failed error
	var held semel.Record
	together(2, func(i int) {
		if i == 0 {
			late = need[semel.EffectBeginner](k).BeginEffects(k.Context(), r.Key, r.Token)
			return
		}
		held, failed = k.store.Reserve(k.Context(), next)
	})
	k.must("take over", failed)
	switch taken := held.Token == next.Token; {
	case late == nil && taken:
		k.Errorf("got the attempt that lapsed to begin and the take-over to succeed, want one")
	case late == nil:
		if held.Token != r.Token || held.Deferred {
			k.Errorf("got a slot held by %v, a promise %v, want it held by %v with none", held.Token, held.Deferred, r.Token)
		}
		k.complete(r, answer("late"))
	case taken:
		k.lost("a late beginning", late)
		k.counts(held, 2, 0)
		k.complete(next, answer("next"))
	default:
		k.Errorf("got error %v and a slot held by %v, want one of the two to succeed", late, held.Token)
	}
}
