package natsstore

import (
	"sync"
	"time"

	"github.com/semel-go/semel"
)

// maxHints bounds the memory of the hints, at about 500 bytes each.
const maxHints = 16384

// hint is the last message that this process wrote for a running attempt. It
// spares the step that follows a look at the slot. It is never believed: the
// step writes only if that message is still the slot's last one.
type hint struct {
	row         row
	seq         uint64
	sent, acked time.Time // by this process's clock
}

// hints has at most one hint for each slot.
type hints struct {
	mu     sync.Mutex
	bySlot map[semel.Slot]hint
}

func (s *hints) get(slot semel.Slot, token semel.Token) (hint, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.bySlot[slot]
	return h, ok && h.row.token == token
}

func (s *hints) put(slot semel.Slot, h hint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bySlot == nil {
		s.bySlot = make(map[semel.Slot]hint)
	}
	old, known := s.bySlot[slot]
	if old.seq > h.seq { // another step was faster
		return
	}
	if !known && len(s.bySlot) >= maxHints {
		for some := range s.bySlot { // any of them: it costs its attempt a look
			delete(s.bySlot, some)
			break
		}
	}
	s.bySlot[slot] = h
}

func (s *hints) drop(slot semel.Slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.bySlot, slot)
}

// next is the row to write now, and whether the lease has ended. It reports
// false when only the server can tell that.
func (h *hint) next(now time.Time) (w row, late, known bool) {
	least, _ := between(h.acked, now)
	_, most := between(h.sent, now)
	w = h.row.later(least)
	if w.fence == 0 {
		w.fence = int64(h.seq) //nolint:gosec // a stream of 2^63 messages will not be
	}
	late = h.row.lease == 0
	return w, late, late || h.row.leaseEnd == 0 && most+most/drift < h.row.lease
}
