package sqlitestore

import (
	"context"
	"database/sql/driver"
	"sync"
)

// maxPurge bounds one step: the writer serves nobody else meanwhile.
const maxPurge = 100

// purgeCursor is where the last purge stopped in the order of expiry. Before it
// lie reservations that expired but are never purged; without the cursor each
// step would pass over all of them. It is a hint: what it leaves behind is
// found when it starts over.
type purgeCursor struct {
	mu    sync.Mutex
	place place
}

// place is a place in the order of expiry.
type place struct {
	expiresAt, id int64
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

// Purge implements [semel.Purger]. One call deletes at most 100 records,
// whatever the limit. It looks for them beside the writer, which only deletes.
func (s *Store) Purge(_ context.Context, limit int) (int, error) {
	if s.writer == nil {
		return 0, ErrReadOnly
	}
	limit = min(limit, maxPurge)
	if limit <= 0 {
		return 0, nil
	}
	for {
		ids, err := s.purgeable(limit)
		if err != nil || len(ids) == 0 {
			return 0, explain(s.path, err)
		}
		var n int
		err = s.writer.do(0, func(t *tx) (err error) {
			n, err = t.Purge(ids)
			return err
		})
		if err != nil || n > 0 {
			return n, err
		}
		// Somebody took or purged all of them meanwhile. Look again.
	}
}

// purgeable returns up to limit slot ids, from the cursor on, or from the start
// when there is nothing after it.
func (s *Store) purgeable(limit int) (ids []int64, err error) {
	now := s.clock.now()
	from := s.purge.get()
	err = s.readers.with(func(c *readConn) error {
		for {
			at := from
			var v [2]driver.Value
			err := c.purgeFind.each(v[:], func() error {
				cols := columns{values: v[:]}
				at.id, at.expiresAt = cols.integer(), cols.integer()
				ids = append(ids, at.id)
				return cols.err
			}, from.expiresAt, from.id, now, int64(limit))
			if err != nil {
				return err
			}
			if len(ids) < limit {
				at = place{}
			}
			s.purge.set(at)
			if len(ids) > 0 || from == (place{}) {
				return nil
			}
			from = place{}
		}
	})
	return ids, err
}

// Purge deletes those of ids that are still over, with their bodies, and raises
// the fence floor above them.
func (t *tx) Purge(ids []int64) (n int, err error) {
	var floor int64
	for _, id := range ids {
		var v [2]driver.Value
		found, err := t.purgeSlot.first(v[:], id, t.now)
		if err != nil {
			return 0, err
		}
		if !found {
			continue
		}
		cols := columns{values: v[:]}
		fence := cols.integer()
		body, _ := cols.optional()
		if cols.err != nil {
			return 0, cols.err
		}
		if err := t.drop(body); err != nil {
			return 0, err
		}
		floor = max(floor, fence)
		n++
	}
	if n > 0 {
		_, err = t.floorRaise.exec(floor, floor)
	}
	return n, err
}
