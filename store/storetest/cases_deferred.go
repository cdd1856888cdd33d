package storetest

import (
	"fmt"

	"github.com/semel-go/semel"
)

// deferredCases check the promise that an attempt has had no effect yet
// (docs/adr/0020).
var deferredCases = []testCase{
	{
		"deferred/kept",
		"I7: a promise is told to all as the reservation made it, and a repeated Reserve neither gives nor takes one.",
		func(k *kit) {
			r, held := k.promise("a")
			k.refuse("another attempt", another(r), held)
			k.listed("a promise", held)
			r.Deferred = false
			k.refuse("repeated without the promise", r, held)

			plain := ask("b")
			held = k.grant(plain)
			plain.Deferred = true
			k.refuse("repeated with a promise", plain, held)
			k.refuse("another attempt", another(plain), held)
		},
	},
	{
		"deferred/take-over",
		"I1, I6, L1: a lapsed blameless reservation goes to one attempt that takes over no other: token changed, larger fence, no lapse.",
		func(k *kit) {
			r, _ := k.lapsedPromise("a")
			for attempts := 2; attempts <= 3; attempts++ {
				r = blamelessTaker(r)
				if held := k.grant(r); held.Lapsed {
					k.Errorf("got a lapsed reservation, want one that runs anew")
				} else {
					k.counts(held, attempts, 0)
				}
				k.wait(k.short)
			}
			next := blamelessTaker(r)
			next.Deferred, next.Lease = false, long // a promise is not inherited
			held := k.grant(next)
			k.counts(held, 4, 0)
			k.refuse("a taker of a running one", blamelessTaker(next), held)
			k.complete(next, answer("next"))
			k.refuse("replay", another(r), completed(held, answer("next")))
		},
	},
	{
		"deferred/take-over-any",
		"I7: who takes over everything takes a blameless reservation over too, and that is no lapse either.",
		func(k *kit) {
			r, _ := k.lapsedPromise("a")
			k.counts(k.grant(taker(r)), 2, 0)
		},
	},
	{
		"deferred/hold",
		"I1, I7: a blameless reservation stays while its lease runs, and when it lapsed it stays unless it is to be taken over.",
		func(k *kit) {
			running, held := k.promise("running")
			k.refuse("a taker", blamelessTaker(running), held)
			k.refuse("a taker of everything", taker(running), held)

			lapsed, held := k.lapsedPromise("lapsed")
			if got := k.refuse("another attempt", another(lapsed), held); !got.Lapsed {
				k.Errorf("got a running reservation, want a lapsed one")
			}
			k.counts(k.grant(blamelessTaker(lapsed)), 2, 0)
		},
	},
	{
		"deferred/conflict",
		"I5: only the same request takes a blameless reservation over.",
		func(k *kit) {
			r, held := k.lapsedPromise("a")
			other := stranger(r)
			other.TakeOverBlameless = true
			k.refuse("another request", other, held)
			k.counts(k.grant(blamelessTaker(r)), 2, 0)
		},
	},
	{
		"deferred/margin",
		"I1: a blameless reservation is taken over only by those whose margin is over as well.",
		func(k *kit) {
			r, held := k.lapsedPromise("a")
			patient, hasty := blamelessTaker(r), blamelessTaker(r)
			patient.Margin, hasty.Margin = long, k.short
			if got := k.refuse("margin not over", patient, held); got.Lapsed {
				k.Errorf("margin not over: got a lapsed reservation, want a running one")
			}
			k.wait(k.short)
			k.counts(k.grant(hasty), 2, 0)
		},
	},
	{
		"deferred/blame",
		"I7: a lapsed reservation without a promise, and one after an unknown attempt, are not blameless: only TakeOver takes them.",
		func(k *kit) {
			k.promise("skips the case when the store keeps none")
			r, held := k.lapse("a")
			k.refuse("no promise", blamelessTaker(r), held)

			r = taker(r)
			r.Deferred = true
			held = k.grant(r)
			k.counts(held, 2, 1)
			k.wait(k.short)
			if got := k.refuse("a promise after a lapse", blamelessTaker(r), held); !got.Lapsed {
				k.Errorf("got a running reservation, want a lapsed one")
			}
			k.counts(k.grant(taker(r)), 3, 2)
		},
	},
	{
		"deferred/stale",
		"I4: after a take-over the attempt that lapsed gets ErrLost from every step and changes nothing.",
		func(k *kit) {
			r, _ := k.lapsedPromise("a")
			next := blamelessTaker(r)
			next.Lease = long
			held := k.grant(next)
			k.strike("slot that was taken over", r)
			k.refuse("a stale Reserve", r, held)
			k.complete(next, answer("next"))
			k.strike("slot that its successor completed", r)
			k.refuse("replay", another(r), completed(held, answer("next")))
		},
	},
	{
		"deferred/settled",
		"I7: a promise ends with its reservation: a settled slot has none, and the next attempt makes its own or none.",
		func(k *kit) {
			done, held := k.promise("done")
			k.complete(done, answer("done"))
			k.refuse("replay", another(done), completed(held, answer("done")))

			freed, _ := k.promise("freed")
			k.release(freed)
			freed = another(freed)
			freed.Deferred = false
			k.counts(k.grant(freed), 2, 0)

			if _, ok := semel.As[semel.Resolver](k.store); ok {
				_, held = k.lapsedPromise("resolved")
				k.resolve(resolution(held, nil))
				_, held = k.lapsedPromise("answered")
				k.resolve(resolution(held, &semel.Response{Status: 200}))
			}
			for _, rec := range k.list(semel.Filter{}) {
				if rec.Deferred {
					k.Errorf("got a %s slot with a promise, want none", rec.State)
				}
			}
		},
	},
	{
		"deferred/retention",
		"I7, I9: a blameless reservation does not expire, and no purge deletes it: whoever does not take over leaves it.",
		func(k *kit) {
			r := ask("a")
			r.Lease, r.Retention = k.short, k.short
			r, held := k.promiseOf(r)
			k.wait(k.short)
			if purger, ok := semel.As[semel.Purger](k.store); ok {
				_, err := purger.Purge(k.Context(), 10)
				k.must("purge", err)
			}
			k.refuse("another attempt", another(r), held)
			k.refuse("another request", stranger(r), held)
			k.counts(k.grant(blamelessTaker(r)), 2, 0)
		},
	},
	{
		"deferred/renew",
		"I1: a renewal protects a blameless reservation like any other, leaves its promise, and one of zero ends it at once.",
		func(k *kit) {
			need[semel.Renewer](k)
			r, held := k.lapsedPromise("a")
			k.renewed(long, r)
			if got := k.refuse("a taker", blamelessTaker(r), held); got.Lapsed {
				k.Errorf("got a lapsed reservation, want a running one")
			}
			k.renewed(0, r)
			next := blamelessTaker(r)
			next.Margin = long
			k.counts(k.grant(next), 2, 0)
		},
	},
	{
		"deferred/race",
		"I1: of a hundred callers who race to take a lapsed blameless reservation over exactly one gets it.",
		func(k *kit) {
			r, _ := k.lapsedPromise("a")
			r.Lease = long
			k.race(r, blamelessTaker, 2, 0)
		},
	},
}

