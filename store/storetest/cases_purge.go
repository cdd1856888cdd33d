package storetest

import (
	"fmt"

	"github.com/semel-go/semel"
)

var purgeCases = []testCase{
	{
		"purge/removes",
		"I9: Purge deletes the free and the completed records whose retention is over, and says how many.",
		func(k *kit) {
			need[semel.Purger](k)
			done, freed := ask("done"), ask("freed")
			for _, r := range []*semel.Reservation{&done, &freed} {
				r.Retention = k.short
				k.grant(*r)
			}
			k.complete(done, answer("done"))
			k.release(freed)
			k.wait(k.short)
			k.purge(100, 2)
			k.vacant("completed", done.Key)
			k.vacant("free", freed.Key)
			k.counts(k.grant(stranger(done)), 1, 0) // and their fences go on (I6)
			k.counts(k.grant(stranger(freed)), 1, 0)
		},
	},
	{
		"purge/limit",
		"I9: a call of Purge deletes no more than its limit, and returns zero only when nothing is left to do.",
		func(k *kit) {
			need[semel.Purger](k)
			for i := range 7 {
				r := ask(fmt.Sprint("slot ", i))
				r.Retention = k.short
				k.grant(r)
				k.complete(r, answer("a"))
			}
			k.wait(k.short)
			k.purge(3, 7)
		},
	},
	{
		"purge/spares-reservations",
		"I9: Purge never deletes a reservation, running or lapsed, even when its retention is over.",
		func(k *kit) {
			need[semel.Purger](k)
			running, lapsed := ask("running"), ask("lapsed")
			running.Retention, lapsed.Retention, lapsed.Lease = k.short, k.short, k.short
			heldRunning, heldLapsed := k.grant(running), k.grant(lapsed)
			k.wait(k.short)
			k.purge(100, 0)
			k.refuse("running", another(running), heldRunning)
			k.refuse("lapsed", another(lapsed), heldLapsed)
			k.complete(running, answer("running"))
			k.complete(lapsed, answer("lapsed"))
		},
	},
	{
		"purge/spares-kept",
		"I2: Purge never deletes a completed or free record before its retention is over.",
		func(k *kit) {
			need[semel.Purger](k)
			done, freed := ask("done"), ask("freed")
			held := completed(k.grant(done), answer("done"))
			k.grant(freed)
			k.complete(done, answer("done"))
			k.release(freed)
			k.wait(k.short)
			k.purge(100, 0)
			k.refuse("replay", another(done), held)
			k.counts(k.grant(another(freed)), 2, 0)
		},
	},
	{
		"purge/current-retention",
		"I2: Purge goes by the retention a slot has now, not by one it had in an earlier attempt.",
		func(k *kit) {
			need[semel.Purger](k)
			longer, shorter, late := ask("longer"), ask("shorter"), ask("late")
			longer.Retention, late.Retention, late.Lease = k.short, k.short, k.short
			for _, r := range []semel.Reservation{longer, shorter} {
				k.grant(r)
				k.release(r)
			}
			k.grant(late)
			longer, shorter = another(longer), another(shorter)
			longer.Retention, shorter.Retention = long, k.short
			heldLonger := completed(k.grant(longer), answer("longer"))
			k.complete(longer, answer("longer"))
			k.grant(shorter)
			k.complete(shorter, answer("shorter"))
			k.wait(k.short)
			late.Retention = long
			k.complete(late, answer("late"))
			k.purge(100, 1)
			k.refuse("longer", another(longer), heldLonger)
			k.vacant("shorter", shorter.Key)
		},
	},
}

// purge calls Purge until nothing is left to do, and wants so many to be
// deleted, or no more than so many when they go by themselves.
func (k *kit) purge(limit, want int) {
	k.Helper()
	sum := 0
	for range want + 2 {
		n, err := need[semel.Purger](k).Purge(k.Context(), limit)
		k.must("purge", err)
		if n < 0 || n > limit {
			k.Errorf("purge: got %d deleted in one call, want up to %d", n, limit)
		}
		if sum += n; n == 0 {
			break
		}
	}
	if sum > want || sum < want && !k.expires {
		k.Errorf("purge: got %d deleted, want %d", sum, want)
	}
}
