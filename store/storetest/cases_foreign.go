package storetest

import (
	"slices"
	"time"

	"github.com/semel-go/semel"
)

// foreignCases come with tokens that never held the slot.
var foreignCases = []testCase{
	{
		"foreign/absent",
		"I4: no step but Reserve makes a record; on an absent slot they answer ErrLost.",
		func(k *kit) {
			r := ask("a")
			k.strike("absent slot", r)
			k.vacant("after strange steps", r.Key)
			k.counts(k.grant(another(r)), 1, 0)
		},
	},
	{
		"foreign/free",
		"I4: a token that does not hold a free slot leaves it free, its tombstone untouched.",
		func(k *kit) {
			r := ask("a")
			k.grant(r)
			k.release(r)
			k.strike("free slot", another(r))
			k.counts(k.grant(another(r)), 2, 0)
		},
	},
	{
		"foreign/running",
		"I4: a token that does not hold a running attempt's slot changes nothing of it.",
		func(k *kit) {
			r := ask("a")
			held := k.grant(r)
			k.strike("running attempt", another(r))
			if got := k.refuse("the attempt", another(r), held); got.Lapsed {
				k.Errorf("got a lapsed reservation, want a running one")
			}
			k.complete(r, answer("a"))
		},
	},
	{
		"foreign/completed",
		"I2, I4: a token that did not complete a slot changes nothing of it.",
		func(k *kit) {
			r := ask("a")
			held := completed(k.grant(r), answer("a"))
			k.complete(r, answer("a"))
			k.strike("completed slot", another(r))
			k.refuse("replay", another(r), held)
		},
	},
	{
		"foreign/other-slot",
		"I4: a token that holds one slot has no power over another one, in its scope or elsewhere.",
		func(k *kit) {
			mine, theirs := ask("mine"), ask("theirs")
			elsewhere := ask("mine")
			elsewhere.Key.Scope = "tenant-2"
			k.grant(mine)
			for _, victim := range []semel.Reservation{theirs, elsewhere} {
				held := k.grant(victim)
				attack := victim
				attack.Token = mine.Token
				k.strike("slot of another", attack)
				k.refuse("the other slot", another(victim), held)
			}
			k.complete(mine, answer("mine"))
		},
	},
}

// strike tries every step that ends, prolongs or begins an attempt; r's token
// must not succeed with any.
func (k *kit) strike(what string, r semel.Reservation) {
	k.Helper()
	k.lost("complete "+what, k.store.Complete(k.Context(), completion(r, answer("thief"))))
	k.lost("release "+what, k.store.Release(k.Context(), r.Key, r.Token))
	k.notRenewed(what, r)
	k.notBegun(what, r)
}

// notRenewed tries to renew and to abandon an attempt, if the store can: it
// must be reported as lost.
func (k *kit) notRenewed(what string, r semel.Reservation) {
	k.Helper()
	renewer, ok := semel.As[semel.Renewer](k.store)
	if !ok {
		return
	}
	for _, lease := range []time.Duration{long, 0} {
		lost, err := renewer.Renew(k.Context(), lease, []semel.Holder{{Key: r.Key, Token: r.Token}})
		k.must("renew", err)
		if !slices.Equal(lost, []semel.Token{r.Token}) {
			k.Errorf("renew %s for %v: got lost tokens %v, want %v", what, lease, lost, r.Token)
		}
	}
}
