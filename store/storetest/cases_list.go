package storetest

import (
	"fmt"
	"slices"

	"github.com/semel-go/semel"
)

var listCases = []testCase{
	{
		"list/records",
		"A listed record is what the slot holds; its response is the status alone, unless bodies are asked for.",
		func(k *kit) {
			need[semel.Lister](k)
			r := ask("a")
			held := completed(k.grant(r), answer("a"))
			k.complete(r, answer("a"))
			for _, bodies := range []bool{false, true} {
				got := k.list(semel.Filter{Bodies: bodies})
				if len(got) != 1 {
					k.Fatalf("bodies %v: got %d records, want 1", bodies, len(got))
				}
				want := held
				if !bodies {
					want.Response = semel.Response{Status: held.Response.Status}
				}
				k.same(fmt.Sprint("bodies ", bodies), got[0], want)
			}
		},
	},
	{
		"list/order",
		"Records are listed from the youngest to the oldest, and a limit keeps the youngest.",
		func(k *kit) {
			need[semel.Lister](k)
			var all []string
			for _, id := range []string{"d", "a", "e", "b", "c"} {
				k.grant(ask(id))
				all = append(all, id)
				k.wait(k.slack)
			}
			slices.Reverse(all)
			for _, limit := range []int{0, 1, 2, 4, 5, 6} {
				want := all
				if limit > 0 && limit < len(all) {
					want = all[:limit]
				}
				got := k.list(semel.Filter{Limit: limit})
				if got := ids(got); !slices.Equal(got, want) {
					k.Errorf("limit %d: got records %v, want %v", limit, got, want)
				}
			}
		},
	},
	{
		"list/filter",
		"A filter chooses by scope, id, prefix of the slot, state and lapse, each compared in full and all together.",
		listFilter,
	},
	{
		"list/pages",
		"A list goes on behind a place: pages of any size hold every record once, also of those that are as old, and in the order of the whole list.",
		listPages,
	},
	{
		"list/sift",
		"A list in steps that pass over few records holds what the whole list does, in its order, and comes to an end.",
		listSift,
	},
	{
		"list/age",
		"A filter chooses by age, which counts from the last reservation, by the store's clock.",
		func(k *kit) {
			need[semel.Lister](k)
			k.grant(ask("old"))
			again := ask("again")
			k.grant(again)
			k.release(again)
			k.wait(3 * k.short)
			k.grant(ask("young"))
			k.grant(another(again))
			for _, c := range []struct {
				filter semel.Filter
				want   []string
			}{
				{semel.Filter{MinAge: 3 * k.short}, []string{"old"}},
				{semel.Filter{MinAge: long}, nil},
				{semel.Filter{MaxAge: long}, []string{"again", "old", "young"}},
				{semel.Filter{MinAge: 3 * k.short, MaxAge: long}, []string{"old"}},
			} {
				got := ids(k.list(c.filter))
				slices.Sort(got)
				if !slices.Equal(got, c.want) {
					k.Errorf("age %v to %v: got records %v, want %v", c.filter.MinAge, c.filter.MaxAge, got, c.want)
				}
			}
			for _, rec := range k.list(semel.Filter{MaxAge: 3 * k.short}) { // those that are young, on a machine that is not slow
				if rec.Key.ID == "old" {
					k.Errorf("at most %v old: got a record that is older", 3*k.short)
				}
			}
		},
	},
	{
		"list/stop",
		"Whoever ranges over a list may stop, and may take steps meanwhile.",
		func(k *kit) {
			lister := need[semel.Lister](k)
			const n = 40
			for i := range n {
				k.grant(ask(fmt.Sprint("slot ", i)))
			}
			seen := 0
			for rec, err := range lister.List(k.Context(), semel.Filter{}) {
				k.must("list", err)
				k.must("complete", k.store.Complete(k.Context(), semel.Completion{Key: rec.Key, Token: rec.Token}))
				if seen++; seen == n/2 {
					break
				}
			}
			done := k.list(semel.Filter{States: []semel.State{semel.StateCompleted}})
			if len(done) != n/2 {
				k.Errorf("got %d completed records, want %d", len(done), n/2)
			}
		},
	},
}

func ids(records []semel.Record) []string {
	list := make([]string, len(records))
	for i, rec := range records {
		list[i] = rec.Key.ID
	}
	return list
}

// listPages reads every list in pages, each behind the last record of the one before.
func listPages(k *kit) {
	need[semel.Lister](k)
	for i := range 23 {
		r := ask(fmt.Sprint("slot ", i))
		if k.grant(r); i%3 == 0 {
			k.complete(r, answer("it"))
		}
		if i%5 == 0 {
			k.wait(k.slack)
		}
	}
	for _, filter := range []semel.Filter{{}, {States: []semel.State{semel.StateCompleted}, Bodies: true}} {
		all := ids(k.list(filter))
		for _, size := range []int{1, 4, 22, 23, 24} {
			var got []string
			page := filter
			page.Limit = size
			for {
				records := k.list(page)
				got = append(got, ids(records)...)
				if len(records) == 0 || len(got) > len(all) {
					break
				}
				page.After = records[len(records)-1].Place()
			}
			if !slices.Equal(got, all) {
				k.Errorf("pages of %d: got records %v, want %v", size, got, all)
			}
		}
	}
	all := k.list(semel.Filter{})
	if got := k.list(semel.Filter{After: all[len(all)-1].Place()}); len(got) != 0 {
		k.Errorf("behind the last record: got %v, want nothing", ids(got))
	}
}

