package mysqlstore

import (
	"bytes"
	"database/sql"
	"fmt"
	"time"

	"github.com/semel-go/semel"
)

// row is a row of the table, and the time at which it was read.
type row struct {
	record     semel.Record
	leaseUntil int64
	expiresAt  int64
	deferred   []byte // the token of the attempt that promised to have had no effect
	now        int64
}

// takeable says whether a reservation may have the slot.
func (w *row) takeable(r semel.Reservation) bool {
	switch w.record.State {
	case semel.StateFree:
		return true
	case semel.StateCompleted:
		return w.expiresAt <= w.now
	case semel.StateReserved:
		return (r.TakeOver || r.TakeOverBlameless && w.record.Blameless()) && w.record.Token != r.Token &&
			w.lapsed(micros(r.Margin)) && w.record.Fingerprint == r.Fingerprint
	}
	return false
}

// lapsed says whether lease and margin are over. A lease that was given up is
// over whatever the margin.
func (w *row) lapsed(margin int64) bool {
	return w.record.State == semel.StateReserved &&
		(w.leaseUntil == 0 || w.leaseUntil <= w.now-max(0, margin))
}

// held returns the record as r sees it.
func (w *row) held(r semel.Reservation) semel.Record {
	rec := w.record
	rec.Key = r.Key
	rec.Lapsed = w.lapsed(micros(r.Margin))
	return rec
}

// fields are the places that a row is scanned to.
type fields struct {
	scope, id, fingerprint, token, owner, route, reason []byte

	state, created int64
	status         sql.NullInt64
}

// columns returns where find.sql and list.sql put what they have in common.
func (w *row) columns(f *fields) []any {
	return []any{
		&f.state, &f.fingerprint, &f.token, &w.record.Fence, &w.leaseUntil, &w.record.Attempts, &w.record.Lapses,
		&w.deferred, &f.owner, &f.route, &f.created, &w.expiresAt, &f.status, &f.reason,
	}
}

// set makes a record of what was scanned.
func (w *row) set(f *fields) error {
	if f.state < int64(semel.StateFree) || f.state > int64(semel.StateCompleted) {
		return fmt.Errorf("a row has the state %d", f.state)
	}
	w.record.State = semel.State(f.state)
	if err := fixed(w.record.Fingerprint[:], f.fingerprint); err != nil {
		return err
	}
	if err := fixed(w.record.Token[:], f.token); err != nil {
		return err
	}
	w.record.Deferred = w.record.State == semel.StateReserved && bytes.Equal(w.deferred, f.token)
	w.record.Owner, w.record.Route, w.record.Reason = string(f.owner), string(f.route), string(f.reason)
	w.record.CreatedAt, w.record.ExpiresAt = timeOf(f.created), timeOf(w.expiresAt)
	w.record.Response.Status = int(f.status.Int64)
	return nil
}

func fixed(dst, b []byte) error {
	if copy(dst, b) != len(dst) || len(b) != len(dst) {
		return fmt.Errorf("a column has %d bytes, not %d", len(b), len(dst))
	}
	return nil
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
