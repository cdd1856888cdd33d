package redisstore

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// crowd lets callers run a step each, in a bubble where sending takes a second,
// and returns the sizes of the batches, the smallest first: two are sent at the
// same time, in any order.
func crowd(t *testing.T, callers, bytes int) (sizes []int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		under := 0
		l := &lane{send: func(steps []*step) {
			mu.Lock()
			sizes = append(sizes, len(steps))
			if under++; under > maxSenders {
				t.Errorf("%d pipelines are under way, want %d at most", under, maxSenders)
			}
			mu.Unlock()
			time.Sleep(100 * time.Millisecond)
			mu.Lock()
			under--
			mu.Unlock()
			for _, s := range steps {
				s.err = nil
			}
		}}
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				s := &step{bytes: bytes}
				if l.do(s); s.err != nil {
					t.Error(s.err)
				}
			})
		}
		wg.Wait()
		if l.senders != 0 || len(l.queue) != 0 {
			t.Errorf("%d senders and %d batches are left", l.senders, len(l.queue))
		}
	})
	slices.Sort(sizes)
	return sizes
}

// Who comes while the senders are busy shares the next pipeline; who comes
// alone waits for nobody.
func TestCallersShareAPipeline(t *testing.T) {
	t.Parallel()
	if got := fmt.Sprint(crowd(t, 1, 1)); got != "[1]" {
		t.Errorf("one caller: got batches %v", got)
	}
	if got := fmt.Sprint(crowd(t, 64, 1)); got != "[1 1 62]" {
		t.Errorf("64 callers: got batches %v", got)
	}
	if got := fmt.Sprint(crowd(t, 2+maxBatchSteps+1, 1)); got != fmt.Sprintf("[1 1 1 %d]", maxBatchSteps) {
		t.Errorf("too many for one: got batches %v", got)
	}
	if got := fmt.Sprint(crowd(t, 5, maxBatchBytes)); got != "[1 1 1 1 1]" {
		t.Errorf("large steps: got batches %v", got)
	}
}

// The steps of one caller go in as few batches as there may be.
func TestDoAll(t *testing.T) {
	t.Parallel()
	var sizes []int
	l := &lane{send: func(steps []*step) { sizes = append(sizes, len(steps)) }}
	steps := make([]*step, 600)
	for i := range steps {
		steps[i] = &step{}
	}
	l.doAll(steps)
	if got := fmt.Sprint(sizes); got != "[256 256 88]" {
		t.Errorf("got batches %v", got)
	}
}

// A step that waited too long for its turn is not sent any more.
func TestQueueForgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Int64
		l := &lane{send: func(steps []*step) {
			sent.Add(int64(len(steps)))
			for _, s := range steps {
				s.err = nil
			}
			time.Sleep(2 * maxQueued)
		}}
		var wg sync.WaitGroup
		for i := range 5 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				s := &step{}
				l.do(s)
				if want := i >= maxSenders; want != errors.Is(s.err, errNotSent) {
					t.Errorf("step %d: got error %v, want it refused: %v", i, s.err, want)
				}
			})
		}
		wg.Wait()
		if sent.Load() != maxSenders {
			t.Errorf("%d steps were sent, want %d", sent.Load(), maxSenders)
		}
	})
}

// refusal is an error that a server answers.
type refusal string

func (e refusal) Error() string { return string(e) }
func (refusal) RedisError()     {}

// What the server refuses for a passing reason is repeated for all steps of a
// caller at a time: a thousand renewals give up as soon as one.
func TestPassingRefusals(t *testing.T) {
	t.Parallel()
	for passes, want := range map[time.Duration]error{100 * time.Millisecond: nil, time.Hour: refusal("LOADING 1")} {
		synctest.Test(t, func(t *testing.T) {
			start, sent := time.Now(), 0
			r := newRouter(nil, waiting{})
			r.lanes[""] = &lane{send: func(steps []*step) {
				for _, s := range steps {
					sent++
					if s.err = nil; s.key == "refused" && time.Since(start) < passes {
						s.err = refusal("LOADING 1")
					}
				}
			}}
			steps := make([]*step, 1000)
			for i := range steps {
				steps[i] = &step{key: []string{"refused", "done"}[i%2]}
			}
			r.doAll(t.Context(), steps)
			if took := time.Since(start); took > time.Second {
				t.Errorf("it took %v, want about a second at most", took)
			}
			for i, s := range steps {
				if i%2 == 0 && s.err != want || i%2 == 1 && s.err != nil { //nolint:errorlint // the very error
					t.Fatalf("step %d: got error %v, want %v", i, s.err, want)
				}
			}
			if most := 500 + 500*maxTries; sent > most {
				t.Errorf("%d steps were sent, want %d at most: what is done is not repeated", sent, most)
			}
		})
	}
}

// A panic of the client reaches the caller who sent, and nobody waits for ever.
func TestSenderPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &lane{send: func([]*step) { time.Sleep(time.Second); panic("boom") }}
		var wg sync.WaitGroup
		var mu sync.Mutex
		panics, refused := 0, 0
		for range 10 {
			wg.Go(func() {
				s := &step{}
				defer func() {
					mu.Lock()
					defer mu.Unlock()
					if recover() != nil {
						panics++
					} else if errors.Is(s.err, errNotSent) {
						refused++
					}
				}()
				l.do(s)
			})
		}
		wg.Wait()
		if panics != 3 || refused != 7 {
			t.Errorf("got %d panics and %d refusals, want 3 and 7", panics, refused)
		}
	})
}

// Callers share the check that runs, and it ends with its first success.
func TestGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g gate
		runs := 0
		fail := errors.New("not yet")
		check := func() error {
			runs++
			time.Sleep(time.Second)
			if runs == 1 {
				return fail
			}
			return nil
		}
		pass := func(want error) {
			t.Helper()
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() {
					if err := g.pass(check); !errors.Is(err, want) {
						t.Errorf("got error %v, want %v", err, want)
					}
				})
			}
			wg.Wait()
		}
		pass(fail)
		pass(nil)
		pass(nil)
		if runs != 2 {
			t.Errorf("the check ran %d times, want 2", runs)
		}
	})
}
