package storetest

import "github.com/semel-go/semel"

var lapseCases = []testCase{
	{
		"lapse/hold",
		"I7, L1: a lapsed reservation is told as lapsed to all and stays with its attempt until somebody takes it over.",
		func(k *kit) {
			r, held := k.lapse("a")
			for range 2 {
				if got := k.refuse("another attempt", another(r), held); !got.Lapsed {
					k.Errorf("got a running reservation, want a lapsed one")
				}
			}
			k.refuse("another request", stranger(r), held)
		},
	},
	{
		"lapse/take-over",
		"I1, I6, L1: a lapsed reservation goes to one attempt that takes it over: token changed, larger fence, lease anew, one lapse.",
		func(k *kit) {
			r, _ := k.lapse("a")
			next := taker(r)
			next.Lease = long
			held := k.grant(next)
			k.counts(held, 2, 1)
			if held.Lapsed {
				k.Errorf("got a lapsed reservation, want one that runs anew")
			}
			if got := k.refuse("another taker", taker(r), held); got.Lapsed {
				k.Errorf("another taker: got a lapsed reservation, want a running one")
			}
			k.complete(next, answer("next"))
			k.refuse("replay", another(r), completed(held, answer("next")))
		},
	},
	{
		"lapse/take-over-conflict",
		"I5: only the same request takes a lapsed reservation over; another one is told of the fingerprint in its way.",
		func(k *kit) {
			r, held := k.lapse("a")
			other := stranger(r)
			other.TakeOver = true
			k.refuse("another request", other, held)
			k.counts(k.grant(taker(r)), 2, 1)
		},
	},
	{
		"lapse/margin",
		"I1: a reservation is lapsed for those whose margin is over as well, and for nobody else.",
		func(k *kit) {
			r, held := k.lapse("a")
			patient, hasty := taker(r), taker(r)
			patient.Margin = long
			if got := k.refuse("margin not over", patient, held); got.Lapsed {
				k.Errorf("margin not over: got a lapsed reservation, want a running one")
			}
			hasty.Margin = k.short
			k.wait(k.short)
			k.counts(k.grant(hasty), 2, 1)
		},
	},
	{
		"lapse/repeat",
		"I11: a repeated Reserve by the attempt that took over keeps its fence, attempts and lapses.",
		func(k *kit) {
			r, _ := k.lapse("a")
			next := taker(r)
			held := k.grant(next)
			k.counts(held, 2, 1)
			k.refuse("repeated", next, held)
			next.TakeOver = false
			k.refuse("repeated without TakeOver", next, held)
		},
	},
	{
		"lapse/repeat-when-lapsed",
		"I11: an attempt whose own lease ended recognises itself when it repeats Reserve; it does not take itself over.",
		func(k *kit) {
			r, held := k.lapse("a")
			r.TakeOver = true
			if got := k.refuse("repeated", r, held); !got.Lapsed {
				k.Errorf("got a running reservation, want a lapsed one: a repeat changes nothing")
			}
		},
	},
	{
		"lapse/count",
		"I6: every take-over adds a lapse; a release and an expiry set them to zero.",
		func(k *kit) {
			r, _ := k.lapse("a")
			for lapses := 1; lapses <= 3; lapses++ {
				r = taker(r)
				k.counts(k.grant(r), lapses+1, lapses)
				k.wait(k.short)
			}
			k.release(r)
			r = another(r)
			r.Retention = k.short
			k.counts(k.grant(r), 5, 0)
			k.wait(k.short)
			r = taker(r)
			k.counts(k.grant(r), 6, 1)
			k.complete(r, answer("a"))
			k.wait(2 * k.short) // the completion may have come after the lease
			k.counts(k.grant(another(r)), 1, 0)
		},
	},
	{
		"lapse/late-complete",
		"I2, I9: the attempt that lapsed may still complete its slot as long as nobody took it over.",
		func(k *kit) {
			r, held := k.lapse("a")
			k.complete(r, answer("late"))
			held = completed(held, answer("late"))
			if got := k.refuse("replay", another(r), held); got.Lapsed {
				k.Errorf("got a lapsed record, want a completed one")
			}
			k.refuse("a taker", taker(r), held)
		},
	},
	{
		"lapse/late-release",
		"I4: the attempt that lapsed may still release its slot as long as nobody took it over.",
		func(k *kit) {
			r, _ := k.lapse("a")
			k.release(r)
			k.counts(k.grant(stranger(r)), 2, 0)
		},
	},
	{
		"lapse/stale",
		"I4: after a take-over the attempt that lapsed gets ErrLost from every step and changes nothing.",
		func(k *kit) {
			r, _ := k.lapse("a")
			next := taker(r)
			next.Lease = long
			held := k.grant(next)
			k.strike("slot that was taken over", r)
			if got := k.refuse("a stale Reserve", r, held); got.Lapsed {
				k.Errorf("got a lapsed reservation, want the new one running")
			}
			k.complete(next, answer("next"))
			k.strike("slot that its successor completed", r)
			k.refuse("replay", another(r), completed(held, answer("next")))
		},
	},
}

// lapse makes a lapsed reservation.
func (k *kit) lapse(id string) (semel.Reservation, semel.Record) {
	k.Helper()
	r := ask(id)
	r.Lease = k.short
	held := k.grant(r)
	k.wait(k.short)
	return r, held
}
