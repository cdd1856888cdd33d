package sqlitestore

import (
	"database/sql/driver"
	"fmt"
	"sync/atomic"

	"modernc.org/sqlite"
)

// guard watches a connection while one of our transactions is on it. After some
// errors SQLite rolls back by itself, and every statement after that would commit on its
// own; and business code may commit behind our back. With the guard nothing is
// committed until the record is completed, and that it was rolled back is known
// (invariant I8).
type guard struct {
	completed  atomic.Bool
	rolledBack atomic.Bool
}

// install puts the guard on the driver's connection.
func (g *guard) install(c any) error {
	h, err := hooksOf(c)
	if err != nil {
		return err
	}
	h.RegisterCommitHook(func() int32 {
		if g.completed.Load() {
			return 0
		}
		return 1 // roll back instead
	})
	h.RegisterRollbackHook(func() { g.rolledBack.Store(true) })
	return nil
}

// remove takes it away.
func (g *guard) remove(c any) error {
	h, err := hooksOf(c)
	if err != nil {
		return err
	}
	h.RegisterCommitHook(nil)
	h.RegisterRollbackHook(nil)
	return nil
}

// complete lets the next commit through.
func (g *guard) complete() { g.completed.Store(true) }

// gone returns an error when the transaction was rolled back.
func (g *guard) gone() error {
	if g.rolledBack.Load() {
		return errRolledBack
	}
	return nil
}

// hooksOf returns the driver's own connection, also from within a driver that wraps it
// to observe.
func hooksOf(c any) (sqlite.HookRegisterer, error) {
	if w, ok := c.(interface{ Raw() driver.Conn }); ok {
		c = w.Raw()
	}
	h, ok := c.(sqlite.HookRegisterer)
	if !ok {
		return nil, fmt.Errorf("sqlitestore: the database has connections of the kind %T, not those of modernc.org/sqlite", c)
	}
	return h, nil
}
