package memstore_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// A list with a limit is the beginning of the one without, whichever records it did not
// copy on the way.
func TestLimitIsTheBeginningOfAll(t *testing.T) {
	store := memstore.New(memstore.Config{})
	for i := range 5000 {
		_, err := store.Reserve(t.Context(), semel.Reservation{
			Key: semel.Key{Scope: "acme", ID: fmt.Sprint(i)}, Token: semel.NewToken(), Lease: time.Hour, Retention: time.Hour,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	list := func(f semel.Filter) []semel.Place {
		var places []semel.Place
		for rec, err := range store.List(t.Context(), f) {
			if err != nil {
				t.Fatal(err)
			}
			places = append(places, rec.Place())
		}
		return places
	}
	all := list(semel.Filter{})
	for _, limit := range []int{1, 2, 7, 50, 4999} {
		if got := list(semel.Filter{Limit: limit}); !slices.Equal(got, all[:limit]) {
			t.Errorf("the first %d are not the first of all", limit)
		}
		if got := list(semel.Filter{Limit: limit, After: all[limit-1]}); len(all) > 2*limit && !slices.Equal(got, all[limit:2*limit]) {
			t.Errorf("the %d behind the first %d are not", limit, limit)
		}
	}
	for n := range 65 {
		slot := all[17].Slot
		want := 0
		for _, p := range all {
			if p.Slot.String()[:n] == slot.String()[:n] {
				want++
			}
		}
		if got := list(semel.Filter{Slot: slot.String()[:n]}); len(got) != want || !slices.Contains(got, all[17]) {
			t.Errorf("%d digits: got %d records, want %d", n, len(got), want)
		}
	}
	if got := list(semel.Filter{Slot: all[0].Slot.String() + "0"}); len(got) != 0 {
		t.Errorf("more digits than a slot has: got %d records", len(got))
	}
}
