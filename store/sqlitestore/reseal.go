package sqlitestore

import (
	"context"
	"database/sql/driver"

	"github.com/semel-go/semel"
)

// Reseal implements [semel.Resealer]. A response of more than 512 MiB is refused with
// [semel.ErrTooLarge].
func (s *Store) Reseal(_ context.Context, holder semel.Holder, header, body []byte) error {
	if s.writer == nil {
		return ErrReadOnly
	}
	size := len(header) + len(body)
	if size > maxResponse {
		return semel.ErrTooLarge
	}
	slot := holder.Key.Slot()
	var kept bool
	err := s.writer.do(size, func(t *tx) (err error) {
		kept, err = t.Reseal(slot, holder.Token, header, body)
		return err
	})
	return lostUnless(kept, err)
}

// Reseal reports false when the token has not completed the slot.
func (t *tx) Reseal(slot semel.Slot, token semel.Token, header, body []byte) (bool, error) {
	var v [2]driver.Value
	found, err := t.kept.first(v[:], slot[:], token[:])
	if err != nil || !found {
		return false, err
	}
	c := columns{values: v[:]}
	status, id := c.integer(), c.integer()
	if c.err != nil {
		return false, c.err
	}
	sum := sumOf(slot, semel.Response{Status: int(status), Header: header, Body: body})
	n, err := t.reseal.exec(nonEmpty(header), nonEmpty(body), sum, id)
	if err == nil && n != 1 {
		err = &DamagedError{Slot: slot}
	}
	return err == nil, err
}