// listSift reads lists in steps of any size.
func listSift(k *kit) {
	sifter := need[semel.Sifter](k)
	const n = 23
	for i := range n {
		r := ask(fmt.Sprint("slot ", i))
		if k.grant(r); i%7 == 0 {
			k.complete(r, answer("it"))
		}
		if i%5 == 0 {
			k.wait(k.slack)
		}
	}
	for _, filter := range []semel.Filter{
		{}, {States: []semel.State{semel.StateCompleted}, Bodies: true}, {Lapsed: true}, {Scope: "nobody"}, {Scope: scope, ID: "slot 3"},
	} {
		all := ids(k.list(filter))
		for _, step := range []struct{ most, limit int }{{1, 0}, {4, 0}, {n, 0}, {1000, 0}, {4, 2}, {1000, 3}} {
			var got []string
			part := filter
			part.Limit = step.limit
			for steps := 0; ; steps++ {
				found, next, err := sifter.Sift(k.Context(), part, step.most)
				k.must("sift", err)
				if got = append(got, ids(found)...); step.limit > 0 && len(found) > step.limit {
					k.Errorf("limit %d: got %d records", step.limit, len(found))
				}
				for _, rec := range found {
					if filter.Bodies && string(rec.Response.Body) == "" {
						k.Errorf("got %s without its body", rec.Key.ID)
					}
				}
				if part.After = next; next.IsZero() || steps > 2*n {
					break
				}
			}
			if !slices.Equal(got, all) || !part.After.IsZero() {
				k.Errorf("steps of %d up to %d: got records %v and a place at %v, want %v and the end", step.most, step.limit, got, part.After, all)
			}
		}
	}
}

func listFilter(k *kit) {
	need[semel.Lister](k)
	running, lapsed, done, freed := ask("running"), ask("lapsed"), ask("done"), ask("freed")
	lapsed.Route = "PUT /payments/%"
	lapsed.Lease = k.short
	prefix, upper := ask("runnin"), ask("RUNNING")
	elsewhere := ask("running")
	elsewhere.Key.Scope = "tenant-10"
	for _, r := range []semel.Reservation{running, lapsed, done, freed, prefix, upper, elsewhere} {
		k.grant(r)
	}
	k.complete(done, answer("done"))
	k.release(freed)
	k.wait(k.short)
	slot := running.Key.Slot().String()
	for _, c := range []struct {
		what   string
		filter semel.Filter
		want   []string
	}{
		{"nothing", semel.Filter{}, []string{"RUNNING", "done", "freed", "lapsed", "runnin", "running", "running"}},
		{"scope", semel.Filter{Scope: scope}, []string{"RUNNING", "done", "freed", "lapsed", "runnin", "running"}},
		{"other scope", semel.Filter{Scope: "tenant-10"}, []string{"running"}},
		{"no scope", semel.Filter{Scope: "tenant"}, nil},
		{"id", semel.Filter{ID: "running"}, []string{"running", "running"}},
		{"scope and id", semel.Filter{Scope: scope, ID: "running"}, []string{"running"}},
		{"wild card", semel.Filter{ID: "%"}, nil},
		{"slot", semel.Filter{Slot: slot}, []string{"running"}},
		{"prefix of a slot", semel.Filter{Slot: slot[:11]}, []string{"running"}},
		{"no slot", semel.Filter{Slot: slot[1:]}, nil},
		{"slot in another scope", semel.Filter{Slot: slot, Scope: "tenant-10"}, nil},
		{"free", semel.Filter{States: []semel.State{semel.StateFree}}, []string{"freed"}},
		{"settled", semel.Filter{States: []semel.State{semel.StateFree, semel.StateCompleted}}, []string{"done", "freed"}},
		{"reserved here", semel.Filter{States: []semel.State{semel.StateReserved}, Scope: scope}, []string{"RUNNING", "lapsed", "runnin", "running"}},
		{"route", semel.Filter{Route: "PUT /payments/%"}, []string{"lapsed"}},
		{"no route", semel.Filter{Route: "PUT /payments/"}, nil},
		{"route of another state", semel.Filter{Route: "PUT /payments/%", States: []semel.State{semel.StateFree}}, nil},
		{"lapsed", semel.Filter{Lapsed: true}, []string{"lapsed"}},
		{"lapsed by a margin", semel.Filter{Lapsed: true, Margin: long}, nil},
		{"lapsed and completed", semel.Filter{Lapsed: true, States: []semel.State{semel.StateCompleted}}, nil},
		{"lapsed elsewhere", semel.Filter{Lapsed: true, Scope: "tenant-10"}, nil},
	} {
		got := k.list(c.filter)
		names := ids(got)
		slices.Sort(names)
		if !slices.Equal(names, c.want) {
			k.Errorf("filter by %s: got records %v, want %v", c.what, names, c.want)
		}
		for _, rec := range got {
			if want := rec.Key.ID == "lapsed" && c.filter.Margin == 0; rec.Lapsed != want {
				k.Errorf("filter by %s: %s: got lapsed %v, want %v", c.what, rec.Key.ID, rec.Lapsed, want)
			}
		}
	}
}
