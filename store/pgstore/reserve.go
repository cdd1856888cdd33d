package pgstore

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/semel-go/semel"
)

// Reserve implements [semel.Store]. It is one statement and one round trip in
// every outcome, unless another statement on the same slot came between; then
// both are repeated. The first one validates, see [Store.Validate].
//
// A lapsed reservation that a transaction has locked, see [Tx], is answered at once
// as what it is. One whose row is locked by anything else is about to change: it is asked
// for again, for up to a second.
func (s *Store) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	if err := s.ready(ctx); err != nil {
		return semel.Record{}, explain("reserve", err)
	}
	slot := r.Key.Slot()
	var held semel.Record
	err := s.step(ctx, "reserve", func(ctx context.Context, q querier, try int) (err error) {
		held, err = s.reserve(ctx, q, slot, r, try)
		return err
	})
	if err != nil {
		return semel.Record{}, err
	}
	return held, nil
}

func (s *Store) reserve(ctx context.Context, q querier, slot semel.Slot, r semel.Reservation, try int) (semel.Record, error) {
	var w row
	var atWork bool
	err := w.scan(q.QueryRow(ctx, s.sql.reserve, s.execMode(), slot[:], r.Token[:], r.Fingerprint[:],
		micros(r.Lease), micros(r.Retention), micros(r.Margin), r.TakeOver,
		[]byte(r.Key.Scope), []byte(r.Key.ID), []byte(r.Owner), r.TakeOverBlameless, r.Deferred, s.names.number(slot), []byte(r.Route)),
		&w.record.Response.Header, &w.record.Response.Body, &atWork)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return semel.Record{}, errRaced
	case err != nil:
		return semel.Record{}, err
	case w.takeable(r) && !atWork && (w.record.State != semel.StateReserved || try < maxTries):
		return semel.Record{}, errRaced
	}
	w.record.Key = r.Key
	w.record.Lapsed = w.lapsed(micros(r.Margin))
	return w.record, nil
}
