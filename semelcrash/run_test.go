//go:build unix

package semelcrash_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel/semelcrash"
)

// config asks variant for a payment.
func config(t *testing.T, variant string) semelcrash.Config {
	t.Helper()
	cfg, _ := configWithDatabase(t, variant)
	return cfg
}

func configWithDatabase(t *testing.T, variant string) (semelcrash.Config, *database) {
	t.Helper()
	db, addr := openDatabase(t)
	return semelcrash.Config{
		Args: []string{addr, variant},
		Request: func(base, key string) (*http.Request, error) {
			r, err := http.NewRequest(http.MethodPost, base+"/payments", strings.NewReader(`{"amount":2500}`))
			if err == nil {
				r.Header.Set("Idempotency-Key", key)
			}
			return r, err
		},
		Effects:  func(_ context.Context, key string) (int, error) { return db.effects(key), nil },
		Seed:     7,
		Random:   1,    // as each costs time; one test has more
		Once:     true, // likewise
		Poll:     20 * time.Millisecond,
		Parallel: 4,
	}, db
}

func check(t *testing.T, cfg semelcrash.Config) *semelcrash.Report {
	t.Helper()
	report, err := semelcrash.Check(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(report)
	return report
}

// want compares the verdicts of the runs that are killed at a point.
func want(t *testing.T, report *semelcrash.Report, verdicts string) {
	t.Helper()
	var got strings.Builder
	for _, r := range report.Runs {
		if r.Point != (semelcrash.Point{}) {
			_, _ = fmt.Fprintf(&got, "%s: %s\n", r.Name, r.Verdict)
		}
	}
	trim := func(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\t", "") }
	if trim(got.String()) != trim(verdicts) {
		t.Errorf("got\n%s\nwant\n%s", got.String(), trim(verdicts))
	}
}

// Where the effect and the record are committed together, no kill at any step
// doubles, loses or holds anything (I8).
func TestTransactionsSurvive(t *testing.T) {
	for variant, points := range map[string]string{
		"claim": `
			before Reserve 1: ok
			after Reserve 1: ok
			before tx.Begin 1: ok
			after tx.Begin 1: ok
			before tx.Lock 1: ok
			after tx.Lock 1: ok
			at paid 1: ok
			before tx.Complete 1: ok
			after tx.Complete 1: ok
			before tx.Commit 1: ok
			after tx.Commit 1: ok`,
		"single": `
			before tx.Begin 1: ok
			after tx.Begin 1: ok
			before tx.Reserve 1: ok
			after tx.Reserve 1: ok
			at paid 1: ok
			before tx.Complete 1: ok
			after tx.Complete 1: ok
			before tx.Commit 1: ok
			after tx.Commit 1: ok`,
		"one trip": `
			before Reserve 1: ok
			after Reserve 1: ok
			before tx.Begin 1: ok
			after tx.Begin 1: ok
			before tx.Lock 1: ok
			after tx.Lock 1: ok
			at paid 1: ok
			before tx.Commit 1: ok
			after tx.Commit 1: ok`,
		"own transaction": `
			before Reserve 1: ok
			after Reserve 1: ok
			before tx.Lock 1: ok
			after tx.Lock 1: ok
			at paid 1: ok
			before tx.Complete 1: ok
			after tx.Complete 1: ok
			at commit 1: ok
			at committed 1: ok
			before Reserve 2: ok
			after Reserve 2: ok`,
	} {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			cfg := config(t, variant)
			if variant == "claim" {
				cfg.Random = 4
			}
			report := semelcrash.Run(t, cfg)
			for _, r := range report.Runs {
				if r.Record != "completed" || r.Effects != 1 || r.Told != semelcrash.Done {
					t.Errorf("%s: %+v", r.Name, r)
				}
			}
			want(t, report, points)
		})
	}
}

// Without a transaction there are steps after which nobody knows (I7): Hold
// refuses, a hook finds out, a promise makes fewer of them.
func TestOutsideOfTransactions(t *testing.T) {
	for variant, points := range map[string]string{
		"hold": `
			before Reserve 1: ok
			after Reserve 1: HELD
			at paid 1: HELD
			before Complete 1: HELD
			after Complete 1: ok`,
		"deferred": `
			before Reserve 1: ok
			after Reserve 1: ok
			before BeginEffects 1: ok
			after BeginEffects 1: HELD
			at paid 1: HELD
			before Complete 1: HELD
			after Complete 1: ok`,
		"recover": `
			before Reserve 1: ok
			after Reserve 1: ok
			at paid 1: ok
			before Complete 1: ok
			after Complete 1: ok`,
	} {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			cfg := config(t, variant)
			cfg.MayHold = true
			report := semelcrash.Run(t, cfg)
			want(t, report, points)
			for _, r := range report.Runs {
				if r.Verdict == semelcrash.Held && r.Record != "lapsed" {
					t.Errorf("%s: the record is %s", r.Name, r.Record)
				}
			}
		})
	}
}

