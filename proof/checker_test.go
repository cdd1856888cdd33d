package proof

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel/store/memstore"
)

// defects are all that toy can have, and the invariant that each one breaks.
var defects = []struct{ name, breaks string }{
	{"complete without a token", "I4"},
	{"complete succeeds for all once kept", "I4"},
	{"complete overwrites", "I2"},
	{"complete forgets", "I10"},
	{"late complete refused", "I9"},
	{"late complete expires early", "I2"},
	{"take-over without rotation", "I1"},
	{"take-over by another request", "I5"},
	{"lapses forgotten", "I7"},
	{"fence stands still", "I6"},
	{"fingerprint unchecked on replay", "I5"},
	{"body truncated", "I3"},
	{"release without a token", "I4"},
	{"release deletes", "I6"},
	{"renew without a token", "I4"},
	{"renew does nothing", "I1"},
	{"resolve without a fence", "I12"},
	{"resolve of a running attempt", "I1"},
	{"resolve keeps the token", "I3"},
	{"purge of lapsed", "I9"},
	{"purge of what is kept", "I2"},
	{"verdict by a second read", "I12"},
	{"read from a replica", "I12"},
	{"lease by the clocks of the nodes", "I1"},
	{"margin ignored", "I1"},
	{"a question prolongs the lease", "L1"},
	{"never expires", "L1"},
	{"a crash loses the last writes", "I10"},
}

// virtual runs a load on store in virtual time, over a line that loses answers.
func virtual(t *testing.T, store Store, seed uint64, beside func()) (Verdict, *Run) {
	t.Helper()
	var r *Run
	synctest.Test(t, func(t *testing.T) {
		r = NewRun(Load{Seed: seed, For: time.Second})
		line := &Lossy{Store: store, Latency: 3 * time.Millisecond, Refused: 1, Dropped: 2, Late: 1, Seed: seed}
		go beside()
		r.Work(t.Context(), line)
		line.Wait()
		r.Audit(store)
		r.History.End()
	})
	v, err := r.Check("", "")
	if err != nil {
		t.Fatal(err)
	}
	return v, r
}

// crashes goes on for longer than a virtual run.
func crashes(s *toy) func() {
	return func() {
		for range 10 {
			time.Sleep(100 * time.Millisecond)
			s.crash()
		}
	}
}

// TestCheckerCatches shows that the model is strong enough: a store with one
// defect has a history that no correct store can have.
func TestCheckerCatches(t *testing.T) {
	for _, d := range defects {
		t.Run(d.breaks+" "+d.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(20) {
				s := newToy(d.name)
				if v, _ := virtual(t, s, seed, crashes(s)); v.Illegal > 0 {
					t.Logf("caught with seed %d: %v", seed, v)
					return
				}
			}
			t.Errorf("not caught with 20 seeds")
		})
	}
}

// TestCheckerPasses shows that the model is not too strong: two stores that are
// right, written apart, pass under every loss, with many seeds.
func TestCheckerPasses(t *testing.T) {
	for name, open := range map[string]func() Store{
		"toy":      func() Store { return newToy("") },
		"memstore": func() Store { return memstore.New(memstore.Config{}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(5) {
				v, r := virtual(t, open(), seed, func() {})
				t.Logf("seed %d: %v; %v", seed, &r.Tally, v)
				if v.Illegal > 0 || v.Undecided > 0 || r.Tally.Tame() != "" {
					t.Errorf("seed %d: %v %s", seed, v, r.Tally.Tame())
				}
			}
		})
	}
}
