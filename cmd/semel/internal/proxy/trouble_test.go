package proxy

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
)

// full is a store that cannot write while it is full, and answers pings.
type full struct {
	unwrapper
	full bool
}

var errNoSpace = errors.New("no space left on device")

func (f *full) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	if f.full {
		return semel.Record{}, errNoSpace
	}
	return f.Store.Reserve(ctx, r)
}

// TestReadyzOfAFullStore: a sidecar that refuses guarded requests is not ready,
// until one works again.
func TestReadyzOfAFullStore(t *testing.T) {
	up, _ := testUpstream(t, new(seen).handler)
	var store *full
	s := newSidecar(t, up, func(s *setup) {
		store = &full{unwrapper: unwrapper{s.store}}
		s.store = store
	})
	want(t, s.send(t, "POST", "/", "k", "x"), 200, "")
	want(t, get(t, s.admin+"/readyz"), 200, "")
	store.full = true
	want(t, s.send(t, "POST", "/", "k2", "x"), 503, "store_unavailable")
	a := get(t, s.admin+"/readyz?verbose")
	want(t, a, 503, "")
	if want := "store: the last write failed: semel: reserve: no space left on device\ntraffic: ok\n"; a.body != want {
		t.Errorf("got %q, want %q", a.body, want)
	}
	store.full = false
	want(t, s.send(t, "POST", "/", "k2", "x"), 200, "")
	want(t, get(t, s.admin+"/readyz"), 200, "")
}

// TestTrouble: what counts as trouble, what ends it, and for how long it counts
// when nothing does.
func TestTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr trouble
		seesAfter := func(step semel.Step, e semel.Event, want bool) {
			t.Helper()
			tr.see(step, e)
			if got := tr.now() != nil; got != want {
				t.Errorf("after %v %+v: trouble %v, want %v", step, e, got, want)
			}
		}
		failed := semel.Event{Err: errNoSpace}
		seesAfter(semel.StepPurge, failed, false)
		seesAfter(semel.StepRecover, failed, false)
		seesAfter(semel.StepComplete, semel.Event{Err: semel.ErrLost}, false)
		seesAfter(semel.StepReserve, semel.Event{Err: semel.ErrDamaged}, false)
		for _, step := range []semel.Step{semel.StepReserve, semel.StepComplete, semel.StepRelease, semel.StepAbandon, semel.StepRenew} {
			seesAfter(step, failed, true)
			seesAfter(semel.StepReserve, semel.Event{Kind: semel.Replay}, true) // only read
			seesAfter(semel.StepPurge, semel.Event{}, true)                     // may have had nothing to do
			seesAfter(semel.StepReserve, semel.Event{Kind: semel.Reserved}, false)
		}
		seesAfter(semel.StepReserve, failed, true)
		seesAfter(semel.StepComplete, semel.Event{}, false)

		seesAfter(semel.StepReserve, failed, true)
		time.Sleep(troubleFor - time.Nanosecond)
		if tr.now() == nil {
			t.Errorf("forgotten before %v", troubleFor)
		}
		time.Sleep(time.Nanosecond)
		if err := tr.now(); err != nil {
			t.Errorf("after %v: %v", troubleFor, err)
		}
	})
}

// TestObserveDoesNotAllocate: every guarded request pays for it at least twice.
func TestObserveDoesNotAllocate(t *testing.T) {
	m, ctx := NewMetrics(""), t.Context()
	got := testing.AllocsPerRun(100, func() {
		_, end := m.Observe(ctx, semel.Op{Step: semel.StepReserve})
		end(semel.Event{Kind: semel.Reserved, Took: time.Microsecond})
	})
	if got != 0 {
		t.Errorf("%v allocations, want none", got)
	}
}
