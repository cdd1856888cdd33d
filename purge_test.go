package semel_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// fill keeps n responses.
func fill(t *testing.T, e *semel.Engine, n int) {
	t.Helper()
	for i := range n {
		complete(t, reserve(t, e, call(fmt.Sprint("old-", i), "x")), answer("paid"))
	}
}

// runPurge runs the purge until the test stops it, and returns what it returned.
func runPurge(t *testing.T, e *semel.Engine, p semel.Purging) (stop func(cause error) error) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	result := make(chan error, 1)
	go func() { result <- e.RunPurge(ctx, p) }()
	stopped := false
	t.Cleanup(func() {
		if !stopped {
			cancel(nil)
			<-result
		}
	})
	return func(cause error) error {
		stopped = true
		cancel(cause)
		return <-result
	}
}

func TestRunPurgeRefuses(t *testing.T) {
	e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{})
	for _, p := range []semel.Purging{
		{Every: -1}, {Batch: -1}, {Share: -0.1}, {Share: 1.1}, {Share: nan()},
	} {
		if err := e.RunPurge(t.Context(), p); err == nil || t.Context().Err() != nil {
			t.Errorf("%+v: got %v, want an error at once", p, err)
		}
	}
	cannot := newEngine(t, plain{newWire(t, memstore.New(memstore.Config{}))}, semel.Config{})
	if err := cannot.RunPurge(t.Context(), semel.Purging{}); err == nil {
		t.Error("got no error of a store that cannot purge, want one")
	}
}

func nan() float64 {
	zero := 0.0
	return zero / zero
}

// While there is work, steps take their share of the time and no more, each of
// one batch; then there is a look each minute. It stops with its context.
func TestRunPurgePacesItself(t *testing.T) {
	for _, tt := range []struct {
		name  string
		p     semel.Purging
		steps int           // until nothing is left, that round included
		pause time.Duration // after a step of 100 ms
		every time.Duration
	}{
		{"default", semel.Purging{}, 11, 400 * time.Millisecond, time.Minute},
		{"half", semel.Purging{Share: 0.5, Batch: 100, Every: time.Second}, 6, 100 * time.Millisecond, time.Second},
		{"whole", semel.Purging{Share: 1, Batch: 250}, 3, 0, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, w := process(t, memstore.New(memstore.Config{}), semel.Config{})
				fill(t, e, 500)
				time.Sleep(2 * semel.DefaultRetention)
				w.set(at(semel.StepPurge, hangs(100*time.Millisecond, nil)), nil)
				stop := runPurge(t, e, tt.p)
				for step := 1; step <= tt.steps; step++ {
					synctest.Wait()
					if got := w.count(semel.StepPurge); got != step {
						t.Fatalf("got %d steps, want %d", got, step)
					}
					time.Sleep(100*time.Millisecond + tt.pause)
				}
				time.Sleep(tt.every - tt.pause - time.Nanosecond)
				if got := w.count(semel.StepPurge); got != tt.steps {
					t.Errorf("got %d steps before the pause was over, want %d", got, tt.steps)
				}
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				if got := w.count(semel.StepPurge); got != tt.steps+1 {
					t.Errorf("got %d steps after the pause, want %d", got, tt.steps+1)
				}
				why := errors.New("enough")
				start := time.Now()
				wantError(t, stop(why), why)
				if got := time.Since(start); got > 100*time.Millisecond {
					t.Errorf("it stopped after %v, want the end of its step at most", got)
				}
			})
		})
	}
}

// I9: what is over goes, everything else stays: attempts that run, that lapsed,
// and responses that are still replayed.
func TestRunPurgeTakesWhatIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := newWitness(t)
		store := memstore.New(memstore.Config{})
		e, _ := process(t, store, semel.Config{Observe: seen.observe})
		fill(t, e, 120)
		_ = reserve(t, e, call("lapsed", "x"))
		time.Sleep(2 * semel.DefaultRetention)
		_ = reserve(t, e, call("running", "x"))
		complete(t, reserve(t, e, call("kept", "x")), answer("paid"))

		stop := runPurge(t, e, semel.Purging{})
		time.Sleep(10 * time.Second)
		wantError(t, stop(nil), context.Canceled)
		var counts []int
		for _, ev := range seen.take(semel.StepPurge) {
			counts = append(counts, ev.Count)
		}
		if fmt.Sprint(counts) != "[50 50 20 0]" {
			t.Errorf("got steps of %v, want 50, 50, 20 and none", counts)
		}
		wantUnknown(t, begin(t, e, call("lapsed", "x")))
		wantOutcome(t, begin(t, e, call("running", "x")), semel.InFlight)
		wantReplay(t, begin(t, e, call("kept", "x")), answer("paid"))
	})
}

// A failed step is told, and the next round tries again.
func TestRunPurgeSurvivesAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, seen := &lines{}, newWitness(t)
		e, w := process(t, memstore.New(memstore.Config{}), semel.Config{Logger: log.logger(), Observe: seen.observe})
		fill(t, e, 10)
		time.Sleep(2 * semel.DefaultRetention)
		w.cut()
		stop := runPurge(t, e, semel.Purging{})
		time.Sleep(time.Second)
		w.heal()
		if !strings.Contains(log.String(), errCut.Error()) {
			t.Errorf("got log %s, want the failure in it", log)
		}
		time.Sleep(time.Minute)
		events := seen.take(semel.StepPurge)
		if len(events) != 3 || !errors.Is(events[0].Err, errCut) || events[1].Count != 10 || events[2].Count != 0 {
			t.Errorf("got %+v, want a failure, 10 and none", events)
		}
		_ = stop(nil)
	})
}
