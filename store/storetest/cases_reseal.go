package storetest

import "github.com/semel-go/semel"

var resealCases = []testCase{
	{
		"reseal/replaces",
		"I3: the kept header and body are replaced, and nothing else of the record.",
		func(k *kit) {
			need[semel.Resealer](k)
			r, other := ask("a"), ask("b")
			held := k.grant(r)
			k.grant(other)
			k.complete(r, answer("old"))
			k.complete(other, answer("other"))
			before := k.list(semel.Filter{Scope: scope, ID: "a"})
			for _, next := range []semel.Response{
				{Status: 201, Header: noise(700), Body: everyByte()},
				{Status: 201},
				{Status: 201, Header: []byte("h"), Body: noise(70_000)},
			} {
				k.must("reseal", k.reseal(r, next))
				k.refuse("replay", another(r), completed(held, next))
			}
			k.must("reseal once more", k.reseal(r, answer("new")))
			k.refuse("replay", another(r), completed(held, answer("new")))
			k.sameResponse("another slot", k.reserve(another(other)).Response, answer("other"))
			after := k.list(semel.Filter{Scope: scope, ID: "a"})
			if len(before) != len(after) || len(after) == 1 &&
				(!before[0].CreatedAt.Equal(after[0].CreatedAt) || !before[0].ExpiresAt.Equal(after[0].ExpiresAt)) {
				k.Errorf("got other times, want those of the record")
			}
		},
	},
	{
		"reseal/lost",
		"I4: only the response of that token is replaced: what was released, taken since, or is not completed gives ErrLost, and nothing changes.",
		func(k *kit) {
			need[semel.Resealer](k)
			running, freed, done := ask("running"), ask("freed"), ask("done")
			heldRunning, _, heldDone := k.grant(running), k.grant(freed), k.grant(done)
			k.release(freed)
			k.complete(done, answer("done"))
			stranger := done
			stranger.Token = semel.NewToken()
			for what, r := range map[string]semel.Reservation{
				"running": running, "freed": freed, "absent": ask("absent"), "another token": stranger,
			} {
				k.lost("reseal of "+what, k.reseal(r, answer("nobody")))
			}
			k.refuse("the reservation", another(running), heldRunning)
			k.refuse("the response", another(done), completed(heldDone, answer("done")))
			k.vacant("absent", ask("absent").Key)

			over := ask("over")
			over.Lease, over.Retention = k.short, k.short
			k.grant(over)
			k.complete(over, answer("old"))
			k.wait(k.short)
			next := another(over)
			next.Lease, next.Retention = long, long
			held := k.grant(next)
			k.lost("reseal of what is over", k.reseal(over, answer("nobody")))
			k.complete(next, answer("next"))
			k.lost("reseal of what is over", k.reseal(over, answer("nobody")))
			k.refuse("the next response", another(over), completed(held, answer("next")))
		},
	},
}

// reseal replaces the response of r by that of with, whose status stays.
func (k *kit) reseal(r semel.Reservation, with semel.Response) error {
	k.Helper()
	return need[semel.Resealer](k).Reseal(k.Context(), semel.Holder{Key: r.Key, Token: r.Token}, with.Header, with.Body)
}
