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
	route       string
	// fence is the sequence of the message that made the reservation; 0 in that
	// message itself, whose sequence nobody knew before.
	fence            int64
	attempts, lapses int
	deferred         bool   // only of a reservation
	reason           string // only of another

	// created is when the reservation was made, in nanoseconds since 1970. 0:
	// age before the timestamp.
	created int64
	age     time.Duration
	// lease runs from the timestamp, or to leaseEnd, in nanoseconds since 1970,
	// if that is told. 0: it is over, whatever the margin.
	lease    time.Duration
	leaseEnd int64
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
		key: r.Key, state: semel.StateReserved, fingerprint: r.Fingerprint, token: r.Token, owner: r.Owner, route: r.Route,
		attempts: 1, deferred: r.Deferred, lease: r.Lease, keep: r.Retention,
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
	if next.lease > 0 {
		next.lease = max(1, next.lease-d)
	}
	return next
}

// complete and free end the attempt of a reservation.
func (w *row) complete(with semel.Response) {
	w.renew(0)
	w.state, w.response, w.deferred = semel.StateCompleted, with, false
}

func (w *row) free() {
	w.renew(0)
	w.state, w.token, w.lapses, w.deferred = semel.StateFree, semel.Token{}, 0, false
}

// renew prolongs it.
func (w *row) renew(lease time.Duration) { w.lease, w.leaseEnd = max(0, lease), 0 }

// blameless reports whether nothing can have happened under the reservation.
func (w *row) blameless() bool {
	return w.state == semel.StateReserved && w.deferred && w.lapses == 0
}

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
	seq    uint64 // 0: the slot is absent, and no marker stands in its place
	absent bool
}

// stamped is the row as of the message with this sequence and timestamp: with
// instants in place of durations.
func (w *row) stamped(seq uint64, stamp time.Time) held {
	at := stamp.UnixNano()
	h := held{row: *w, seq: seq}
	if h.fence == 0 {
		h.fence = int64(seq) //nolint:gosec // a stream of 2^63 messages will not be
	}
	if h.created == 0 {
		h.created = at - int64(h.age)
	}
	if h.lease > 0 && h.leaseEnd == 0 {
		h.leaseEnd = after(at, h.lease)
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
	case over && h.yields(r):
		next.attempts, next.lapses = h.attempts+1, h.lapses+1
		if h.blameless() {
			next.lapses = 0
		}
		return next, true
	}
	return row{}, false
}

// yields reports whether r may take the reservation over when it has lapsed.
func (h *held) yields(r *semel.Reservation) bool {
	return h.state == semel.StateReserved && h.token != r.Token && h.fingerprint == r.Fingerprint &&
		(r.TakeOver || r.TakeOverBlameless && h.blameless())
}

// record is the slot as others see it. In a list records of one microsecond are equally
// old.
func (h *held) record(over bool) semel.Record {
	return semel.Record{
		Key: h.key, State: h.state, Fingerprint: h.fingerprint, Token: h.token, Fence: h.fence,
		Attempts: h.attempts, Lapses: h.lapses, Deferred: h.deferred, Lapsed: h.state == semel.StateReserved && over, Owner: h.owner, Route: h.route,
		CreatedAt: time.UnixMicro(h.created / int64(time.Microsecond)), ExpiresAt: time.Unix(0, h.expires), Reason: h.reason, Response: h.response,
	}
}
