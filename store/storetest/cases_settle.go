package storetest

import (
	"context"
	"errors"

	"github.com/semel-go/semel"
)

var settleCases = []testCase{
	{
		"complete/own",
		"I3: a completion keeps the response and leaves token, fence, fingerprint and counts as they were.",
		func(k *kit) {
			r := ask("a")
			held := k.grant(r)
			k.complete(r, answer("a"))
			k.refuse("replay", another(r), completed(held, answer("a")))
		},
	},
	{
		"complete/repeat",
		"I2, I11: repeating Complete with the same token succeeds and keeps the first response, whatever it brings.",
		func(k *kit) {
			r := ask("a")
			held := completed(k.grant(r), answer("first"))
			k.complete(r, answer("first"))
			k.complete(r, answer("first"))
			k.refuse("after the same again", another(r), held)
			k.complete(r, answer("second"))
			k.complete(r, semel.Response{})
			k.refuse("after others", another(r), held)
		},
	},
	{
		"complete/by-another",
		"I2, I4: only the token that holds a slot completes it; any other gets ErrLost and changes nothing.",
		func(k *kit) {
			r := ask("a")
			held := k.grant(r)
			k.lost("while it runs", k.store.Complete(k.Context(), completion(another(r), answer("thief"))))
			k.refuse("while it runs", another(r), held)
			k.complete(r, answer("a"))
			k.lost("when it is completed", k.store.Complete(k.Context(), completion(another(r), answer("thief"))))
			k.refuse("when it is completed", another(r), completed(held, answer("a")))
		},
	},
	{
		"complete/after-release",
		"I4: a token that released its slot cannot complete it, whether the slot is free or somebody else's.",
		func(k *kit) {
			r := ask("a")
			k.grant(r)
			k.release(r)
			k.lost("when it is free", k.store.Complete(k.Context(), completion(r, answer("late"))))
			next := another(r)
			held := k.grant(next)
			k.lost("when it is taken", k.store.Complete(k.Context(), completion(r, answer("late"))))
			k.refuse("the next attempt", another(r), held)
			k.complete(next, answer("next"))
		},
	},
	{
		"release/repeat",
		"I4, I11: a repeated Release returns nil or ErrLost, and never frees the attempt that came after.",
		func(k *kit) {
			r := ask("a")
			k.grant(r)
			k.release(r)
			k.releaseAgain(r)
			next := another(r)
			held := k.grant(next)
			k.releaseAgain(r)
			k.refuse("the next attempt", another(r), held)
			k.complete(next, answer("next"))
			k.releaseAgain(r)
			k.refuse("its response", another(r), completed(held, answer("next")))
		},
	},
	{
		"release/completed",
		"I2: a completed slot cannot be released, not even by the token that completed it.",
		func(k *kit) {
			r := ask("a")
			held := completed(k.grant(r), answer("a"))
			k.complete(r, answer("a"))
			k.lost("by its token", k.store.Release(k.Context(), r.Key, r.Token))
			k.lost("by another", k.store.Release(k.Context(), r.Key, semel.NewToken()))
			k.refuse("replay", another(r), held)
		},
	},
	{
		"release/tombstone",
		"I6: Release deletes nothing: a free record stays behind, with the fence of the attempt that released it.",
		func(k *kit) {
			need[semel.Lister](k)
			r := ask("a")
			held := k.grant(r)
			k.release(r)
			left := k.list(semel.Filter{})
			if len(left) != 1 {
				k.Fatalf("got %d records, want the tombstone", len(left))
			}
			got := left[0]
			if got.State != semel.StateFree || got.Fence != held.Fence || got.Key != r.Key {
				k.Errorf("got a %s record with fence %d, want a free one with %d", got.State, got.Fence, held.Fence)
			}
		},
	},
	{
		"steps/canceled",
		"I11, I12: a step whose context was canceled has happened or has not; the same token finds out by repeating it.",
		canceledSteps,
	},
}

func (k *kit) releaseAgain(r semel.Reservation) {
	k.Helper()
	if err := k.store.Release(k.Context(), r.Key, r.Token); err != nil && !errors.Is(err, semel.ErrLost) {
		k.Errorf("release again: got error %v, want none or ErrLost", err)
	}
}

func canceledSteps(k *kit) {
	canceled, cancel := context.WithCancel(k.Context())
	cancel()

	r := ask("a")
	held, err := k.store.Reserve(canceled, r)
	if err == nil && held.Token != r.Token {
		k.Errorf("reserve: got the slot held by %v, want %v", held.Token, r.Token)
	}
	held = k.grant(r)
	k.counts(held, 1, 0)

	renewer, ok := semel.As[semel.Renewer](k.store)
	if ok {
		lost, err := renewer.Renew(canceled, long, []semel.Holder{{Key: r.Key, Token: r.Token}})
		if err == nil && len(lost) > 0 {
			k.Errorf("renew: got it lost, want it renewed or an error")
		}
		k.refuse("after renew", another(r), held)
	}

	if err = k.store.Complete(canceled, completion(r, answer("a"))); errors.Is(err, semel.ErrLost) {
		k.Errorf("complete: got ErrLost, want none or another error")
	}
	if err == nil {
		k.refuse("after a complete that succeeded", another(r), completed(held, answer("a")))
	}
	k.complete(r, answer("a"))
	k.refuse("after complete", another(r), completed(held, answer("a")))

	r = ask("b")
	k.grant(r)
	err = k.store.Release(canceled, r.Key, r.Token)
	if errors.Is(err, semel.ErrLost) {
		k.Errorf("release: got ErrLost, want none or another error")
	}
	if err != nil {
		k.releaseAgain(r)
	}
	k.counts(k.grant(another(r)), 2, 0)
}
