package sqlitestore

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/semel-go/semel"
)

// The clock follows the wall clock forth and never back, and goes on while the
// wall clock stands behind it.
func TestClock(t *testing.T) {
	var c clock
	start := time.Now()
	first := c.advance(start)
	if got, want := first, start.UnixMicro(); got != want {
		t.Errorf("got %d at first, want %d", got, want)
	}
	// Round(0) strips the monotonic reading: Sub then sees the wall clock alone.
	if got := c.advance(start.Round(0).Add(-time.Hour)); got != first {
		t.Errorf("got %d after the clock was set back, want %d", got, first)
	}
	ahead := c.advance(start.Add(2 * time.Second))
	if got, want := ahead-first, int64(2_000_000); got < want {
		t.Errorf("got %d µs of progress, want at least %d", got, want)
	}
	if got := c.advance(start.Add(3 * time.Second)); got < ahead+1_000_000 {
		t.Errorf("got %d, want a second after %d", got, ahead)
	}
}

// I6: fences grow across a purge and a restart although the clock was set back.
func TestFenceGrowsThoughTheClockGoesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "semel.db")
	r := semel.Reservation{
		Key: semel.Key{Scope: "s", ID: "k"}, Token: semel.NewToken(),
		Lease: time.Minute, Retention: time.Microsecond,
	}
	ahead := time.Now().Add(24 * time.Hour).UnixMicro()
	s, err := Open(path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	s.clock.last, s.clock.at = ahead, time.Now()
	held, err := s.Reserve(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if held.Fence < ahead {
		t.Fatalf("got fence %d, want it from the clock, after %d", held.Fence, ahead)
	}
	if err := s.Release(t.Context(), r.Key, r.Token); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Purge(t.Context(), 1); err != nil || n != 1 {
		t.Fatalf("got %d purged and error %v, want 1", n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	if s, err = Open(path, Config{}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	r.Token = semel.NewToken()
	next, err := s.Reserve(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if next.Fence <= held.Fence {
		t.Errorf("got fence %d after the purge and the restart, want more than %d", next.Fence, held.Fence)
	}
	if next.CreatedAt.UnixMicro() >= ahead {
		t.Errorf("got a record of %v, want the clock of this process", next.CreatedAt)
	}
}
