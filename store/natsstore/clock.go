package natsstore

import (
	"sync/atomic"
	"time"
)

// sampleAge is how long an answer of the server about its time is built upon.
// A new leader may have another clock.
const sampleAge = 5 * time.Second

// drift is the part by which two clocks may differ in rate: one in so many.
// Daemons slew a clock by up to one in 2000.
const drift = 1000

// clock knows the time of the stream's leader within bounds. This process's
// clock only measures how long ago the leader was asked.
type clock struct {
	now  func() time.Time
	last atomic.Pointer[sample]
}

// sample is one answer.
type sample struct {
	server         int64 // nanoseconds since 1970
	sent, received time.Time
}

// learn takes in an answer.
func (c *clock) learn(s sample) { c.last.Store(&s) }

// bounds returns instants between which the leader's time is, and false when
// too little is known.
func (c *clock) bounds() (earliest, latest int64, ok bool) {
	s := c.last.Load()
	if s == nil {
		return 0, 0, false
	}
	now := c.now()
	least, _ := between(s.received, now)
	_, most := between(s.sent, now)
	earliest, latest = after(s.server, least-least/drift), after(s.server, most+most/drift)
	return earliest, latest, most < sampleAge && earliest <= latest
}

// about is the leader's time for people. It is right within a round trip.
func (c *clock) about() int64 {
	earliest, latest, _ := c.bounds()
	return earliest + (latest-earliest)/2
}

// between returns how much time passed at least and at most. While a machine is
// suspended the monotonic clock stands still; the wall clock may be set.
func between(from, to time.Time) (least, most time.Duration) {
	steady := to.Sub(from)
	wall := to.Round(0).Sub(from.Round(0))
	return max(0, min(steady, wall)), max(0, steady, wall)
}
