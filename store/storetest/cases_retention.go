package storetest

import "time"

var retentionCases = []testCase{
	{
		"retention/not-shortened",
		"I2: the retention fixed at the reservation stands: a completion in time cannot shorten it.",
		func(k *kit) {
			r := ask("a")
			held := completed(k.grant(r), answer("a"))
			c := completion(r, answer("a"))
			c.Retention = k.short
			k.must("complete", k.store.Complete(k.Context(), c))
			k.wait(k.short)
			k.refuse("replay", another(r), held)
		},
	},
	{
		"retention/not-extended",
		"I2: the retention fixed at the reservation stands: a completion in time, or its repetition, cannot extend it.",
		func(k *kit) {
			r := ask("a")
			r.Retention = k.short
			k.grant(r)
			c := completion(r, answer("a"))
			c.Retention = long
			k.must("complete", k.store.Complete(k.Context(), c))
			k.must("complete again", k.store.Complete(k.Context(), c))
			k.wait(k.short)
			k.counts(k.grant(stranger(r)), 1, 0)
		},
	},
	{
		"retention/restarted",
		"I2: a completion that comes after its lease had ended is kept for a whole retention from then on.",
		func(k *kit) {
			r := ask("a")
			r.Lease, r.Retention = k.short, 2*k.short
			held := completed(k.grant(r), answer("late"))
			k.wait(k.short)
			c := completion(r, answer("late"))
			c.Retention = long
			k.must("complete", k.store.Complete(k.Context(), c))
			k.wait(k.short)
			k.refuse("replay", another(r), held)
		},
	},
	{
		"retention/restarted-after-all",
		"I2, I9: a completion that comes after lease and retention had ended is kept for a whole retention from then on.",
		func(k *kit) {
			r := ask("a")
			r.Lease, r.Retention = k.short, k.short
			held := completed(k.grant(r), answer("late"))
			k.wait(k.short)
			c := completion(r, answer("late"))
			c.Retention = long
			k.must("complete", k.store.Complete(k.Context(), c))
			k.refuse("replay", another(r), held)
			k.refuse("another request", stranger(r), held)
		},
	},
	{
		"retention/take-over",
		"I2: a take-over is a new reservation: its retention begins then.",
		func(k *kit) {
			r := ask("a")
			r.Lease, r.Retention = k.short, k.short
			k.grant(r)
			k.wait(k.short)
			next := taker(r)
			next.Lease, next.Retention = long, long
			held := completed(k.grant(next), answer("next"))
			k.complete(next, answer("next"))
			k.refuse("replay", another(r), held)
		},
	},
	{
		"retention/unlimited",
		"I2: terms of many years are kept, not wrapped around.",
		func(k *kit) {
			r := ask("a")
			r.Lease, r.Retention, r.Margin = years(50), years(50), years(50)
			held := k.grant(r)
			asker := taker(r)
			if got := k.refuse("while it runs", asker, held); got.Lapsed {
				k.Errorf("got a lapsed reservation, want a running one")
			}
			k.complete(r, answer("a"))
			k.refuse("replay", another(r), completed(held, answer("a")))
		},
	},
}

func years(n int) time.Duration { return time.Duration(n) * 365 * 24 * time.Hour }
