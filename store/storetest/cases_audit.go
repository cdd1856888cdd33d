package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/semel-go/semel"
)

var auditCases = []testCase{
	{
		"audit/trail",
		"An entry is kept as it was given, with a growing ID and the store's time, and listed with the latest first.",
		func(k *kit) {
			need[semel.Auditor](k)
			var want []semel.AuditEntry
			for _, e := range auditEntries() {
				got := k.audit(e)
				if len(want) > 0 && (got.ID <= want[0].ID || got.At.Before(want[0].At)) {
					k.Errorf("got ID %d of %v after %d of %v, want them to grow", got.ID, got.At, want[0].ID, want[0].At)
				}
				if got.ID <= 0 || got.At.IsZero() {
					k.Errorf("got ID %d of %v, want both set", got.ID, got.At)
				}
				e.ID, e.At = got.ID, got.At
				k.sameEntry(got, e)
				want = append([]semel.AuditEntry{e}, want...)
			}
			got := k.trail(semel.AuditFilter{})
			if len(got) != len(want) {
				k.Fatalf("got %d entries, want %d", len(got), len(want))
			}
			for i := range want {
				k.sameEntry(got[i], want[i])
			}
		},
	},
	{
		"audit/filter",
		"A trail is chosen by slot, in pages before an ID, and up to a limit.",
		func(k *kit) {
			need[semel.Auditor](k)
			a, b := ask("a").Key, ask("b").Key
			var all []int64
			for i := range 7 {
				key := a
				if i%3 == 2 {
					key = b
				}
				all = append(all, k.audit(semel.AuditEntry{Actor: "ops", Action: semel.ActionReveal, Key: key}).ID)
			}
			slices.Reverse(all) // 6 (a) 5 (b) 4 (a) 3 (a) 2 (b) 1 (a) 0 (a)
			for _, c := range []struct {
				filter semel.AuditFilter
				want   []int64
			}{
				{semel.AuditFilter{}, all},
				{semel.AuditFilter{Limit: 3}, all[:3]},
				{semel.AuditFilter{Before: all[2]}, all[3:]},
				{semel.AuditFilter{Before: all[2], Limit: 2}, all[3:5]},
				{semel.AuditFilter{Before: all[6]}, nil},
				{semel.AuditFilter{Key: b}, []int64{all[1], all[4]}},
				{semel.AuditFilter{Key: b, Before: all[1]}, []int64{all[4]}},
				{semel.AuditFilter{Key: a, Limit: 2}, []int64{all[0], all[2]}},
				{semel.AuditFilter{Key: ask("c").Key}, nil},
			} {
				var got []int64
				for _, e := range k.trail(c.filter) {
					got = append(got, e.ID)
				}
				if !slices.Equal(got, c.want) {
					k.Errorf("filter %d, %d, slot %v: got entries %v, want %v", c.filter.Before, c.filter.Limit, c.filter.Key != (semel.Key{}), got, c.want)
				}
			}
		},
	},
	{
		"audit/together",
		"Entries that are added at the same time are all kept, each under an ID of its own.",
		func(k *kit) {
			auditor := need[semel.Auditor](k)
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					e := semel.AuditEntry{Actor: fmt.Sprint("ops ", i), Action: semel.ActionPurge}
					if _, err := auditor.Audit(k.Context(), e); err != nil {
						k.Errorf("audit: got error %v, want none", err)
					}
				})
			}
			wg.Wait()
			seen := map[int64]bool{}
			actors := map[string]bool{}
			for _, e := range k.trail(semel.AuditFilter{}) {
				seen[e.ID], actors[e.Actor] = true, true
			}
			if len(seen) != 20 || len(actors) != 20 {
				k.Errorf("got %d IDs and %d actors, want 20 of each", len(seen), len(actors))
			}
		},
	},
	{
		"audit/too-long",
		"A text that is too long is ErrTooLarge, and no entry is added.",
		func(k *kit) {
			auditor := need[semel.Auditor](k)
			long := strings.Repeat("x", semel.MaxAuditLen+1)
			for _, e := range []semel.AuditEntry{
				{Actor: long, Action: "a"},
				{Actor: "a", Action: semel.Action(long)},
				{Actor: "a", Action: "a", Reason: long},
				{Actor: "a", Action: "a", Result: long},
			} {
				if _, err := auditor.Audit(k.Context(), e); !errors.Is(err, semel.ErrTooLarge) {
					k.Errorf("audit: got error %v, want ErrTooLarge", err)
				}
			}
			if got := k.trail(semel.AuditFilter{}); len(got) != 0 {
				k.Errorf("got %d entries, want none", len(got))
			}
		},
	},
	{
		"audit/outlives",
		"A trail outlives the record that it is about: no purge removes an entry.",
		func(k *kit) {
			need[semel.Auditor](k)
			purger := need[semel.Purger](k)
			r := ask("a")
			r.Retention = k.short
			k.grant(r)
			e := k.audit(semel.AuditEntry{Actor: "ops", Action: semel.ActionRelease, Key: r.Key, Fence: 7})
			k.release(r)
			k.wait(k.short)
			_, err := purger.Purge(k.Context(), 100)
			k.must("purge", err)
			got := k.trail(semel.AuditFilter{Key: r.Key})
			if len(got) != 1 || got[0].ID != e.ID {
				k.Errorf("got %d entries, want the one that was added", len(got))
			}
		},
	},
}

func auditEntries() []semel.AuditEntry {
	full := strings.Repeat("é", semel.MaxAuditLen/2)
	return []semel.AuditEntry{
		{Actor: "ops@host", Action: semel.ActionPurge},
		{Actor: `Zoë "the' \x41`, Action: semel.ActionRelease, Key: ask("a").Key, Fence: 1 << 60, Reason: "世界 🏦 %_{};\n\t"},
		{Actor: full, Action: semel.Action(full), Key: semel.Key{ID: "no scope"}, Reason: full, Result: full, Begun: 1 << 60},
		{Actor: "ops", Action: semel.ActionComplete, Key: ask("a").Key, Begun: 2, Result: semel.AuditDone},
	}
}

func (k *kit) audit(e semel.AuditEntry) semel.AuditEntry {
	k.Helper()
	got, err := need[semel.Auditor](k).Audit(k.Context(), e)
	k.must("audit", err)
	return got
}

func (k *kit) trail(f semel.AuditFilter) (entries []semel.AuditEntry) {
	k.Helper()
	for e, err := range need[semel.Auditor](k).Trail(k.Context(), f) {
		k.must("trail", err)
		entries = append(entries, e)
	}
	return entries
}

func (k *kit) sameEntry(got, want semel.AuditEntry) {
	k.Helper()
	if !got.At.Equal(want.At) {
		k.Errorf("entry %d: got time %v, want %v", want.ID, got.At, want.At)
	}
	got.At = want.At
	if got != want {
		k.Errorf("entry %d: got %+q by %q, %q, %d, %q, %d, want %+q by %q, %q, %d, %q, %d", want.ID,
			got.Action, got.Actor, got.Reason, got.Fence, got.Result, got.Begun,
			want.Action, want.Actor, want.Reason, want.Fence, want.Result, want.Begun)
	}
}
