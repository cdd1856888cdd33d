package semelcrash

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Run kills the service of cfg at every step of its request and fails the test with
// a sentence for each run that did not end well. The test's deadline bounds it.
// Where a process cannot be killed as on Linux and macOS the test is skipped.
func Run(tb testing.TB, cfg Config) *Report {
	tb.Helper()
	if !supported {
		tb.Skip("semelcrash: this system cannot kill as it must: Linux and macOS can")
	}
	ctx := tb.Context()
	if t, ok := tb.(interface{ Deadline() (time.Time, bool) }); ok {
		if deadline, ok := t.Deadline(); ok {
			const toReport = 5 * time.Second
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, deadline.Add(-toReport))
			defer cancel()
		}
	}
	report, err := Check(ctx, cfg)
	if report != nil {
		tb.Log(report)
		for _, bad := range report.Failures() {
			tb.Error(bad.sentence(report.Seed))
		}
	}
	if err != nil {
		tb.Fatal(err)
	}
	return report
}

// Check is Run for programs that judge the report themselves. An error means that
// it came to no end: cfg is not valid, the service cannot be built, it takes no step,
// Config.Effects failed, or ctx ended. The report is then of the runs so far, or nil.
func Check(ctx context.Context, cfg Config) (*Report, error) {
	if !supported {
		return nil, fmt.Errorf("semelcrash: %w on this system", errors.ErrUnsupported)
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	h := &harness{cfg: cfg, name: "crash-" + rand.Text()[:12], http: newHTTP()}
	h.report = &Report{Seed: cfg.Seed, hold: cfg.MayHold}
	points, took, err := h.dry(ctx)
	if err != nil {
		return h.report, err
	}
	if len(h.report.Failures()) > 0 {
		return h.report, nil // whatever follows would say the same
	}
	if len(points) == 0 {
		return h.report, errors.New("semelcrash: the request took no step: does the service use Process.Store or Process.Transactions?")
	}
	jobs, random := h.plan(points), h.moments(took)
	if err := h.all(ctx, jobs); err != nil {
		return h.report, err
	}
	return h.report, h.all(ctx, append(h.retries(), random...))
}

const dryRun = "without a kill"

// harness is one call of Check.
type harness struct {
	cfg    Config
	name   string // begins every key
	keys   int    // that were used, after the first
	http   *http.Client
	report *Report
}

// strike is one kill: at a point, or so long after the request was sent.
type strike struct {
	point  Point
	after  time.Duration
	lapsed bool // the request is sent when no attempt holds its slot any more
}

// job is one run to come.
type job struct {
	name    string
	strikes []strike
}

// dry sends one request without a kill. It returns the points that it came to and
// how long it took.
func (h *harness) dry(ctx context.Context) ([]Point, time.Duration, error) {
	r := Result{Name: dryRun, Key: h.name + "-0", Reached: true}
	s, err := start(ctx, h.cfg, Point{})
	if err != nil {
		return nil, 0, err
	}
	defer s.kill()
	begun := time.Now()
	c := client{h.cfg, r.Key, h.http}
	first := c.ask(ctx, s)
	took := time.Since(begun)
	s.record(ctx, h.http, r.Key)
	points := s.passed()
	err = h.conclude(ctx, &r, c, s, first)
	h.report.Runs = append(h.report.Runs, r)
	return points, took, err
}

// plan lists the runs with one kill, one for each point.
func (h *harness) plan(points []Point) []job {
	var jobs []job
	for i, p := range points {
		if !slices.Contains(points[:i], p) {
			jobs = append(jobs, job{p.String(), []strike{{point: p}}})
		}
	}
	return chosen(jobs, func(only string) string { first, _, _ := strings.Cut(only, then); return first })
}

// moments lists the runs with kills at random moments.
func (h *harness) moments(took time.Duration) []job {
	var jobs []job
	const maxKills = 3
	for n := range h.cfg.Random {
		choose := mathrand.New(mathrand.NewPCG(h.cfg.Seed, uint64(n)))
		j := job{name: fmt.Sprintf("%v %d", Point{}, n+1)}
		for range 1 + choose.IntN(maxKills) {
			j.strikes = append(j.strikes, strike{after: time.Duration(choose.Int64N(int64(took + took/2 + 1)))})
		}
		jobs = append(jobs, j)
	}
	return chosen(jobs, func(only string) string { return only })
}

// chosen returns the jobs that the environment wants.
func chosen(jobs []job, wanted func(only string) string) []job {
	if only := os.Getenv(onlyEnv); only != "" {
		jobs = slices.DeleteFunc(jobs, func(j job) bool { return j.name != wanted(only) })
	}
	return jobs
}

// all does the jobs, some at once, and counts the effects of all of them once
// more: what comes later than the answer counts too.
func (h *harness) all(ctx context.Context, jobs []job) error {
	results, errs := make([]Result, len(jobs)), make([]error, len(jobs))
	places := make(chan struct{}, h.cfg.Parallel)
	var wg sync.WaitGroup
	for i, j := range jobs {
		h.keys++
		key := fmt.Sprintf("%s-%d", h.name, h.keys)
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			results[i], errs[i] = h.one(ctx, j, key)
		})
	}
	wg.Wait()
	for i, r := range results {
		if errs[i] == nil {
			errs[i] = h.recount(ctx, &r)
			h.report.Runs = append(h.report.Runs, r)
		}
	}
	return errors.Join(errs...)
}

