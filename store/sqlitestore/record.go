package sqlitestore

import (
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/semel-go/semel"
)

// row is a row of the table slots, with its body.
type row struct {
	id         int64
	record     semel.Record // without its key
	leaseUntil int64
	expiresAt  int64
	bodyID     int64 // 0: none
}

// rowWidth is how many columns find.sql has.
const rowWidth = 19

// takeable says whether a reservation may have the slot at the time now.
func (w *row) takeable(r semel.Reservation, now int64) bool {
	switch w.record.State {
	case semel.StateFree:
		return true
	case semel.StateCompleted:
		return w.expiresAt <= now
	case semel.StateReserved:
		return w.record.Token != r.Token && (r.TakeOver || r.TakeOverBlameless && w.record.Blameless()) &&
			w.lapsed(micros(r.Margin), now) && w.record.Fingerprint == r.Fingerprint
	}
	return false
}

func (w *row) lapsed(margin, now int64) bool {
	return w.record.State == semel.StateReserved && w.leaseUntil <= now-max(0, margin)
}

// held returns the record as r sees it at the time now.
func (w *row) held(r semel.Reservation, now int64) semel.Record {
	rec := w.record
	rec.Key = r.Key
	rec.Lapsed = w.lapsed(micros(r.Margin), now)
	return rec
}

// scan reads a row in the order of find.sql's columns and checks the body.
func (w *row) scan(slot semel.Slot, v []driver.Value) error {
	c := columns{values: v}
	w.id = c.integer()
	w.record.State = semel.State(c.integer()) //nolint:gosec // the schema allows 0 to 2
	c.fixed(w.record.Fingerprint[:])
	c.fixed(w.record.Token[:])
	w.record.Fence = c.integer()
	w.leaseUntil = c.integer()
	w.record.Attempts = int(c.integer())
	w.record.Lapses = int(c.integer())
	w.record.Owner = c.text()
	w.record.CreatedAt = timeOf(c.integer())
	w.expiresAt = c.integer()
	w.record.ExpiresAt = timeOf(w.expiresAt)
	status, hasStatus := c.optional()
	w.bodyID, _ = c.optional()
	w.record.Deferred = c.integer() != 0
	w.record.Reason = c.text()
	w.record.Route = c.text()
	header, body := c.blob(), c.blob()
	sum, hasSum := c.optional()
	if c.err != nil {
		return c.err
	}
	if w.record.State != semel.StateCompleted {
		return nil
	}
	w.record.Response = semel.Response{Status: int(status), Header: header, Body: body}
	if !hasStatus || !hasSum || sum != sumOf(slot, w.record.Response) {
		return &DamagedError{Slot: slot}
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sumOf binds a response to its slot, so that a page that lost its place, or
// bytes that changed on the disk, are an error and not a replay.
func sumOf(slot semel.Slot, r semel.Response) int64 {
	var room [len(slot) + 16]byte
	b := append(room[:0], slot[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Status)) //nolint:gosec // only bits matter
	b = binary.BigEndian.AppendUint64(b, uint64(len(r.Header)))
	sum := crc32.Update(0, castagnoli, b)
	sum = crc32.Update(sum, castagnoli, r.Header)
	return int64(crc32.Update(sum, castagnoli, r.Body))
}

// columns reads the values of one row in order and keeps the first error.
type columns struct {
	values []driver.Value
	err    error
}

var errShortRow = errors.New("sqlitestore: a row has too few columns")

func (c *columns) next() driver.Value {
	if len(c.values) == 0 {
		c.fail(errShortRow)
		return nil
	}
	v := c.values[0]
	c.values = c.values[1:]
	return v
}

func (c *columns) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

func (c *columns) integer() int64 {
	n, ok := c.optional()
	if !ok {
		c.fail(errors.New("sqlitestore: an integer column is null"))
	}
	return n
}

// optional reports false for null.
func (c *columns) optional() (int64, bool) {
	switch v := c.next().(type) {
	case int64:
		return v, true
	case nil:
		return 0, false
	default:
		c.fail(fmt.Errorf("sqlitestore: an integer column holds a %T", v))
		return 0, false
	}
}

func (c *columns) text() string {
	s, ok := c.next().(string)
	if !ok {
		c.fail(errors.New("sqlitestore: a text column holds no text"))
	}
	return s
}

func (c *columns) blob() []byte {
	b, _ := c.next().([]byte) // null is empty
	return b
}

func (c *columns) fixed(dst []byte) {
	if b := c.blob(); copy(dst, b) != len(dst) || len(b) != len(dst) {
		c.fail(fmt.Errorf("sqlitestore: a column has %d bytes, not %d", len(b), len(dst)))
	}
}
