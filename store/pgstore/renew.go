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

// Renew implements [semel.Renewer]. A statement renews up to 1,000 leases; a
// second one asks for those whose rows it did not get, if there are any.
//
// A row that another session has locked is passed over and not lost: it cannot
// be taken over meanwhile. So an attempt that completes its slot in a
// transaction does not wait for its own renewal.
func (s *Store) Renew(ctx context.Context, lease time.Duration, holders []semel.Holder) ([]semel.Token, error) {
	var lost []semel.Token
	for batch := range slices.Chunk(holders, renewBatch) {
		gone, err := s.renewBatch(ctx, lease, batch)
		if err != nil {
			return nil, err
		}
		lost = append(lost, gone...)
	}
	return lost, nil
}

func (s *Store) renewBatch(ctx context.Context, lease time.Duration, batch []semel.Holder) (lost []semel.Token, err error) {
	slots, tokens := make([][]byte, len(batch)), make([][]byte, len(batch))
	for i, h := range batch {
		slot := h.Key.Slot()
		slots[i], tokens[i] = slot[:], h.Token[:]
	}
	err = s.step(ctx, "renew", func(ctx context.Context, q querier, _ int) error {
		rows, err := q.Query(ctx, s.sql.renew, s.execMode(), slots, tokens, micros(lease))
		if err != nil {
			return err
		}
		held, err := tokensOf(rows)
		if err != nil || len(held) == len(batch) {
			lost = nil
			return err
		}
		if rows, err = q.Query(ctx, s.sql.held, s.execMode(), slots, tokens); err != nil {
			return err
		}
		still, err := tokensOf(rows)
		lost = missing(batch, held, still)
		return err
	})
	return lost, err
}

// tokensOf reads and closes rows of one token each.
func tokensOf(rows pgx.Rows) ([][]byte, error) {
	return pgx.CollectRows(rows, pgx.RowTo[[]byte])
}

// missing returns the tokens of a batch that are in none of the lists.
func missing(batch []semel.Holder, lists ...[][]byte) (lost []semel.Token) {
	held := make(map[string]bool, len(batch))
	for _, list := range lists {
		for _, token := range list {
			held[string(token)] = true
		}
	}
	for _, h := range batch {
		if !held[string(h.Token[:])] {
			lost = append(lost, h.Token)
		}
	}
	return lost
}
