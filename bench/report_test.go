package main

import (
	"testing"
	"time"
)

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		value  float64
		digits int
		want   string
	}{
		{0, 0, "0"},
		{999.4, 0, "999"},
		{1234, 0, "1\u202f234"},
		{1234567.891, 2, "1\u202f234\u202f567.89"},
		{-1000, 1, "-1\u202f000.0"},
	} {
		if got := number(c.value, c.digits); got != c.want {
			t.Errorf("number(%v, %d): got %q, want %q", c.value, c.digits, got, c.want)
		}
	}
}

func TestRatiosAreTakenWithinARound(t *testing.T) {
	slow, fast := sample{10, 1, 30}, sample{20, 4, 40}
	got := slow.over(fast)
	if got.median() != 0.5 { // 0.5, 0.25, 0.75; the ratio of the medians is 0.5 only by chance of order
		t.Errorf("got %v with median %v, want 0.5", got, got.median())
	}
	if low, high := got.span(); low != 0.25 || high != 0.75 {
		t.Errorf("got %v to %v, want 0.25 to 0.75", low, high)
	}
	if got := (sample{1, 2, 3, 10}).median(); got != 2.5 {
		t.Errorf("median of an even number: got %v, want 2.5", got)
	}
}

func TestGoalsAreJudgedByTheMedian(t *testing.T) {
	if g := atLeast("", sample{0.1, 0.8, 0.9}, 0.8); !g.met {
		t.Errorf("got %+v, want met", g)
	}
	if g := atLeast("", sample{0.79, 0.79, 2}, 0.8); g.met {
		t.Errorf("got %+v, want missed", g)
	}
	if g := atMost("", sample{1, 2, 9}, 2, 0); !g.met {
		t.Errorf("got %+v, want met", g)
	}
	if g := atMost("", sample{1, 2.1, 9}, 2, 0); g.met {
		t.Errorf("got %+v, want missed", g)
	}
}

func TestBusiestTick(t *testing.T) {
	at := func(ms int) renewCall {
		return renewCall{at: time.Unix(0, 0).Add(time.Duration(ms) * time.Millisecond), holders: 5}
	}
	calls := renewCalls{at(0), at(1), at(100), at(101), at(102), at(200)}
	if got := calls.busiest(50 * time.Millisecond); got != 3 {
		t.Errorf("got %d calls in the busiest tick, want 3", got)
	}
	if _, err := calls.renewed(31); err == nil {
		t.Error("30 leases of 31 attempts: got no error, want one")
	}
}
