package sqlitestore

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/semel-go/semel"
	"modernc.org/sqlite"
)

var (
	// errRolledBack says that SQLite has ended a transaction by itself.
	errRolledBack = errors.New("sqlitestore: the database has rolled the transaction back")
	// errRefused says that the guard did not let business code commit.
	errRefused = fmt.Errorf("sqlitestore: a statement would have committed, and was refused: %w", semel.ErrTxOwned)
)

// guard watches a connection while one of our transactions is on it. After some
// errors SQLite rolls back by itself, and every statement after that would commit on its
// own; and business code may commit behind our back. With the guard nothing is
// committed until the record is completed, and that it was rolled back is known
// (invariant I8).
type guard struct {
	completed  atomic.Bool
	refused    atomic.Bool // a commit, which was made a rollback
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
		g.refused.Store(true)
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
	switch {
	case g.refused.Load():
		return errRefused
	case g.rolledBack.Load():
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
