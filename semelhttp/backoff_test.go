package semelhttp

import (
	"math"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestCeilingDoublesUpToTheMaximum(t *testing.T) {
	cfg, err := TransportConfig{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	for count, want := range map[int]time.Duration{
		1: 100 * time.Millisecond, 2: 200 * time.Millisecond, 3: 400 * time.Millisecond, 6: 3200 * time.Millisecond,
		7: 5 * time.Second, 8: 5 * time.Second, 64: 5 * time.Second, 100_000: 5 * time.Second,
	} {
		if got := cfg.ceiling(count); got != want {
			t.Errorf("after try %d: got %v, want %v", count, got, want)
		}
	}
	cfg.BaseDelay, cfg.MaxDelay = 1, math.MaxInt64
	if got := cfg.ceiling(200); got <= 0 {
		t.Errorf("got %v, an overflow", got)
	}
}

// TestJitterIsFull draws often enough that each tenth of the range is hit,
// except once in more than 10⁴⁰ runs.
func TestJitterIsFull(t *testing.T) {
	cfg, err := TransportConfig{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	var tenths [10]int
	for range 1000 {
		got, ok := cfg.pause(nil, 3)
		if !ok || got < 0 || got > 400*time.Millisecond {
			t.Fatalf("got %v, %v, want 0 to 400ms", got, ok)
		}
		tenths[min(got/(40*time.Millisecond), 9)]++
	}
	for i, n := range tenths {
		if n == 0 {
			t.Errorf("no pause in tenth %d: %v", i, tenths)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // dates count from the bubble's clock, which stands still
		cfg, err := TransportConfig{}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
		for value, want := range map[string]time.Duration{
			"1": time.Second, "30": 30 * time.Second, " 2 ": 2 * time.Second, "0": 0, "007": 7 * time.Second,
			date(3 * time.Second): 3 * time.Second, date(-time.Hour): 0,
			time.Now().Add(5 * time.Second).UTC().Format(time.RFC850): 5 * time.Second,
			time.Now().Add(5 * time.Second).UTC().Format(time.ANSIC):  5 * time.Second,
		} {
			got, ok := cfg.pause(http.Header{"Retry-After": {value}}, 1)
			if !ok || got < want || got > want+cfg.BaseDelay {
				t.Errorf("%q: got %v, %v, want %v and a little", value, got, ok, want)
			}
		}
		for _, value := range []string{"31", "3600", "9223372036854775807", "99999999999999999999999", date(time.Hour), date(31 * time.Second)} {
			if got, ok := cfg.pause(http.Header{"Retry-After": {value}}, 1); ok {
				t.Errorf("%q: got %v, want no wait that long", value, got)
			}
		}
		for _, value := range []string{"", "-1", "+1", "1.5", "soon", "1s", "Mon, 99 Jan 2000 00:00:00 GMT"} {
			if got, ok := cfg.pause(http.Header{"Retry-After": {value}}, 1); !ok || got > cfg.BaseDelay {
				t.Errorf("%q: got %v, %v, want the usual pause", value, got, ok)
			}
		}
	})
}
