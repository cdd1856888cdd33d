package pgstore

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/semel-go/semel"
)

// renewBatch is how many leases one statement renews.
const renewBatch = 1000

// renewPatience is the last of the pauses, each twice the one before, after
// which a row that stays locked is asked for again; they add up to a second.
const renewPatience = 512 * time.Millisecond

// Renew implements [semel.Renewer]. A statement renews up to 1,000 leases; a
// second one asks for those whose rows it did not get, if there are any.
//
// A row that another session has locked is asked for again: mostly a take-over
// is under way, and the attempt is lost when it is done. One that stays locked
// for longer than a second is not renewed, which a [*semel.UnrenewedError] says.
func (s *Store) Renew(ctx context.Context, lease time.Duration, holders []semel.Holder) ([]semel.Token, error) {
	var lost []semel.Token
	for wait := time.Millisecond; len(holders) > 0; wait *= 2 {
		var passed []semel.Holder
		for batch := range slices.Chunk(holders, renewBatch) {
			gone, locked, err := s.renewBatch(ctx, lease, batch)
			if err != nil {
				return nil, err
			}
			lost, passed = append(lost, gone...), append(passed, locked...)
		}
		if wait > patienceOf(lease) && len(passed) > 0 {
			return lost, explain("renew", unrenewed(passed))
		}
		holders = passed
		if len(holders) > 0 {
			time.Sleep(wait)
		}
	}
	return lost, nil
}

// patienceOf is renewPatience, or less where the leases of the others would be over before
// they are told of their renewal. Leases that are only to be ended have all the time.
func patienceOf(lease time.Duration) time.Duration {
	if lease < shortestLease {
		return renewPatience
	}
	return min(renewPatience, lease/12)
}

// shortestLease is that of an attempt that runs, see [semel.Call].
const shortestLease = time.Second

func unrenewed(holders []semel.Holder) error {
	e := &semel.UnrenewedError{Err: ErrBusy}
	for _, h := range holders {
		e.Tokens = append(e.Tokens, h.Token)
	}
	return e
}

// renewBatch returns the tokens that do not hold their slot, and the holders
// whose rows were locked.
func (s *Store) renewBatch(ctx context.Context, lease time.Duration, batch []semel.Holder) (lost []semel.Token, locked []semel.Holder, err error) {
	slots, tokens := make([][]byte, len(batch)), make([][]byte, len(batch))
	for i, h := range batch {
		slot := h.Key.Slot()
		slots[i], tokens[i] = slot[:], h.Token[:]
	}
	err = s.step(ctx, "renew", func(ctx context.Context, q querier, _ int) error {
		lost, locked = nil, nil
		rows, err := q.Query(ctx, s.sql.renew, s.execMode(), slots, tokens, micros(lease))
		if err != nil {
			return err
		}
		renewed, err := tokensOf(rows)
		if err != nil || len(renewed) == len(batch) {
			return err
		}
		if rows, err = q.Query(ctx, s.sql.held, s.execMode(), slots, tokens); err != nil {
			return err
		}
		held, err := tokensOf(rows)
		for _, h := range batch {
			switch {
			case renewed[h.Token]:
			case held[h.Token]:
				locked = append(locked, h)
			default:
				lost = append(lost, h.Token)
			}
		}
		return err
	})
	return lost, locked, err
}

// tokensOf reads and closes rows of one token each.
func tokensOf(rows pgx.Rows) (map[semel.Token]bool, error) {
	tokens := make(map[semel.Token]bool)
	var token []byte
	_, err := pgx.ForEachRow(rows, []any{&token}, func() error {
		tokens[semel.Token(token)] = true
		return nil
	})
	return tokens, err
}
