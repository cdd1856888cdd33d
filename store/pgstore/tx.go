package pgstore

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/semel-go/semel"
)

// Tx makes a caller's open transaction one of [semel.Claim.LockIn] and
// [semel.Claim.CompleteIn]. It must be in the database that holds the records, at
// any isolation level. Its connection says how the statements are sent.
//
// After a serialization failure, at the levels above read committed the form in which
// a lost slot shows, begin anew with a new transaction. Pass the same Tx to both calls:
// CompleteIn then finds out ([semel.ErrTxEnded]) that the transaction in which LockIn was
// called has ended, by its Commit or by some statement, also one that has begun another; and
// knows of one that was rolled back that it was.
func Tx(tx pgx.Tx) semel.Tx {
	if tx == nil {
		return &callersTx{}
	}
	return &callersTx{row: func(ctx context.Context, text string, args ...any) pgx.Row {
		return tx.QueryRow(ctx, text, args...)
	}}
}

// SQLTx is [Tx] for a transaction of database/sql whose driver is pgx's
// (github.com/jackc/pgx/v5/stdlib). Begin it with a context that does not end:
// package sql rolls it back beside its user when the context ends
// (golang/go#34775).
func SQLTx(tx *sql.Tx) semel.Tx {
	if tx == nil {
		return &callersTx{}
	}
	return &callersTx{row: func(ctx context.Context, text string, args ...any) pgx.Row {
		return tx.QueryRowContext(ctx, text, args...)
	}}
}

// queryRow is the one method that a step needs of a transaction.
type queryRow func(ctx context.Context, text string, args ...any) pgx.Row

// callersTx implements [semel.Tx]. It is for one goroutine, like its transaction.
type callersTx struct {
	row   queryRow
	steps *callersSteps // of the last store
}

// Steps implements [semel.Tx].
func (t *callersTx) Steps(store semel.Store) (semel.TxSteps, error) {
	s, ok := semel.As[*Store](store)
	switch {
	case !ok:
		return nil, semel.ErrOtherStore
	case t.row == nil:
		return nil, errors.New("pgstore: the transaction is nil")
	case t.steps == nil || t.steps.store != s:
		t.steps = &callersSteps{steps{store: s, row: t.row}}
	}
	return t.steps, nil
}

// steps implements [semel.TxSteps].
type steps struct {
	store *Store
	row   queryRow
	id    int64 // of the transaction in which Lock or Reserve has taken the slot; 0: neither
}

// Lock implements [semel.TxSteps].
func (t *steps) Lock(ctx context.Context, key semel.Key, token semel.Token) (err error) {
	slot := key.Slot()
	t.id, err = t.hit(ctx, t.store.sql.lock, slot[:], token[:], t.store.names.number(slot))
	return explain("lock", err)
}

// Complete implements [semel.TxSteps]. It must be in the transaction in which the slot was
// taken: a text that ends one and begins another looks to the client as if nothing had
// happened, and has committed what came before it.
func (t *steps) Complete(ctx context.Context, c semel.Completion) error {
	if err := tooLarge("complete", c.Response); err != nil {
		return err
	}
	slot := c.Key.Slot()
	_, err := t.hit(ctx, t.store.sql.completeIn, slot[:], c.Token[:],
		int32(c.Response.Status), c.Response.Header, c.Response.Body, micros(c.Retention), t.id) //nolint:gosec // a status is small
	if errors.Is(err, semel.ErrLost) && t.id != 0 { // or a savepoint from before the lock has given it up
		id, asked := t.number(ctx, "txid_current_if_assigned()")
		switch {
		case asked != nil:
			err = asked
		case id != t.id:
			return errEnded
		}
	}
	if err == nil {
		t.id = 0 // nobody holds the slot any more
	}
	return explain("complete", err)
}

// number asks for the number of the transaction; 0: it has none.
func (t *steps) number(ctx context.Context, by string) (id int64, err error) {
	err = t.row(context.WithoutCancel(ctx), "SELECT coalesce("+by+", 0)").Scan(&id)
	return id, err
}

// hit runs a statement that has a row if the token holds the slot, and returns the
// number of its transaction.
func (t *steps) hit(ctx context.Context, text string, args ...any) (id int64, err error) {
	err = t.row(context.WithoutCancel(ctx), text, args...).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, semel.ErrLost
	}
	return id, err
}

// Reserve implements [semel.TxSteps]. A fresh key takes one round trip, others two.
func (t *steps) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	ctx = context.WithoutCancel(ctx)
	if fresh, ok, err := t.reserveFresh(ctx, r); err != nil || ok {
		return fresh, explain("reserve", err)
	}
	for try := 1; ; try++ {
		held, err := t.reserve(ctx, r)
		switch {
		case err == nil:
			if err := t.store.catchUp(ctx); err != nil { // it may be a replay of what the standby lacks
				return semel.Record{}, explain("reserve", err)
			}
			return held, nil
		case !errors.Is(err, errRaced):
			return semel.Record{}, explain("reserve", err)
		case try == maxTries:
			return semel.Record{}, explain("reserve", ErrBusy)
		}
		pause(try)
	}
}

// reserveFresh takes a slot that has no row, and reports whether it did.
func (t *steps) reserveFresh(ctx context.Context, r semel.Reservation) (semel.Record, bool, error) {
	var fence int64
	err := t.row(ctx, t.store.sql.reserveFresh, t.reservation(r)...).Scan(&fence, &t.id)
	if errors.Is(err, sql.ErrNoRows) {
		return semel.Record{}, false, nil
	}
	return semel.Record{
		Key: r.Key, State: semel.StateReserved, Fingerprint: r.Fingerprint, Token: r.Token,
		Fence: fence, Attempts: 1, Deferred: r.Deferred, Owner: r.Owner, Route: r.Route,
		CreatedAt: timeOf(fence), ExpiresAt: timeOf(fence + micros(r.Retention)),
	}, err == nil, err
}

// reservation are the arguments of the statements that reserve.
func (t *steps) reservation(r semel.Reservation) []any {
	slot := r.Key.Slot()
	return []any{
		slot[:], r.Token[:], r.Fingerprint[:], micros(r.Lease), micros(r.Retention),
		t.store.names.number(slot), []byte(r.Key.Scope), []byte(r.Key.ID), []byte(r.Owner), r.Deferred,
		[]byte(r.Route),
	}
}

func (t *steps) reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	r.TakeOver, r.TakeOverBlameless = false, false
	var w row
	var id int64
	err := w.scan(t.row(ctx, t.store.sql.reserveIn, t.reservation(r)...),
		&w.record.Response.Header, &w.record.Response.Body, &id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return semel.Record{}, errRaced
	case err != nil:
		return semel.Record{}, err
	case w.takeable(r):
		return semel.Record{}, errRaced
	}
	if w.record.State == semel.StateReserved && w.record.Token == r.Token {
		t.id = id
	}
	w.record.Key = r.Key
	w.record.Lapsed = w.lapsed(micros(r.Margin))
	return w.record, nil
}

// number is the advisory lock of a slot, made of it and of the table. Two that share
// one can only make each other look as if they were at work.
func (n *names) number(slot semel.Slot) int64 {
	return int64(binary.BigEndian.Uint64(slot[:]) ^ n.mix) //nolint:gosec // all bits count
}
