package sqlitestore

import (
	"sync"
	"time"
)

// clock gives the microseconds since 1970 that leases, retentions and fences
// are measured by. It follows the wall clock but never goes back: when the wall
// clock is set back it goes on at the pace of the monotonic clock, so leases
// end in time.
//
// The zero clock is ready and safe for concurrent use.
type clock struct {
	mu   sync.Mutex
	last int64
	at   time.Time
}

func (c *clock) now() int64 { return c.advance(time.Now()) }

// advance takes the wall clock and the monotonic clock out of t.
func (c *clock) advance(t time.Time) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last != 0 {
		c.last += max(0, t.Sub(c.at).Microseconds())
	}
	c.last, c.at = max(c.last, t.UnixMicro()), t
	return c.last
}

// micros rounds up: a lease of a nanosecond is a lease.
func micros(d time.Duration) int64 {
	us := d.Microseconds()
	if d > time.Duration(us)*time.Microsecond {
		us++
	}
	return us
}

func timeOf(us int64) time.Time { return time.UnixMicro(us).UTC() }
