package storetest

import (
	"time"

	"github.com/semel-go/semel"
)

var reserveCases = []testCase{
	{
		"reserve/first",
		"I1: the first attempt on an absent slot owns it, as attempt 1 with no lapses, until its retention is over.",
		func(k *kit) {
			r := ask("a")
			held := k.grant(r)
			k.counts(held, 1, 0)
			if held.Lapsed {
				k.Errorf("got a lapsed reservation, want a running one")
			}
			if got, want := held.ExpiresAt.Sub(held.CreatedAt), r.Retention; (got - want).Abs() > 2*time.Second {
				k.Errorf("got a record that lives for %v, want %v", got, want)
			}
		},
	},
	{
		"reserve/repeat",
		"I11: repeating Reserve with the token that holds the slot changes nothing and returns the same reservation.",
		func(k *kit) {
			r := ask("a")
			held := k.grant(r)
			k.refuse("repeated", r, held)
			k.refuse("another attempt between", another(r), held)
			r.Lease, r.Retention, r.TakeOver, r.Owner = 2*long, 2*long, true, "host/9"
			k.refuse("repeated with other terms", r, held)
		},
	},
	{
		"reserve/running",
		"I1: while an attempt runs, nobody else gets its slot, TakeOver or not; they are told who holds it.",
		func(k *kit) {
			r := ask("a")
			held := k.grant(r)
			for what, other := range map[string]semel.Reservation{"hold": another(r), "take over": taker(r)} {
				if got := k.refuse(what, other, held); got.Lapsed {
					k.Errorf("%s: got a lapsed reservation, want a running one", what)
				}
			}
			k.refuse("the holder, after all that", r, held)
		},
	},
	{
		"reserve/conflict",
		"I5: another request under a used key gets nothing but the fingerprint that is in its way, and is in nobody's way.",
		func(k *kit) {
			r := ask("a")
			held := k.grant(r)
			k.refuse("while it runs", stranger(r), held)
			other := stranger(r)
			other.TakeOver = true
			k.refuse("taking over", other, held)
			other.Key.ID = "b"
			k.grant(other)

			k.complete(r, answer("a"))
			k.refuse("when it is completed", stranger(r), completed(held, answer("a")))
		},
	},
	{
		"reserve/replay",
		"I2, I3: a completed slot answers every attempt with the record of the one that completed it.",
		func(k *kit) {
			r := ask("a")
			held := completed(k.grant(r), answer("a"))
			k.complete(r, answer("a"))
			k.refuse("first replay", another(r), held)
			k.refuse("a replay that would take over", taker(r), held)
			k.refuse("the attempt itself", r, held)
			k.refuse("second replay", another(r), held)
		},
	},
	{
		"reserve/after-release",
		"I6, I11: a released slot is anybody's at once, under a larger fence, as the next attempt.",
		func(k *kit) {
			r := ask("a")
			k.grant(r)
			for attempt := 2; attempt <= 20; attempt++ {
				k.release(r)
				r = another(r)
				if attempt%2 == 0 {
					r = stranger(r)
				}
				k.counts(k.grant(r), attempt, 0)
			}
		},
	},
	{
		"reserve/after-retention",
		"I2, I6: a completed slot whose retention is over is as good as absent, for any request, purged or not.",
		func(k *kit) {
			r := ask("a")
			k.grant(r)
			k.release(r)
			r = another(r)
			r.Retention = k.short
			k.counts(k.grant(r), 2, 0)
			k.complete(r, answer("a"))
			k.wait(k.short)

			next := stranger(r)
			k.counts(k.grant(next), 1, 0)
			k.lost("complete by the token before", k.store.Complete(k.Context(), completion(r, answer("late"))))
			k.complete(next, answer("b"))
		},
	},
	{
		"reserve/after-free-retention",
		"I6: a released slot whose retention is over counts its attempts from 1 again; its fence goes on.",
		func(k *kit) {
			r := ask("a")
			r.Retention = k.short
			k.grant(r)
			k.release(r)
			k.wait(k.short)
			k.counts(k.grant(stranger(r)), 1, 0)
		},
	},
	{
		"reserve/retention-over-while-held",
		"I7, I9: a reservation does not expire: when its retention is over too, it still holds the slot.",
		func(k *kit) {
			running, lapsed := ask("running"), ask("lapsed")
			running.Retention, lapsed.Retention, lapsed.Lease = k.short, k.short, k.short
			heldRunning, heldLapsed := k.grant(running), k.grant(lapsed)
			k.wait(k.short)
			if got := k.refuse("running", another(running), heldRunning); got.Lapsed {
				k.Errorf("running: got a lapsed reservation, want a running one")
			}
			k.refuse("running, another request", stranger(running), heldRunning)
			if got := k.refuse("lapsed", another(lapsed), heldLapsed); !got.Lapsed {
				k.Errorf("lapsed: got a running reservation, want a lapsed one")
			}
			k.refuse("lapsed, another request", stranger(lapsed), heldLapsed)
		},
	},
}