// blamelessTaker is the same request in an attempt that takes a lapsed one over
// only if nothing can have happened under it.
func blamelessTaker(r semel.Reservation) semel.Reservation {
	r = another(r)
	r.TakeOverBlameless = true
	return r
}

// promise grants id to an attempt that promises to have had no effect. It skips
// the case when the store does not keep the promise.
func (k *kit) promise(id string) (semel.Reservation, semel.Record) {
	k.Helper()
	return k.promiseOf(ask(id))
}

func (k *kit) promiseOf(r semel.Reservation) (semel.Reservation, semel.Record) {
	k.Helper()
	r.Deferred = true
	held := k.reserve(r)
	// Who can end a promise keeps one.
	if _, ends := semel.As[semel.EffectBeginner](k.store); !held.Deferred && !ends {
		k.Skipf("the store does not keep the promise of a deferred reservation")
	}
	return r, k.granted(r, held)
}

// lapsedPromise makes a lapsed reservation that is blameless.
func (k *kit) lapsedPromise(id string) (semel.Reservation, semel.Record) {
	k.Helper()
	r := ask(id)
	r.Lease = k.short
	r, held := k.promiseOf(r)
	k.wait(k.short)
	return r, held
}

// listed checks how a list shows a record, if the store can list.
func (k *kit) listed(what string, want semel.Record) {
	k.Helper()
	for _, got := range k.list(semel.Filter{Scope: want.Key.Scope, ID: want.Key.ID, Bodies: true}) {
		k.same(fmt.Sprint(what, ", listed"), got, want)
	}
}