// A retry is killed as well, at each step of each kind of retry, also when it comes to
// the step once more: after its own commit the middleware reads the record. (I8)
func TestRetriesAreKilled(t *testing.T) {
	for variant, committed := range map[string]string{"claim": "after tx.Commit 1", "own transaction": "at committed 1"} {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			retriesAreKilled(t, variant, committed)
		})
	}
}

// retriesAreKilled expects that the first kill after the commit is at committed.
func retriesAreKilled(t *testing.T, variant, committed string) {
	t.Helper()
	cfg, db := configWithDatabase(t, variant)
	cfg.Once, cfg.Random = false, -1
	report := semelcrash.Run(t, cfg)
	var first, got []string
	for _, r := range report.Runs {
		if !r.Reached || r.Effects != 1 {
			t.Errorf("%s: reached %v, %d effects", r.Name, r.Reached, r.Effects)
		}
		if r.Then == (semelcrash.Point{}) {
			first = append(first, r.Name)
		} else {
			got = append(got, r.Name)
		}
		if n := db.attempts(r.Key); r.Name == "after Reserve 1, then after Reserve 1" && n != 3 {
			t.Errorf("%s: got %d attempts, want the second to have taken over, and a third", r.Name, n)
		}
	}
	var want []string
	for _, then := range first[1:] { // the key is not there
		want = append(want, "before Reserve 1, then "+then)
	}
	for _, then := range first[1:] { // it is taken over
		want = append(want, "after Reserve 1, then "+then)
	}
	want = append(want, committed+", then before Reserve 1", committed+", then after Reserve 1") // a replay
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Where nobody can see when a lease is over, what depends on how often a client asks in
// vain is no place to be killed at.
func TestRetriesOfAStoreThatCannotList(t *testing.T) {
	t.Parallel()
	cfg := config(t, "unlisted")
	cfg.Once, cfg.Random, cfg.MayHold = false, -1, true
	twice := 0
	for _, r := range semelcrash.Run(t, cfg).Runs {
		if r.Then != (semelcrash.Point{}) {
			twice++
		}
		if !r.Reached || r.Then.N > 1 {
			t.Errorf("%s: reached %v", r.Name, r.Reached)
		}
	}
	if twice == 0 {
		t.Error("no retry was killed")
	}
}

// A mistake that only a second crash brings to light is found, also where the first has
// left the same record behind as one that came before the effect.
func TestMistakesOfRetriesAreFound(t *testing.T) {
	for _, variant := range []string{"recover, once", "forgets"} {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			cfg := config(t, variant)
			cfg.Once, cfg.Random = false, -1
			var doubled []string
			for _, r := range check(t, cfg).Runs {
				if r.Verdict == semelcrash.Doubled {
					doubled = append(doubled, r.Name)
				}
			}
			if len(doubled) == 0 || slices.ContainsFunc(doubled, func(name string) bool { return !strings.Contains(name, ", then ") }) {
				t.Errorf("got doubled %q, want runs with two kills", doubled)
			}
		})
	}
}

// What goes wrong is found, and named.
func TestMistakesAreFound(t *testing.T) {
	for variant, points := range map[string]string{
		"rerun": `
			before Reserve 1: ok
			after Reserve 1: ok
			at paid 1: DOUBLED
			before Complete 1: DOUBLED
			after Complete 1: ok`,
		"forgetful": `
			at paid 1: CONTRADICTED`,
		"rerun, once": `
			before Reserve 1: ok
			after Reserve 1: ok
			at paid 1: REFUSED
			before Complete 1: REFUSED
			after Complete 1: ok`,
	} {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			cfg := config(t, variant)
			cfg.Random = -1
			report := check(t, cfg)
			want(t, report, points)
			if len(report.Failures()) != strings.Count(points, "ED") {
				t.Errorf("failures: %v", report.Failures())
			}
		})
	}
}

// An effect that comes after the answer is lost with the process.
func TestLostEffects(t *testing.T) {
	t.Parallel()
	cfg := config(t, "later")
	settled := cfg.Effects
	cfg.Effects = func(ctx context.Context, key string) (int, error) {
		time.Sleep(200 * time.Millisecond) // the effect takes 50 ms
		return settled(ctx, key)
	}
	cfg.Random = -1
	found := false
	for _, r := range check(t, cfg).Runs {
		found = found || r.Name == "after Complete 1" && r.Verdict == semelcrash.Lost && r.Record == "completed"
	}
	if !found {
		t.Error("nothing was lost after Complete")
	}
}

