package storetest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/semel-go/semel"
)

var resolveCases = []testCase{
	{
		"resolve/response",
		"I3: an operator's response for a lapsed reservation is replayed like any other.",
		func(k *kit) {
			need[semel.Resolver](k)
			r, held := k.lapse("a")
			want := semel.Response{Status: 200, Header: noise(300), Body: everyByte()}
			k.resolve(resolution(held, &want))
			got := k.reserve(another(r))
			held.Token = got.Token // the operator's
			k.same("replay", got, completed(held, want))
			k.refuse("another request", stranger(r), got)
			k.refuse("a taker", taker(r), got)
		},
	},
	{
		"resolve/free",
		"I7: when an operator says that nothing happened the slot is free, for any request, under a larger fence.",
		func(k *kit) {
			need[semel.Resolver](k)
			r, _ := k.lapse("a")
			r = taker(r)
			held := k.grant(r)
			k.wait(k.short)
			k.resolve(resolution(held, nil))
			k.counts(k.grant(stranger(r)), 3, 0)
		},
	},
	{
		"resolve/late-owner",
		"I3, I4: after a resolution the attempt that lapsed gets ErrLost from every step: its own answer is not the kept one.",
		func(k *kit) {
			need[semel.Resolver](k)
			for id, with := range map[string]*semel.Response{"free": nil, "response": {Status: 200, Body: []byte("operator")}} {
				r, held := k.lapse(id)
				k.resolve(resolution(held, with))
				k.strike("slot that was resolved", r)
				got := k.reserve(another(r))
				if with == nil {
					k.counts(got, 2, 0)
					continue
				}
				k.sameResponse("replay", got.Response, *with)
			}
		},
	},
	{
		"resolve/running",
		"I1: a reservation is not resolved while its lease or the margin runs: ErrInFlight, and nothing changes.",
		func(k *kit) {
			need[semel.Resolver](k)
			r := ask("a")
			held := k.grant(r)
			k.notResolved("running", semel.ErrInFlight, resolution(held, nil))
			k.refuse("running", another(r), held)

			r, held = k.lapse("b")
			early := resolution(held, &semel.Response{Status: 200})
			early.Margin = long
			k.notResolved("margin", semel.ErrInFlight, early)
			k.refuse("margin", another(r), held)
			early.Margin = k.short
			k.wait(k.short)
			k.resolve(early)
		},
	},
	{
		"resolve/fence",
		"I4: only the reservation that the operator looked at is resolved: any other fence gets ErrLost, and nothing changes.",
		func(k *kit) {
			need[semel.Resolver](k)
			r, old := k.lapse("a")
			next := taker(r)
			held := k.grant(next)
			k.wait(k.short)
			newer := held
			newer.Fence++
			for what, wrong := range map[string]semel.Record{"older": old, "newer": newer} {
				k.notResolved(what+" fence", semel.ErrLost, resolution(wrong, nil))
				k.notResolved(what+" fence", semel.ErrLost, resolution(wrong, &semel.Response{Status: 200}))
			}
			if got := k.refuse("the reservation", another(r), held); !got.Lapsed {
				k.Errorf("got a running reservation, want a lapsed one")
			}
			k.resolve(resolution(held, nil))
		},
	},
	{
		"resolve/settled",
		"I2: a slot that is completed, free or absent cannot be resolved: ErrLost, and nothing changes.",
		func(k *kit) {
			need[semel.Resolver](k)
			done, heldDone := k.lapse("done")
			k.complete(done, answer("done"))
			freed, heldFreed := k.lapse("freed")
			k.release(freed)
			absent := heldFreed
			absent.Key.ID = "absent"
			for what, held := range map[string]semel.Record{"completed": heldDone, "free": heldFreed, "absent": absent} {
				k.notResolved(what, semel.ErrLost, resolution(held, nil))
				k.notResolved(what, semel.ErrLost, resolution(held, &semel.Response{Status: 200}))
			}
			k.refuse("replay", another(done), completed(heldDone, answer("done")))
			k.counts(k.grant(another(freed)), 2, 0)
			k.vacant("absent", absent.Key)
		},
	},
	{
		"resolve/retention",
		"I2: the retention of a resolved slot counts from the resolution.",
		func(k *kit) {
			need[semel.Resolver](k)
			brief, heldBrief := k.lapse("brief")
			kept := ask("kept")
			kept.Lease, kept.Retention = k.short, k.short
			heldKept := k.grant(kept)
			k.wait(k.short)

			for _, held := range []semel.Record{heldBrief, heldKept} {
				res := resolution(held, &semel.Response{Status: 200, Body: []byte("operator")})
				if held.Key == brief.Key {
					res.Retention = k.short
				}
				k.resolve(res)
			}
			k.wait(k.short)
			k.counts(k.grant(stranger(brief)), 1, 0)
			if got := k.reserve(another(kept)); got.State != semel.StateCompleted {
				k.Errorf("got a %s record, want the operator's response", got.State)
			}
		},
	},
	{
		"resolve/reason",
		"An operator's reason is kept with the slot as it was given, answered or freed, until the slot is reserved again.",
		func(k *kit) {
			need[semel.Resolver](k)
			reasons := []string{
				"", "ops/1: the bank says paid", `Zoë's "note" \x41 %_{}; 世界 🏦`, strings.Repeat("é", semel.MaxReasonLen/2),
			}
			var answered, over, freed []semel.Record
			for i := range reasons {
				for name, list := range map[string]*[]semel.Record{"answered": &answered, "over": &over, "freed": &freed} {
					r := ask(fmt.Sprint(name, " ", i))
					r.Lease = k.short
					*list = append(*list, k.grant(r))
				}
			}
			k.wait(k.short)
			for i, reason := range reasons {
				k.reasonOfAnswer(answered[i], reason)
				k.reasonOfFree(freed[i], reason)
				res := resolution(over[i], &semel.Response{Status: 200})
				res.Reason, res.Retention = reason, k.short
				k.resolve(res)
			}
			k.wait(k.short)
			for i := range reasons {
				k.grant(ask(over[i].Key.ID)) // without a reason
			}
		},
	},
	{
		"resolve/reason-too-long",
		"A reason that is too long is refused, and nothing changes.",
		func(k *kit) {
			need[semel.Resolver](k)
			r, held := k.lapse("a")
			for _, with := range []*semel.Response{nil, {Status: 200}} {
				res := resolution(held, with)
				res.Reason = strings.Repeat("x", semel.MaxReasonLen+1)
				err := need[semel.Resolver](k).Resolve(k.Context(), res)
				if err == nil || errors.Is(err, semel.ErrLost) || errors.Is(err, semel.ErrInFlight) {
					k.Errorf("resolve: got error %v, want one that says what is too long", err)
				}
				if got := k.refuse("the reservation", another(r), held); !got.Lapsed {
					k.Errorf("got a running reservation, want a lapsed one")
				}
			}
			k.resolve(resolution(held, nil))
		},
	},
	{
		"health/ping-and-grade",
		"A store that can be asked is well when it was just opened, and says what it survives.",
		func(k *kit) {
			if p, ok := semel.As[semel.Pinger](k.store); ok {
				k.must("ping", p.Ping(k.Context()))
			}
			grade := need[semel.Grader](k).Grade()
			if l := grade.Letter; (l != "A" && l != "B" && l != "C") || grade.Survives == "" {
				k.Errorf("got grade %q, %q, want A, B or C and a sentence", l, grade.Survives)
			}
		},
	},
}

