package proof

import (
	"fmt"
	"time"

	"github.com/semel-go/semel"
)

// phase is what the model believes a slot to be in. A slot whose retention is
// over is still free or completed here: whether it was purged cannot be seen.
type phase uint8

const (
	absent phase = iota // nobody ever reserved it
	free
	reserved
	completed
)

func (p phase) String() string { return [...]string{"absent", "free", "reserved", "completed"}[p] }

// span is the earliest and the latest time at which something may end, on the
// clock of the history. The store took its time somewhere between call and return.
type span struct{ lo, hi int64 }

func spanOf(c Call, a Answer, d time.Duration) span {
	return span{c.At + int64(d-c.Slack), a.At + int64(d+c.Slack)}
}

// kept is the span in which a retention that begins with c ends.
func kept(c Call, a Answer) span {
	s := spanOf(c, a, c.Retention)
	s.hi += int64(c.Grace)
	return s
}

// may reports whether the span, and margin, may have been over when a was given.
func (s span) may(margin time.Duration, a Answer) bool { return a.At >= s.lo+int64(margin) }

// must reports whether it was over for certain when c was made.
func (s span) must(margin time.Duration, c Call) bool { return c.At >= s.hi+int64(margin) }

// slot is the sequential object that every store must look like. It is comparable.
type slot struct {
	phase phase
	print semel.Fingerprint
	// token holds or completed the slot; in phase free it released it. With
	// foreign set the store made a token that nobody has seen yet.
	token   semel.Token
	foreign bool
	// fence is exact, or with open set smaller than the true one: the grant's
	// answer was lost.
	fence            int64
	open             bool
	attempts, lapses int
	response         Digest
	lease, expiry    span
	ended            bool // the lease was ended whatever the margin
}

// step returns every state that the slot can be in after c was answered by a;
// none if it cannot have been answered so. A lost answer leaves two: the step
// happened, or it did not.
func step(s slot, c Call, a Answer) []slot {
	switch c.Kind {
	case Reserve:
		return s.reserve(c, a)
	case Complete:
		return s.complete(c, a)
	case Release:
		return s.release(c, a)
	case Renew:
		return s.renew(c, a)
	case Resolve:
		return s.resolve(c, a)
	case Look:
		return s.look(c, a)
	}
	panic("no such step")
}

// held reports whether the attempt of token runs or lapsed in its place.
func (s slot) held(token semel.Token) bool {
	return s.phase == reserved && s.token == token && !s.foreign
}

// keptBy reports whether token completed the slot.
func (s slot) keptBy(token semel.Token) bool {
	return s.phase == completed && s.token == token && !s.foreign
}

// forgettable reports whether a may come from a store that has purged the slot.
func (s slot) forgettable(a Answer) bool {
	return s.phase == absent || s.phase != reserved && s.expiry.may(0, a)
}

// lapsed tells whether the lease and the margin may be, and must be, over.
func (s slot) lapsed(c Call, a Answer) (may, must bool) {
	if s.ended {
		return true, true
	}
	return s.lease.may(c.Margin, a), s.lease.must(c.Margin, c)
}

// lostOr is the answer to a step that changes s to next if it is allowed to
// happen, and is refused with [semel.ErrLost] if not.
func (s slot) lostOr(a Answer, allowed bool, next slot) []slot {
	switch {
	case a.Unknown && allowed:
		return []slot{s, next}
	case a.Unknown:
		return []slot{s}
	case allowed == (a.Refusal == nil):
		if allowed {
			return []slot{next}
		}
		return []slot{s}
	}
	return nil
}

func (s slot) String() string {
	if s.phase == absent {
		return "absent"
	}
	fence := fmt.Sprint(s.fence)
	if s.open {
		fence = ">" + fence
	}
	return fmt.Sprintf("%v by %.8s, request %x, fence %s, attempts %d, lapses %d, response %.8s, lease %s, expiry %s",
		s.phase, s.token, s.print[:2], fence, s.attempts, s.lapses, s.response, s.lease, s.expiry)
}

func (s span) String() string {
	return fmt.Sprintf("%v..%v", time.Duration(s.lo), time.Duration(s.hi))
}
