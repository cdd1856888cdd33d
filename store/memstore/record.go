package memstore

import (
	"math"
	"time"
	"unique"

	"github.com/semel-go/semel"
)

// record is what one slot holds. Its shard's mutex guards it. Instants are
// nanoseconds of the store's clock: a time.Time would take three words.
type record struct {
	key         semel.Key
	fingerprint semel.Fingerprint
	token       semel.Token // zero when free
	response    semel.Response
	owner       string
	fence       int64
	created     int64
	leaseEnd    int64
	expires     int64
	route       unique.Handle[string] // one word, where a string has two; routes are few
	attempts    int32
	lapses      int32
	reason      *string // nil: none; a string would take a word more
	place       int32   // in the shard's queue; meaningful while queued
	state       semel.State
	deferred    bool // only while reserved
	queued      bool
	next        *record // of those whose key has the same hash
}

// ended is the end of a lease that is over whatever the margin.
const ended = math.MinInt64

// heldBy reports whether the attempt of token runs, or lapsed and is still in place.
func (rec *record) heldBy(token semel.Token) bool {
	return rec.state == semel.StateReserved && rec.token == token
}

// lapsed reports whether the lease and the margin are over.
func (rec *record) lapsed(now int64, margin time.Duration) bool {
	switch {
	case rec.state != semel.StateReserved:
		return false
	case rec.leaseEnd == ended:
		return true
	}
	return rec.leaseEnd <= now && now-rec.leaseEnd >= int64(margin)
}

// blameless reports whether nothing can have happened under the reservation.
func (rec *record) blameless() bool {
	return rec.state == semel.StateReserved && rec.deferred && rec.lapses == 0
}

// takenBy reports whether r may replace the reservation.
func (rec *record) takenBy(r *semel.Reservation, now int64) bool {
	return rec.state == semel.StateReserved && rec.token != r.Token &&
		(r.TakeOver || r.TakeOverBlameless && rec.blameless()) &&
		rec.fingerprint == r.Fingerprint && rec.lapsed(now, r.Margin)
}

// grant gives the slot to r under a fence larger than any before (I6).
func (rec *record) grant(r *semel.Reservation, now int64, attempts, lapses int32) {
	rec.state = semel.StateReserved
	rec.fingerprint, rec.token, rec.owner, rec.route = r.Fingerprint, r.Token, r.Owner, unique.Make(r.Route)
	rec.fence = max(rec.fence+1, now/int64(time.Microsecond))
	rec.created, rec.leaseEnd, rec.expires = now, after(now, r.Lease), after(now, r.Retention)
	rec.attempts, rec.lapses, rec.deferred = attempts, lapses, r.Deferred
	rec.response, rec.reason = semel.Response{}, nil
}

// keep makes the response the slot's.
func (rec *record) keep(r semel.Response) {
	rec.state, rec.response, rec.deferred = semel.StateCompleted, r, false
}

// free leaves a tombstone: what stays is the fence, the count of attempts, and
// what an operator may want to see.
func (rec *record) free() {
	rec.state, rec.token, rec.lapses, rec.deferred = semel.StateFree, semel.Token{}, 0, false
}

// show writes the record as others see it into held, which saves a copy.
func (rec *record) show(held *semel.Record, now int64, margin time.Duration) {
	*held = semel.Record{
		Key:         rec.key,
		State:       rec.state,
		Fingerprint: rec.fingerprint,
		Token:       rec.token,
		Fence:       rec.fence,
		Attempts:    int(rec.attempts),
		Lapses:      int(rec.lapses),
		Deferred:    rec.deferred,
		Lapsed:      rec.lapsed(now, margin),
		Owner:       rec.owner,
		Route:       rec.route.Value(),
		CreatedAt:   time.Unix(0, rec.created),
		ExpiresAt:   time.Unix(0, rec.expires),
		Response:    rec.response,
	}
	if rec.reason != nil {
		held.Reason = *rec.reason
	}
}