// reasonOfAnswer resolves a lapsed reservation with a response, for a reason.
func (k *kit) reasonOfAnswer(held semel.Record, reason string) {
	k.Helper()
	res := resolution(held, &semel.Response{Status: 200, Body: []byte("operator")})
	res.Reason = reason
	k.resolve(res)
	want := completed(held, *res.Response)
	want.Reason = reason
	got := k.reserve(ask(held.Key.ID))
	want.Token = got.Token // the operator's
	k.same("replay", got, want)
	k.listed("answered", want)
}

// reasonOfFree resolves a lapsed reservation to nothing, for a reason.
func (k *kit) reasonOfFree(held semel.Record, reason string) {
	k.Helper()
	res := resolution(held, nil)
	res.Reason = reason
	k.resolve(res)
	late := ask(held.Key.ID)
	late.Token = held.Token
	k.strike("slot that was freed", late)
	for _, got := range k.list(semel.Filter{Scope: held.Key.Scope, ID: held.Key.ID}) {
		if got.Reason != reason {
			k.Errorf("a freed slot: got reason %q, want %q", got.Reason, reason)
		}
	}
	next := ask(held.Key.ID)
	again := k.grant(next) // without a reason
	k.complete(next, answer("next"))
	k.refuse("replay", another(next), completed(again, answer("next")))
}

// resolution is an operator's answer to the record that was looked at.
func resolution(held semel.Record, with *semel.Response) semel.Resolution {
	return semel.Resolution{Key: held.Key, Fence: held.Fence, Response: with, Retention: long}
}

func (k *kit) resolve(r semel.Resolution) {
	k.Helper()
	k.must("resolve", need[semel.Resolver](k).Resolve(k.Context(), r))
}

func (k *kit) notResolved(what string, want error, r semel.Resolution) {
	k.Helper()
	if err := need[semel.Resolver](k).Resolve(k.Context(), r); !errors.Is(err, want) {
		k.Errorf("resolve %s: got error %v, want %v", what, err, want)
	}
}
