package natsstore

import (
	"math"
	"time"

	"github.com/semel-go/semel"
)

// row is what the message of a slot says. No instant in it was made by this
// process: durations count from the message's own timestamp, which the stream's
// leader sets, and instants are copied from older messages' timestamps.
type row struct {
	key         semel.Key
	state       semel.State
	fingerprint semel.Fingerprint
	token       semel.Token // zero when free
	owner       string
	// fence is the sequence of the message that made the reservation; 0 in that
	// message itself, whose sequence nobody knew before.
	fence            int64
	attempts, lapses int

	// created is when the reservation was made, in nanoseconds since 1970. 0:
	// age before the timestamp.
	created int64
	age     time.Duration
	// lease runs from the timestamp. 0: it is over, whatever the margin.
	lease time.Duration
	// The retention ends at expires, in nanoseconds since 1970 (0: not told), or
	// keep after the timestamp, whichever is later.
	expires int64
	keep    time.Duration

	response semel.Response
}

// noKeep is a keep that ends before any instant.
const noKeep = time.Duration(math.MinInt64)

// newRow is the reservation of r on a slot that was absent.
func newRow(r *semel.Reservation) row {
	return row{
		key: r.Key, state: semel.StateReserved, fingerprint: r.Fingerprint, token: r.Token, owner: r.Owner,
		attempts: 1, lease: r.Lease, keep: r.Retention,
	}
}

// later is the row as a message says it that is written d after the one at hand.
func (w *row) later(d time.Duration) row {
	next := *w
	if next.created == 0 {
		next.age += d
	}
	if next.keep > noKeep+d {
		next.keep -= d
	}
	return next
}

// complete, free and renew end or prolong the attempt of a reservation.
func (w *row) complete(with semel.Response) {
	w.state, w.response, w.lease = semel.StateCompleted, with, 0
}

func (w *row) free() {
	w.state, w.token, w.lapses, w.lease = semel.StateFree, semel.Token{}, 0, 0
}

func (w *row) renew(lease time.Duration) { w.lease = max(0, lease) }

// after is t+d without overflow.
func after(t int64, d time.Duration) int64 {
	if d > 0 && t > math.MaxInt64-int64(d) {
		return math.MaxInt64
	}
	return t + int64(d)
}

// held is a row with the message that says it.
type held struct {
	row
	seq      uint64 // 0: the slot is absent, and no marker stands in its place
	absent   bool
	leaseEnd int64 // nanoseconds since 1970
}

// stamped is the row as of the message with this sequence and timestamp: with
// instants in place of durations.
func (w *row) stamped(seq uint64, stamp time.Time) held {
	at := stamp.UnixNano()
	h := held{row: *w, seq: seq, leaseEnd: after(at, w.lease)}
	if h.fence == 0 {
		h.fence = int64(seq) //nolint:gosec // a stream of 2^63 messages will not be
	}
	if h.created == 0 {
		h.created = at - int64(h.age)
	}
	h.expires = max(h.expires, after(at, h.keep))
	h.age, h.keep = 0, noKeep
	return h
}

// heldBy reports whether the attempt of token runs, or lapsed and is still in place.
func (h *held) heldBy(token semel.Token) bool {
	return !h.absent && h.state == semel.StateReserved && h.token == token
}

// due is the instant on which depends what a reservation does: the end of the
// retention or, of a reservation, of its lease and the margin. 0: always over.
func (h *held) due(margin time.Duration) int64 {
	switch {
	case h.absent:
		return 0
	case h.state != semel.StateReserved:
		return h.expires
	case h.lease == 0:
		return 0
	}
	return after(h.leaseEnd, max(0, margin))
}

// take is what r makes of the slot; over says that its due has passed. It
// reports false when r may not have it.
func (h *held) take(r *semel.Reservation, over bool) (row, bool) {
	next := newRow(r)
	switch {
	case h.absent, h.state != semel.StateReserved && over:
		return next, true
	case h.state == semel.StateFree:
		next.attempts = h.attempts + 1
		return next, true
	case h.state == semel.StateReserved && over && r.TakeOver && h.token != r.Token && h.fingerprint == r.Fingerprint:
		next.attempts, next.lapses = h.attempts+1, h.lapses+1
		return next, true
	}
	return row{}, false
}

// record is the slot as others see it.
func (h *held) record(over bool) semel.Record {
	return semel.Record{
		Key: h.key, State: h.state, Fingerprint: h.fingerprint, Token: h.token, Fence: h.fence,
		Attempts: h.attempts, Lapses: h.lapses, Lapsed: h.state == semel.StateReserved && over, Owner: h.owner,
		CreatedAt: time.Unix(0, h.created), ExpiresAt: time.Unix(0, h.expires), Response: h.response,
	}
}
