package storetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/semel-go/semel"
)

var renewCases = []testCase{
	{
		"renew/extends",
		"I1: a renewed lease counts from the renewal, and protects the attempt until it ends.",
		func(k *kit) {
			need[semel.Renewer](k)
			r := ask("a")
			r.Lease = k.short
			held := k.grant(r)
			k.renewed(long, r)
			k.wait(k.short)
			if got := k.refuse("a taker", taker(r), held); got.Lapsed {
				k.Errorf("got a lapsed reservation, want a running one")
			}
			k.renewed(k.short, r) // it sets the lease, it does not add to it
			k.wait(k.short)
			k.counts(k.grant(taker(r)), 2, 1)
		},
	},
	{
		"renew/revives",
		"I1: a lapsed attempt that nobody took over may renew its lease, and runs again.",
		func(k *kit) {
			need[semel.Renewer](k)
			r, held := k.lapse("a")
			k.renewed(long, r)
			if got := k.refuse("a taker", taker(r), held); got.Lapsed {
				k.Errorf("got a lapsed reservation, want a running one")
			}
			k.complete(r, answer("a"))
		},
	},
	{
		"renew/zero",
		"L1: a renewal of zero ends the lease at once, whatever the margin, and keeps the slot held.",
		func(k *kit) {
			need[semel.Renewer](k)
			r := ask("a")
			held := k.grant(r)
			k.renewed(0, r)
			asker := another(r)
			asker.Margin = long
			if got := k.refuse("another attempt", asker, held); !got.Lapsed {
				k.Errorf("got a running reservation, want a lapsed one")
			}
			next := taker(r)
			next.Margin = long
			k.counts(k.grant(next), 2, 1)
		},
	},
	{
		"renew/zero-complete",
		"I2, I9: an abandoned attempt may still complete, and its response is kept for a whole retention from then on.",
		func(k *kit) {
			need[semel.Renewer](k)
			r := ask("a")
			r.Retention = k.short
			held := completed(k.grant(r), answer("late"))
			k.renewed(0, r)
			c := completion(r, answer("late"))
			c.Retention = long
			k.must("complete", k.store.Complete(k.Context(), c))
			k.wait(k.short)
			k.refuse("replay", another(r), held)
		},
	},
	{
		"renew/mixed",
		"I4: a batch renews those that hold their slot and reports exactly those that do not.",
		renewMixed,
	},
	{
		"renew/empty",
		"I4: a batch of none renews none and loses none.",
		func(k *kit) {
			held := k.grant(ask("a"))
			lost, err := need[semel.Renewer](k).Renew(k.Context(), long, nil)
			k.must("renew", err)
			if len(lost) > 0 {
				k.Errorf("got lost tokens %v, want none", lost)
			}
			k.refuse("the attempt", another(ask("a")), held)
		},
	},
	{
		"renew/thousand",
		"I4: a batch may have a thousand holders.",
		renewThousand,
	},
}

// renewed renews the leases of rs, none of which may be lost.
func (k *kit) renewed(lease time.Duration, rs ...semel.Reservation) {
	k.Helper()
	k.renew(lease, nil, rs...)
}

// renew renews the leases of rs, of which exactly the wanted tokens must be lost.
func (k *kit) renew(lease time.Duration, want []semel.Token, rs ...semel.Reservation) {
	k.Helper()
	holders := make([]semel.Holder, len(rs))
	for i, r := range rs {
		holders[i] = semel.Holder{Key: r.Key, Token: r.Token}
	}
	lost, err := need[semel.Renewer](k).Renew(k.Context(), lease, holders)
	k.must("renew", err)
	byText := func(a, b semel.Token) int { return strings.Compare(a.String(), b.String()) }
	slices.SortFunc(lost, byText)
	slices.SortFunc(want, byText)
	if !slices.Equal(lost, want) {
		k.Errorf("renew: got %d lost tokens %v, want %d: %v", len(lost), head(lost), len(want), head(want))
	}
}

// head is as much of a list as a message should show.
func head(tokens []semel.Token) []semel.Token { return tokens[:min(len(tokens), 8)] }

func renewMixed(k *kit) {
	need[semel.Renewer](k)
	lapsing := func(id string) semel.Reservation {
		r := ask(id)
		r.Lease = k.short
		k.grant(r)
		return r
	}
	first, second, last := lapsing("first"), lapsing("second"), lapsing("last")
	done, freed, gone := lapsing("done"), lapsing("freed"), lapsing("gone")
	absent, thief := ask("absent"), another(second)
	k.complete(done, answer("done"))
	k.release(freed)
	k.wait(k.short)
	next := taker(gone)
	next.Lease = long
	k.grant(next)

	k.renew(long, []semel.Token{done.Token, freed.Token, gone.Token, absent.Token, thief.Token},
		first, done, freed, thief, second, absent, gone, last)
	k.vacant("after renew", absent.Key)
	for _, r := range []semel.Reservation{first, second, last} {
		if got := k.reserve(another(r)); got.Token != r.Token || got.Lapsed {
			k.Errorf("renewed: got it held by %v, lapsed %v, want %v running", got.Token, got.Lapsed, r.Token)
		}
	}
	if got := k.reserve(another(next)); got.Token != next.Token || got.Lapsed {
		k.Errorf("taken over: got it held by %v, lapsed %v, want %v running", got.Token, got.Lapsed, next.Token)
	}
	k.counts(k.grant(another(freed)), 2, 0)
}

func renewThousand(k *kit) {
	need[semel.Renewer](k)
	const n = 1000
	rs := make([]semel.Reservation, n)
	for i := range rs {
		rs[i] = ask(fmt.Sprint("slot ", i))
		rs[i].Lease = k.short
	}
	var wg sync.WaitGroup
	for part := range slices.Chunk(rs, n/10) {
		wg.Go(func() {
			for _, r := range part {
				if held, err := k.store.Reserve(k.Context(), r); err != nil || held.Token != r.Token {
					k.Errorf("reserve: got it held by %v, error %v, want %v", held.Token, err, r.Token)
				}
			}
		})
	}
	wg.Wait()
	var strange []semel.Token
	batch := slices.Clone(rs)
	for i := 0; i < n; i += 10 {
		batch[i] = another(rs[i])
		strange = append(strange, batch[i].Token)
	}
	k.wait(k.short)
	k.renew(long, strange, batch...)
	for i := range 20 { // one lost, one renewed, and so on
		r := rs[i*10+i%2]
		if got, want := k.reserve(another(r)).Lapsed, i%2 == 0; got != want {
			k.Errorf("slot %d: got lapsed %v, want %v", i*10+i%2, got, want)
		}
	}
}
