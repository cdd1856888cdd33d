package mysqlstore

import (
	"context"
	"errors"
	"sync"
)

// maxPurge bounds one statement and the locks that it holds.
const maxPurge = 1000

// purgeCursor is where the last purge stopped in the order of expiry. Before it
// lie reservations that expired but are never purged, and rows that were deleted
// but not cleaned up yet; without the cursor each call would pass over all of
// them. It is a hint: what it leaves behind is found when it starts over.
type purgeCursor struct {
	mu    sync.Mutex
	place place
}

// place is a place in the order of expiry or of age.
type place struct {
	time int64
	slot []byte
}

func (c *purgeCursor) get() place {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.place
}

func (c *purgeCursor) set(p place) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.place = p
}

// Purge implements [semel.Purger]. One call deletes at most 1,000 records,
// whatever the limit, in two statements: the first one finds them without a
// lock, the second one deletes those that are still over.
func (s *Store) Purge(ctx context.Context, limit int) (int, error) {
	limit = min(limit, maxPurge)
	if limit <= 0 {
		return 0, nil
	}
	n := 0
	err := s.step(ctx, "purge", func(ctx context.Context, _ querier) (err error) {
		n, err = s.purgeSome(ctx, limit)
		return err
	})
	return n, err
}

func (s *Store) purgeSome(ctx context.Context, limit int) (int, error) {
	for range maxRounds {
		slots, err := s.purgeable(ctx, limit)
		if err != nil || len(slots) == 0 {
			return 0, err
		}
		res, err := s.db.ExecContext(ctx, lists(s.sql.purge, len(slots)), slots...)
		if err != nil {
			return 0, err
		}
		n, err := res.RowsAffected()
		if err != nil || n > 0 {
			return int(n), err
		}
		// Somebody took or purged all of them meanwhile. Look again.
	}
	return 0, errChanging
}

// purgeable returns up to limit slots, from the cursor on, or from the start
// when there is nothing after it.
func (s *Store) purgeable(ctx context.Context, limit int) ([]any, error) {
	from := s.purge.get()
	for {
		slots, at, err := s.purgeableFrom(ctx, from, limit)
		if err != nil {
			return nil, err
		}
		if len(slots) < limit {
			at = place{}
		}
		s.purge.set(at)
		if len(slots) > 0 || from.slot == nil {
			return slots, nil
		}
		from = place{}
	}
}

func (s *Store) purgeableFrom(ctx context.Context, from place, limit int) (slots []any, at place, err error) {
	rows, err := s.db.QueryContext(ctx, s.sql.purgeFind, from.time, from.time, append([]byte{}, from.slot...), limit)
	if err != nil {
		return nil, place{}, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		at = place{}
		if err := rows.Scan(&at.slot, &at.time); err != nil {
			return nil, place{}, err
		}
		slots = append(slots, at.slot)
	}
	return slots, at, rows.Err()
}
