package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// recorder takes the place of a testing.T for a case that is to fail.
type recorder struct {
	ctx context.Context //nolint:containedctx // as a testing.T has one

	mu            sync.Mutex
	errors, skips []string
}

func (r *recorder) Helper()                  {}
func (r *recorder) Context() context.Context { return r.ctx }
func (r *recorder) FailNow()                 { runtime.Goexit() }

func (r *recorder) Errorf(format string, args ...any) { r.note(&r.errors, format, args) }

func (r *recorder) Skipf(format string, args ...any) {
	r.note(&r.skips, format, args)
	runtime.Goexit()
}

func (r *recorder) note(list *[]string, format string, args []any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*list = append(*list, fmt.Sprintf(format, args...))
}

// try runs a case in virtual time and returns what it reported.
func try(t *testing.T, c testCase, s semel.Store) *recorder {
	t.Helper()
	return tryAt(t, c, s, virtualPace)
}

func tryAt(t *testing.T, c testCase, s semel.Store, p pace) *recorder {
	t.Helper()
	r := &recorder{ctx: t.Context()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.check(r, s, p)
	}()
	<-done
	return r
}

// A right store passes every case; memstore has every capability but that to sift, which
// the mutant without a defect adds, so nothing is skipped.
func TestSuitePassesARightStore(t *testing.T) {
	for _, c := range cases() {
		synctest.Test(t, func(t *testing.T) {
			got := try(t, c, &mutant{Store: memstore.New(memstore.Config{})})
			if len(got.errors)+len(got.skips) > 0 {
				t.Errorf("%s: got errors %q, skips %q, want none", c.name, got.errors, got.skips)
			}
		})
	}
}

// A store without any capability passes what is left, and every skip says why.
func TestSuiteSkipsWhatAStoreLacks(t *testing.T) {
	ran := 0
	for _, c := range cases() {
		synctest.Test(t, func(t *testing.T) {
			got := try(t, c, forgetful{memstore.New(memstore.Config{})})
			if len(got.errors) > 0 {
				t.Errorf("%s: got errors %q, want none", c.name, got.errors)
			}
			switch len(got.skips) {
			case 0:
				ran++
			case 1:
				if !strings.HasPrefix(got.skips[0], "the store is no ") && got.skips[0] != noPromise {
					t.Errorf("%s: got skip %q, want what is missing", c.name, got.skips[0])
				}
			default:
				t.Errorf("%s: got skips %q, want one at most", c.name, got.skips)
			}
		})
	}
	if want := len(cases()) / 2; ran < want {
		t.Errorf("%d cases ran, want at least %d", ran, want)
	}
}

// noPromise is said of a store that knows no [semel.Reservation].Deferred.
const noPromise = "the store does not keep the promise of a deferred reservation"

// forgetful is a store without any capability, from before there were promises.
type forgetful struct{ semel.Store }

func (f forgetful) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	r.Deferred, r.TakeOverBlameless = false, false
	return f.Store.Reserve(ctx, r)
}

// A store that keeps promises but cannot end them passes the cases of those.
func TestSuiteRunsPromisesWithoutBeginner(t *testing.T) {
	for _, c := range deferredCases {
		synctest.Test(t, func(t *testing.T) {
			got := try(t, c, struct{ semel.Store }{memstore.New(memstore.Config{})})
			if len(got.errors) > 0 || len(got.skips) > 0 && c.name != "deferred/renew" {
				t.Errorf("%s: got errors %q, skips %q, want none", c.name, got.errors, got.skips)
			}
		})
	}
}

// A failure quotes the rule that is broken.
func TestFailureQuotesTheRule(t *testing.T) {
	c := testCase{"name", "I99: the rule.", func(k *kit) { k.must("step", errors.New("boom")) }}
	got := try(t, c, memstore.New(memstore.Config{}))
	if n := len(got.errors); n != 2 || !strings.Contains(got.errors[1], "I99: the rule.") {
		t.Errorf("got errors %q, want the failure and the rule", got.errors)
	}
}

// With Expires a purge may count less than was deleted, and not more; and what
// is over must be gone all the same.
func TestExpiresIsAnUpperBound(t *testing.T) {
	for count, want := range map[string]bool{"less": true, "more": false, "nothing is gone": false} {
		for _, c := range purgeCases {
			if c.name != "purge/removes" {
				continue
			}
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				m := &mutant{Store: memstore.New(memstore.Config{})}
				m.purge = func(ctx context.Context, limit int) (int, error) {
					if count == "nothing is gone" {
						return 0, nil
					}
					_, err := m.Store.Purge(ctx, limit)
					if calls++; count == "more" && calls == 1 {
						return 3, err
					}
					return 0, err
				}
				got := tryAt(t, c, m, Suite{Expires: true}.pace(virtualPace))
				if passed := len(got.errors) == 0; passed != want {
					t.Errorf("%s: got errors %q, want a pass: %v", count, got.errors, want)
				}
			})
		}
	}
}