// one is one run: kills, a last restart, and a client that is told how it ended.
func (h *harness) one(ctx context.Context, j job, key string) (Result, error) {
	r := Result{Name: j.name, Key: key, Point: j.strikes[0].point, Reached: true}
	c := client{h.cfg, key, h.http}
	for i, blow := range j.strikes {
		if i > 0 {
			r.Then = blow.point
		}
		s, err := start(ctx, h.cfg, blow.point)
		if err != nil {
			return h.broken(ctx, r, err)
		}
		if blow.point == (Point{}) {
			timer := time.AfterFunc(blow.after, func() { _ = s.cmd.Process.Kill() })
			defer timer.Stop()
		}
		if blow.lapsed {
			h.awaitLapse(ctx, s, key)
		}
		told := c.ask(ctx, s)
		if told.told == Done && r.First == nil {
			r.First = &told.answer
		}
		s.kill()
		if !s.killed() {
			return h.broken(ctx, r, s.end())
		}
		r.Reached = r.Reached && slices.Contains(s.passed(), blow.point)
	}
	s, err := start(ctx, h.cfg, Point{})
	if err != nil {
		return h.broken(ctx, r, err)
	}
	defer s.kill()
	noted := !h.cfg.Once && j.strikes[0].point != (Point{}) && len(j.strikes) == 1
	if noted {
		if r.after, err = h.left(ctx, s, key); err != nil {
			return h.broken(ctx, r, err)
		}
	}
	told := c.ask(ctx, s)
	if noted {
		r.after.points = h.retried(ctx, s, r)
	}
	err = h.conclude(ctx, &r, c, s, told)
	return r, err
}

// broken ends a run whose service did not do its part.
func (h *harness) broken(ctx context.Context, r Result, err error) (Result, error) {
	r.Verdict, r.Why = Broken, err.Error()
	return r, context.Cause(ctx)
}

// conclude judges a run whose client was told how it ended. A client that was told
// Done asks once more, if it has not been told before.
func (h *harness) conclude(ctx context.Context, r *Result, c client, s *service, told heard) error {
	r.Tries = told.tries
	if told.told == Done && r.First == nil {
		first := told.answer
		r.First = &first
		told = c.ask(ctx, s)
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if told.told == Again && s.gone(0) {
		r.Verdict, r.Why = Broken, s.end().Error()
		return nil
	}
	r.Last, r.Told, r.err = told.answer, told.told, told.err
	r.Record = s.record(ctx, h.http, r.Key)
	return h.count(ctx, r)
}

// count counts the effects and judges.
func (h *harness) count(ctx context.Context, r *Result) error {
	n, err := h.cfg.Effects(ctx, r.Key)
	if err != nil {
		return fmt.Errorf("semelcrash: the effects of %s cannot be counted: %w", r.Key, err)
	}
	r.Effects = n
	r.judge(h.cfg.Want)
	return nil
}

// recount counts again when all is over.
func (h *harness) recount(ctx context.Context, r *Result) error {
	if r.Verdict == Broken {
		return nil
	}
	return h.count(ctx, r)
}
