package mysqlstore

import (
	"context"

	"github.com/semel-go/semel"
)

// Look implements [semel.Looker], by a locking read. It waits for a transaction that is
// at work on the slot as long as the server's innodb_lock_wait_timeout allows, twice
// (2 s each with [Open]), and then fails.
func (s *Store) Look(ctx context.Context, key semel.Key) (semel.Record, error) {
	held := semel.Record{Key: key}
	err := s.step(ctx, "look", func(ctx context.Context, q querier) error {
		w, found, err := s.find(ctx, q, s.sql.look, key.Slot())
		if err == nil && found {
			held = w.record
			held.Key = key
		}
		return err
	})
	if err != nil {
		return semel.Record{}, err
	}
	return held, nil
}