// What is wrong without a kill is told once.
func TestWrongWithoutAKill(t *testing.T) {
	for variant, verdict := range map[string]semelcrash.Verdict{
		"unguarded": semelcrash.Doubled,
		"released":  semelcrash.Doubled,
		"busy":      semelcrash.Stuck,
		"exits":     semelcrash.Broken,
	} {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			cfg := config(t, variant)
			if variant == "busy" {
				cfg.Patience = 3 * time.Second
			}
			report := check(t, cfg)
			if len(report.Runs) != 1 || report.Runs[0].Verdict != verdict {
				t.Errorf("got %v, want %v", report, verdict)
			}
		})
	}
}

// A service that falls by itself has not been killed, whatever its client is told.
func TestServiceThatFallsLater(t *testing.T) {
	t.Parallel()
	cfg := config(t, "falls")
	cfg.Random = -1 // a kill at random may come after the answer, and then there is nothing to fall
	for i, r := range check(t, cfg).Runs {
		if fell := r.Verdict == semelcrash.Broken && strings.Contains(r.Why, "exit status 3"); fell != (i > 0) {
			t.Errorf("%s: %v: %s", r.Name, r.Verdict, r.Why)
		}
	}
}

// A service that cannot be asked is an error, not a report.
func TestServiceThatDoesNotServe(t *testing.T) {
	for variant, says := range map[string]string{
		"not built": "no ink",
		"silent":    "did not come up within",
		"nonsense":  `no variant "nonsense"`,
	} {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			cfg := config(t, variant)
			if variant == "silent" {
				cfg.Patience = 2 * time.Second
			}
			if report, err := semelcrash.Check(t.Context(), cfg); report == nil || len(report.Runs) != 0 || err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("got %v, %v, want an error that says %q", report, err, says)
			}
		})
	}
}

// What comes after the answer counts too.
func TestLateEffects(t *testing.T) {
	t.Parallel()
	cfg := config(t, "forgetful")
	var mu sync.Mutex
	counted := make(map[string]int)
	cfg.Effects = func(_ context.Context, key string) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		counted[key]++
		return counted[key], nil
	}
	for i, r := range check(t, cfg).Runs {
		if late := i > 0; late != (r.Verdict == semelcrash.Doubled) {
			t.Errorf("%s: %v", r.Name, r.Verdict)
		}
	}
}

// reporter is a test that is told about failures and goes on.
type reporter struct {
	testing.TB
	errors []string
}

func (r *reporter) Helper()           {}
func (r *reporter) Error(args ...any) { r.errors = append(r.errors, fmt.Sprint(args...)) }

// A failure is one sentence, and says how to see it again.
func TestRunReports(t *testing.T) {
	t.Parallel()
	cfg := config(t, "hold")
	cfg.Random = -1
	heard := &reporter{TB: t}
	semelcrash.Run(heard, cfg)
	if len(heard.errors) != 3 {
		t.Fatalf("got %d errors: %q", len(heard.errors), heard.errors)
	}
	want := "HELD: killed after Reserve 1 (the step had happened, and its answer had not arrived): " +
		"nobody knows whether the request was done (there are 0 effects of 1), and it is refused with 409 Conflict (outcome_unknown) until somebody finds out; " +
		"the record is lapsed\nSEMELCRASH_ONLY=\"after Reserve 1\" SEMELCRASH_SEED=7 repeats this run alone"
	if heard.errors[0] != want {
		t.Errorf("got\n%s\nwant\n%s", heard.errors[0], want)
	}
}

// A test that ends takes its services along, and says why there is no report.
func TestCheckEnds(t *testing.T) {
	t.Parallel()
	cause := errors.New("no time")
	ctx, cancel := context.WithCancelCause(t.Context())
	cfg := config(t, "claim")
	inner := cfg.Effects
	cfg.Effects = func(ctx context.Context, key string) (int, error) {
		defer cancel(cause)
		return inner(ctx, key)
	}
	report, err := semelcrash.Check(ctx, cfg)
	if !errors.Is(err, cause) || report == nil || len(report.Runs) != 1 {
		t.Errorf("got %v, %v; want the run without a kill, and %v", report, err, cause)
	}

	cfg.Effects = func(context.Context, string) (int, error) { return 0, cause }
	if _, err := semelcrash.Check(t.Context(), cfg); !errors.Is(err, cause) {
		t.Errorf("got %v, want %v", err, cause)
	}
}
