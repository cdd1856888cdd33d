package semel_test

import (
	"context"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

type chainKey struct{}

// chained notes its steps, and hands what it got on in the context.
func chained(notes *[]string, name string, ends bool) semel.Observer {
	return func(ctx context.Context, op semel.Op) (context.Context, func(semel.Event)) {
		before, _ := ctx.Value(chainKey{}).(string)
		*notes = append(*notes, "begin "+name+" in "+before)
		ctx = context.WithValue(ctx, chainKey{}, before+name)
		if !ends {
			return ctx, nil
		}
		return ctx, func(semel.Event) { *notes = append(*notes, "end "+name) }
	}
}

// Observers nest as spans do: each begins in the context of the one before, and the last to
// begin is the first to end.
func TestObserversNest(t *testing.T) {
	var notes []string
	all := semel.Observers(nil, chained(&notes, "a", true), chained(&notes, "b", false), nil, chained(&notes, "c", true))
	ctx, end := all(t.Context(), semel.Op{Step: semel.StepReserve})
	end(semel.Event{})
	want := []string{"begin a in ", "begin b in a", "begin c in ab", "end c", "end a"}
	if !reflect.DeepEqual(notes, want) || ctx.Value(chainKey{}) != "abc" {
		t.Errorf("got %q in context %v, want %q in abc", notes, ctx.Value(chainKey{}), want)
	}
	if _, end := semel.Observers(chained(&notes, "a", false), chained(&notes, "b", false))(t.Context(), semel.Op{}); end != nil {
		t.Error("got an end, want none where nobody wants one")
	}
}

// None is none, so that a Config without observers costs nothing.
func TestObserversOfNone(t *testing.T) {
	if semel.Observers() != nil || semel.Observers(nil, nil) != nil {
		t.Error("got an observer, want nil")
	}
}

// One observer costs what it costs alone, and each further one that wants an end one
// allocation.
func TestObserversAllocate(t *testing.T) {
	end := func(semel.Event) {}
	one := func(ctx context.Context, _ semel.Op) (context.Context, func(semel.Event)) { return ctx, end }
	none := func(ctx context.Context, _ semel.Op) (context.Context, func(semel.Event)) { return ctx, nil }
	for name, row := range map[string]struct {
		all  semel.Observer
		want float64
	}{
		"one":              {semel.Observers(one, nil), 0},
		"one wants an end": {semel.Observers(none, one, none), 0},
		"two":              {semel.Observers(one, one), 1},
		"three":            {semel.Observers(one, one, one), 2},
	} {
		ctx := t.Context()
		if got := testing.AllocsPerRun(100, func() {
			_, end := row.all(ctx, semel.Op{Step: semel.StepReserve})
			end(semel.Event{})
		}); got != row.want {
			t.Errorf("%s: got %v allocations, want %v", name, got, row.want)
		}
	}
}

// A purge that has filled its batch says that there is more.
func TestObserveSaysWhetherAPurgeIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := newWitness(t)
		e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{Observe: seen.observe})
		for _, id := range []string{"order-1", "order-2", "order-3"} {
			complete(t, reserve(t, e, call(id, "x")), answer("paid"))
		}
		time.Sleep(semel.DefaultRetention + time.Second)
		ctx, stop := context.WithTimeout(t.Context(), 3*time.Second)
		defer stop()
		_ = e.RunPurge(ctx, semel.Purging{Every: time.Second, Batch: 2})
		events := seen.take(semel.StepPurge)
		if len(events) < 3 || events[0].Count != 2 || !events[0].More || events[1].Count != 1 || events[1].More || events[2].More {
			t.Errorf("got %+v, want 2 and more, 1 and no more, and none", events)
		}
	})
}
