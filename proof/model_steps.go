package proof

import (
	"errors"

	"github.com/semel-go/semel"
)

// grants lists the states in which c may take the slot, but for what only the
// answer tells: the fence.
func (s slot) grants(c Call, a Answer) []slot {
	fresh := slot{
		phase: reserved, print: c.Print, token: c.Token, fence: s.fence, open: true, attempts: 1,
		lease: spanOf(c, a, c.Lease), expiry: kept(c, a),
	}
	again := fresh
	again.attempts = s.attempts + 1
	switch s.phase {
	case absent:
		return []slot{fresh}
	case free, completed:
		var next []slot
		if s.phase == free && !s.expiry.must(0, c) {
			next = append(next, again)
		}
		if s.expiry.may(0, a) {
			next = append(next, fresh)
		}
		return next
	case reserved:
		may, _ := s.lapsed(c, a)
		if may && c.TakeOver && s.print == c.Print && !s.held(c.Token) {
			again.lapses = s.lapses + 1
			if !s.ended { // it was granted when the lease before was over
				again.lease.lo = max(again.lease.lo, s.lease.lo+int64(c.Margin+c.Lease))
			}
			return []slot{again}
		}
	}
	return nil
}

// mustGrant reports whether c is due the slot, whatever the clocks (L1).
func (s slot) mustGrant(c Call, a Answer) bool {
	switch s.phase {
	case absent, free:
		return true
	case completed:
		return s.expiry.must(0, c)
	case reserved:
		_, must := s.lapsed(c, a)
		return must && c.TakeOver && s.print == c.Print && !s.held(c.Token)
	}
	return false
}

func (s slot) reserve(c Call, a Answer) []slot {
	switch {
	case a.Unknown:
		return append([]slot{s}, s.grants(c, a)...)
	case a.None:
		return nil
	case s.held(c.Token) || !a.mine(c):
		if s.mustGrant(c, a) {
			return nil
		}
		return s.observe(c, a) // a repetition, or refused: nothing changes
	}
	var next []slot
	for _, g := range s.grants(c, a) { // I1, I6
		next = append(next, g.observe(c, a)...)
	}
	return next
}

// observe narrows s by the record of a, or returns nothing when s and the
// record are not the same. The times of a record are for people.
func (s slot) observe(c Call, a Answer) []slot {
	r := a.Held
	may, must := s.lapsed(c, a)
	switch {
	case r.Key != c.Key, phaseOf(r.State) != s.phase, r.Attempts != s.attempts, r.Lapses != s.lapses:
		return nil
	case r.Lapsed && (s.phase != reserved || !may), !r.Lapsed && s.phase == reserved && must:
		return nil
	case s.open && r.Fence <= s.fence, !s.open && r.Fence != s.fence:
		return nil
	}
	s.fence, s.open = r.Fence, false
	if s.phase == free {
		return []slot{s}
	}
	switch {
	case r.Fingerprint != s.print, s.foreign == (r.Token == s.token):
		return nil
	case s.phase == completed && a.Response != s.response:
		return nil
	}
	s.token, s.foreign = r.Token, false
	return []slot{s}
}

func (s slot) complete(c Call, a Answer) []slot {
	if s.keptBy(c.Token) { // the first response stands (I2, I11)
		if a.Unknown || a.Refusal == nil || s.expiry.may(0, a) {
			return []slot{s}
		}
		return nil
	}
	done := s
	done.phase, done.response = completed, c.Response
	if may, must := s.lapsed(Call{At: c.At}, a); may { // the retention counts anew
		late := kept(c, a)
		if must {
			done.expiry.lo = max(done.expiry.lo, late.lo)
		}
		done.expiry.hi = max(done.expiry.hi, late.hi)
	}
	return s.lostOr(a, s.held(c.Token), done)
}

func (s slot) release(c Call, a Answer) []slot {
	if s.phase == free && s.token == c.Token && !a.Unknown {
		return []slot{s} // a repetition may succeed or be refused
	}
	freed := s
	freed.phase, freed.lapses = free, 0
	return s.lostOr(a, s.held(c.Token), freed)
}

func (s slot) renew(c Call, a Answer) []slot {
	longer := s
	longer.lease, longer.ended = spanOf(c, a, c.Lease), c.Lease == 0
	return s.lostOr(a, s.held(c.Token), longer)
}

func (s slot) resolve(c Call, a Answer) []slot {
	if s.phase != reserved || !s.open && s.fence != c.Fence || s.open && s.fence >= c.Fence {
		return s.lostOr(a, false, s)
	}
	asked := s // the slot is under the fence that was asked for
	asked.fence, asked.open = c.Fence, false
	var next []slot
	may, must := s.lapsed(c, a)
	if may && (a.Unknown || a.Refusal == nil) {
		done := asked
		done.expiry, done.phase, done.foreign, done.response = kept(c, a), completed, true, c.Response
		if c.Free {
			done.phase, done.foreign, done.token, done.lapses = free, false, semel.Token{}, 0
		}
		next = append(next, done)
	}
	if !must && errors.Is(a.Refusal, semel.ErrInFlight) {
		next = append(next, asked)
	}
	if a.Unknown || s.open && errors.Is(a.Refusal, semel.ErrLost) {
		next = append(next, s)
	}
	return next
}

func (s slot) look(c Call, a Answer) []slot {
	switch {
	case a.Unknown:
		return []slot{s}
	case a.None:
		if s.forgettable(a) {
			return []slot{s}
		}
		return nil // a reservation is never forgotten (I9), nor what is kept (I10)
	case s.phase == absent:
		return nil
	}
	return s.observe(c, a)
}

func phaseOf(s semel.State) phase {
	switch s {
	case semel.StateFree:
		return free
	case semel.StateReserved:
		return reserved
	case semel.StateCompleted:
		return completed
	}
	return absent
}
