package pgstore

import (
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/semel-go/semel"
)

// row is a row of the table as a statement saw it at the time now.
type row struct {
	record     semel.Record
	now        int64 // the server's clock
	leaseUntil int64
	expiresAt  int64
}

// scan reads the columns that reserve.sql and list.sql begin with, and then
// those into rest.
func (w *row) scan(from pgx.Row, rest ...any) error {
	var state int16
	var token, fingerprint, owner, reason, route []byte
	var created, deferredFence int64
	var attempts, lapses, status int32
	dest := append([]any{
		&w.now, &state, &token, &fingerprint, &w.record.Fence, &w.leaseUntil, &created, &w.expiresAt,
		&attempts, &lapses, &deferredFence, &owner, &status, &reason, &route,
	}, rest...)
	if err := from.Scan(dest...); err != nil {
		return err
	}
	if state < 0 || state > int16(semel.StateCompleted) ||
		len(token) != len(w.record.Token) || len(fingerprint) != len(w.record.Fingerprint) {
		return fmt.Errorf("a row has state %d, a token of %d and a fingerprint of %d bytes", state, len(token), len(fingerprint))
	}
	w.record.State = semel.State(state)
	w.record.Token, w.record.Fingerprint = semel.Token(token), semel.Fingerprint(fingerprint)
	w.record.Attempts, w.record.Lapses = int(attempts), int(lapses)
	w.record.Deferred = w.record.State == semel.StateReserved && deferredFence == w.record.Fence
	w.record.Owner, w.record.Route, w.record.Reason = string(owner), string(route), string(reason)
	w.record.CreatedAt, w.record.ExpiresAt = timeOf(created), timeOf(w.expiresAt)
	w.record.Response.Status = int(status)
	return nil
}

// lapsed mirrors the condition in the statements.
func (w *row) lapsed(margin int64) bool {
	return w.record.State == semel.StateReserved && (w.leaseUntil == 0 || w.leaseUntil+margin <= w.now)
}

// takeable reports whether r should have got the slot that it was shown. Then
// somebody else took it, or holds it locked.
func (w *row) takeable(r semel.Reservation) bool {
	switch w.record.State {
	case semel.StateFree:
		return true
	case semel.StateCompleted:
		return w.expiresAt <= w.now
	case semel.StateReserved:
		return (r.TakeOver || r.TakeOverBlameless && w.record.Blameless()) && w.record.Token != r.Token &&
			w.record.Fingerprint == r.Fingerprint && w.lapsed(micros(r.Margin))
	}
	return false
}

// micros is a duration as the table holds it, rounded up: nothing ends early.
// What is negative counts as nothing.
func micros(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64((d-1)/time.Microsecond) + 1
}

func timeOf(us int64) time.Time { return time.UnixMicro(us) }
