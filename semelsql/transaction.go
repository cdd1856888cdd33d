package semelsql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"sync/atomic"

	"github.com/semel-go/semel"
)

// transaction implements [semel.Transaction].
type transaction struct {
	dialect Dialect
	conn    *sql.Conn
	session Session
	handle  *Tx
	ended   atomic.Bool
	at      atomic.Bool // a step is under way, and may hang
}

// Lock implements [semel.TxSteps].
func (x *transaction) Lock(ctx context.Context, key semel.Key, token semel.Token) error {
	defer x.at.Store(false)
	x.at.Store(true)
	return x.failed(x.session.Steps.Lock(context.WithoutCancel(ctx), key, token))
}

// Reserve implements [semel.TxSteps].
func (x *transaction) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	defer x.at.Store(false)
	x.at.Store(true)
	held, err := x.session.Steps.Reserve(context.WithoutCancel(ctx), r)
	return held, x.failed(err)
}

// Complete implements [semel.TxSteps]. The business code's turn is over: nothing
// that it still has under way may come between the record and the commit.
func (x *transaction) Complete(ctx context.Context, c semel.Completion) error {
	x.handle.seal(strayPatience)
	x.handle.findOut(ctx)
	if err := x.handle.err(); err != nil {
		return fmt.Errorf("semelsql: the transaction cannot be committed: %w", err)
	}
	defer x.at.Store(false)
	x.at.Store(true)
	return x.failed(x.session.Steps.Complete(context.WithoutCancel(ctx), c))
}

// failed remembers the error of a step, after which there is no commit: business
// writes without their record would be lost to every retry.
func (x *transaction) failed(err error) error {
	if err != nil {
		x.handle.spoil(err)
	}
	return err
}

// Attach implements [semel.Transaction].
func (x *transaction) Attach(ctx context.Context) context.Context {
	x.handle.mu.Lock()
	defer x.handle.mu.Unlock()
	x.handle.ctx = ctx
	return context.WithValue(ctx, txKey{}, x.handle)
}

// Err implements [semel.Transaction]. It does no I/O, unless the last statement is one
// that had to be watched, or the transaction is over and one gives reason to ask.
func (x *transaction) Err() error {
	over, hangs := x.ended.Load(), x.at.Load()
	if (over || hangs) && x.session.Fate != nil {
		if err := x.session.Fate(over); err != nil {
			return err
		}
	}
	switch {
	case hangs: // and has the connection
		return x.handle.known()
	case !over:
		x.handle.findOut(x.handle.attempt())
	}
	return x.handle.err()
}

// Commit implements [semel.Transaction].
func (x *transaction) Commit(ctx context.Context) error {
	if x.ended.Load() {
		return semel.ErrTxOver
	}
	x.handle.seal(strayPatience)
	x.handle.findOut(ctx)
	if err := x.handle.err(); err != nil {
		x.Rollback(ctx)
		return fmt.Errorf("semelsql: the transaction was rolled back: %w", err)
	}
	if !alive(x.conn) {
		x.Rollback(ctx)
		return errSevered
	}
	if !x.ended.CompareAndSwap(false, true) {
		return semel.ErrTxOver
	}
	defer x.done()
	x.handle.part()
	err := x.session.Tx.Commit()
	if err != nil {
		// Whatever the server has open still, it rolls back without us.
		discard(x.conn)
		if x.dialect.Refused(err) {
			return fmt.Errorf("semelsql: commit: %w", err)
		}
		return fmt.Errorf("%w: %w", semel.ErrCommitUnknown, err)
	}
	x.giveBack(ctx)
	return nil
}

// Rollback implements [semel.Transaction]. A statement under way does not hold it up.
func (x *transaction) Rollback(ctx context.Context) {
	x.handle.seal(0)
	if !x.ended.CompareAndSwap(false, true) {
		return
	}
	defer x.done()
	x.handle.part()
	if err := x.session.Tx.Rollback(); err != nil {
		discard(x.conn)
		return
	}
	x.giveBack(ctx)
}

// giveBack returns the connection of a transaction that ended cleanly.
func (x *transaction) giveBack(ctx context.Context) {
	if x.session.End != nil {
		if err := x.session.End(context.WithoutCancel(ctx)); err != nil {
			discard(x.conn)
			return
		}
	}
	_ = x.conn.Close() // it goes back to its pool
}

func (x *transaction) done() {
	if x.session.Done != nil {
		x.session.Done()
	}
}

// discard closes the connection itself, where Close would give it back.
func discard(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = conn.Close()
}

// alive reports whether the driver would still use the connection, as far as it
// knows.
func alive(conn *sql.Conn) bool {
	valid := true
	err := conn.Raw(func(c any) error {
		if v, ok := c.(driver.Validator); ok {
			valid = v.IsValid()
		}
		return nil
	})
	return err == nil && valid
}
