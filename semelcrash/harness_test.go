//go:build unix

package semelcrash

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// alone is a service that needs no database.
func alone(t *testing.T) Config {
	t.Helper()
	cfg, err := Config{
		Args:    []string{"alone"},
		Request: func(base, _ string) (*http.Request, error) { return http.NewRequest(http.MethodGet, base, nil) },
		Effects: func(context.Context, string) (int, error) { return 1, nil },
	}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// A service ends with the test that has started it, however that ends.
func TestServiceEndsWithItsTest(t *testing.T) {
	s, err := start(t.Context(), alone(t), Point{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	_ = s.in.Close() // as the kernel does when the test's process is gone
	if !s.gone(time.Minute) {
		t.Error("it lives on")
	}
}

// A variable that was left in the environment starts nothing.
func TestVariableAlone(t *testing.T) {
	wrong := func(t *testing.T, cmd *exec.Cmd) {
		t.Helper()
		cmd.Env = append(os.Environ(), childEnv+"=word")
		out, err := cmd.CombinedOutput()
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 || !strings.Contains(string(out), errNoTest.Error()) {
			t.Errorf("got %v and %s, want exit status 1 and %v", err, out, errNoTest)
		}
	}
	t.Run("no pipes", func(t *testing.T) {
		wrong(t, exec.Command(os.Args[0], "-test.run=^$"))
	})
	t.Run("another word", func(t *testing.T) {
		in, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = in.Close() }()
		if _, err := out.WriteString(`{"Word":"another"}` + "\n"); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.ExtraFiles = []*os.File{in, out}
		wrong(t, cmd)
		_ = out.Close()
	})
}

// A test without Main is told so.
func TestWithoutMain(t *testing.T) {
	cfg := alone(t)
	var err error
	if cfg.exe, err = exec.LookPath("true"); err != nil {
		t.Skip(err)
	}
	if _, err := start(t.Context(), cfg, Point{}); err == nil || !strings.Contains(err.Error(), "semelcrash.Main") {
		t.Errorf("got %v", err)
	}
}

// The moments follow from the seed, and one run can be repeated alone.
func TestPlan(t *testing.T) {
	plan := func(seed uint64) []job {
		cfg := alone(t)
		cfg.Seed = seed
		h := &harness{cfg: cfg}
		p, q := Point{Before, StepReserve, 1}, Point{After, StepReserve, 1}
		return append(h.plan([]Point{p, q, p}), h.moments(time.Hour)...)
	}
	same := func(a, b job) bool { return a.name == b.name && slices.Equal(a.strikes, b.strikes) }
	first := plan(1)
	if !slices.EqualFunc(first, plan(1), same) {
		t.Error("the same seed makes other moments")
	}
	if slices.EqualFunc(first, plan(2), same) {
		t.Error("another seed makes the same moments")
	}
	var names []string
	for _, j := range first {
		names = append(names, j.name)
	}
	if want := []string{"before Reserve 1", "after Reserve 1", "at random 1", "at random 2", "at random 3", "at random 4"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	t.Setenv(onlyEnv, "at random 2")
	if only := plan(1); len(only) != 1 || !same(only[0], first[3]) {
		t.Errorf("got %v, want %v", only, first[3])
	}
	t.Setenv(onlyEnv, "after Reserve 1, then before Reserve 1")
	if only := plan(1); len(only) != 1 || !same(only[0], first[1]) { // which the second kill needs
		t.Errorf("got %v, want %v", only, first[1])
	}
	t.Setenv(onlyEnv, "")
	t.Setenv(seedEnv, "2")
	if alone(t).Seed != 2 {
		t.Error("the seed of the environment does not count")
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *Config){
		"Request":  func(_ *testing.T, c *Config) { c.Request = nil },
		"Effects":  func(_ *testing.T, c *Config) { c.Effects = nil },
		"negative": func(_ *testing.T, c *Config) { c.Parallel = -1 },
		seedEnv:    func(t *testing.T, _ *Config) { t.Setenv(seedEnv, "x") },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := alone(t)
			change(t, &cfg)
			if _, err := Check(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A request that cannot be made is not tried again.
func TestRequestThatCannotBeMade(t *testing.T) {
	cfg := alone(t)
	cfg.Request = func(string, string) (*http.Request, error) { return nil, errors.New("no paper") }
	report, err := Check(t.Context(), cfg)
	if err != nil || len(report.Runs) != 1 || report.Runs[0].Verdict != Stuck || !strings.Contains(report.Runs[0].Why, "no paper") {
		t.Errorf("got %v, %v", report, err)
	}
}
