package semel

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unsafe"
)

// The list of running attempts holds exactly those that were added and not
// removed, whatever the order, and each one once.
func TestAttemptsListWhatRuns(t *testing.T) {
	const seed = 1
	r := rand.New(rand.NewPCG(seed, seed))
	e := &Engine{closed: true} // starts no goroutine
	a := &e.running
	var want []*Claim
	for range 5000 {
		switch n := r.IntN(5); {
		case n < 2:
			c := new(Claim)
			if !a.add(e, c) {
				t.Fatal("add refused a claim, want it listed")
			}
			want = append(want, c)
		case n < 4 && len(want) > 0:
			i := r.IntN(len(want))
			a.remove(want[i])
			a.remove(want[i]) // twice is once
			want = slices.Delete(want, i, i+1)
		case len(want) > 0:
			i := r.IntN(len(want))
			a.mu.Lock()
			a.end(want[i], ErrOverran)
			a.mu.Unlock()
			if err := a.ended(want[i]); !errors.Is(err, ErrOverran) {
				t.Fatalf("got end %v, want ErrOverran", err)
			}
			want = slices.Delete(want, i, i+1)
		}
		got := map[*Claim]bool{}
		var before *Claim
		for c := a.first; c != nil; c = c.attempt.next {
			if c.attempt.prev != before || !c.attempt.listed || got[c] {
				t.Fatalf("seed %d: the list is broken", seed)
			}
			got[c], before = true, c
		}
		if len(got) != len(want) {
			t.Fatalf("seed %d: got %d attempts listed, want %d", seed, len(got), len(want))
		}
		for _, c := range want {
			if !got[c] {
				t.Fatalf("seed %d: an attempt that runs is not listed", seed)
			}
		}
	}
	a.closed = true
	if a.add(e, new(Claim)) {
		t.Error("a closed list took an attempt")
	}
}

// asleep returns t as it would have been read if the monotonic clock had stood
// still for d since: the clocks of a virtual machine that was suspended.
func asleep(t time.Time, d time.Duration) time.Time {
	parts := (*struct {
		wall uint64
		ext  int64 // the monotonic clock, while hasMonotonic is set in wall
		loc  *time.Location
	})(unsafe.Pointer(&t))
	parts.ext += int64(d)
	return t
}

// Time that a suspended machine slept through counts: the lease did not sleep.
func TestElapsedSeesASuspension(t *testing.T) {
	now := time.Now()
	since := asleep(now.Add(-time.Hour-time.Second), time.Hour)
	if mono, wall := now.Sub(since), now.Round(0).Sub(since.Round(0)); mono != time.Second || wall != time.Hour+time.Second {
		t.Fatalf("got clocks of %v and %v, want 1 s and an hour more: package time has changed", mono, wall)
	}
	if got, want := elapsed(since, now), time.Hour+time.Second; got != want {
		t.Errorf("after a suspension: got %v, want %v", got, want)
	}
	// The wall clock was set back: the monotonic one counts.
	if got, want := elapsed(asleep(now.Add(time.Hour-time.Second), -time.Hour), now), time.Second; got != want {
		t.Errorf("after a step back: got %v, want %v", got, want)
	}
}

// The first look after a suspension ends what may have lapsed meanwhile.
func TestLookAfterASuspension(t *testing.T) {
	now := time.Now()
	c := &Claim{engine: new(Engine)}
	c.attempt.started = asleep(now.Add(-time.Minute), time.Minute-time.Second)
	c.attempt.renewed, c.attempt.asked, c.attempt.maxRun = c.attempt.started, c.attempt.started, time.Hour
	c.attempt.lease = 30 * time.Second
	a := new(attempts)
	a.watched = true // by this test
	a.add(c.engine, c)
	ctx := &attemptContext{claim: c, values: context.Background()}
	a.attach(c, ctx)
	due, _, idle := a.look(true)
	if len(due) != 0 || !idle {
		t.Errorf("got %d to renew, idle %v, want nothing left", len(due), idle)
	}
	if got := context.Cause(ctx); !errors.Is(got, ErrLost) {
		t.Errorf("got cause %v, want ErrLost", got)
	}
}

// Looking a value up, as observers and loggers do in each request, makes no part that can be
// cancelled; asking for the cause does.
func TestValuesNeedNoCancellation(t *testing.T) {
	type key struct{}
	c := &Claim{engine: new(Engine)}
	client, leave := context.WithCancelCause(context.WithValue(context.Background(), key{}, "trace"))
	leave(errors.New("of the client"))
	ctx := &attemptContext{claim: c, values: client}
	if got := ctx.Value(key{}); got != "trace" {
		t.Errorf("got %v, want the client's", got)
	}
	if ctx.inner != nil {
		t.Error("a value was looked up in the part that can be cancelled")
	}
	if cause := context.Cause(ctx); cause != nil {
		t.Errorf("got cause %v, want none: it is the client's", cause)
	}
	ctx.end(ErrLost)
	if cause := context.Cause(ctx); !errors.Is(cause, ErrLost) {
		t.Errorf("got cause %v, want ErrLost", cause)
	}
}
