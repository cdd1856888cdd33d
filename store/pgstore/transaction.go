package pgstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/semel-go/semel"
)

// transaction implements [semel.Transaction].
type transaction struct {
	*session
	steps  fatedSteps
	handle *handle
}

var _ semel.CompleteCommitter = (*transaction)(nil)

// newTransaction makes the transaction of s. On a connection of the
// store's own pool statements are sent as the store sends its own: behind a pooler,
// prepared ones are not to be relied on.
func newTransaction(s *session) *transaction {
	var steady, seen []any
	if s.mine {
		steady = []any{s.store.execMode()}
	}
	if s.mine && !s.store.fixedMode {
		seen = steady
	}
	row := func(ctx context.Context, text string, args ...any) pgx.Row {
		return s.queryRow(ctx, steady, text, args)
	}
	return &transaction{
		session: s, steps: fatedSteps{&steps{store: s.store, row: row}, &s.fate}, handle: &handle{session: s, mode: seen},
	}
}

// with puts the mode before the arguments, where the driver looks for it.
func with(mode, args []any) []any {
	if len(mode) == 0 {
		return args
	}
	return append(slices.Clip(mode), args...)
}

// Lock implements [semel.TxSteps].
func (t *transaction) Lock(ctx context.Context, key semel.Key, token semel.Token) error {
	return t.step(ctx, func() error { return t.steps.Lock(ctx, key, token) })
}

// Reserve implements [semel.TxSteps].
func (t *transaction) Reserve(ctx context.Context, r semel.Reservation) (held semel.Record, err error) {
	err = t.step(ctx, func() (err error) {
		held, err = t.steps.Reserve(ctx, r)
		return err
	})
	return held, err
}

// Complete implements [semel.TxSteps]. It is the end of the handle: whatever of the
// business code still runs can undo nothing of it, with a savepoint from before.
func (t *transaction) Complete(ctx context.Context, c semel.Completion) error {
	t.sealed.Store(true)
	return t.step(ctx, func() error { return t.steps.Complete(ctx, c) })
}

// step runs a step, unless there is a reason why it cannot be committed. After an error
// there is: business writes without their record would be lost to every retry.
func (t *transaction) step(ctx context.Context, f func() error) error {
	if err := t.enter(); err != nil {
		return err
	}
	defer t.mu.Unlock()
	if err := t.reason(); err != nil {
		return err
	}
	err := f()
	for try := 1; !t.used && try < maxTries && t.conn.Conn().IsClosed() && again(err); try++ {
		if err := t.redial(ctx); err != nil {
			return explain("begin", err)
		}
		err = f()
	}
	t.used = t.used || err == nil
	if t.mine {
		t.store.learn(err)
	}
	t.note(err)
	t.final = cmp.Or(t.final, err)
	return t.final
}

// Err implements [semel.Transaction].
func (t *transaction) Err() error {
	if err := t.enter(); err != nil { // it is over, or in the hands of a step that hangs
		return cmp.Or(t.fate.ended(t.store, t.over.Load()), err)
	}
	defer t.mu.Unlock()
	return t.reason()
}

// Commit implements [semel.Transaction].
func (t *transaction) Commit(ctx context.Context) error {
	return t.end(ctx, func() error {
		if t.tx == nil {
			return nil
		}
		return t.committed(ctx, t.tx.Commit(context.WithoutCancel(ctx)))
	})
}

// end runs f as the last thing of the transaction, unless there is a reason why it
// cannot be committed.
func (t *transaction) end(ctx context.Context, f func() error) error {
	if t.over.Swap(true) {
		return semel.ErrTxOver
	}
	err := errInUse
	if t.mu.TryLock() {
		err = t.reason()
	} else {
		t.sever()
		t.mu.Lock()
	}
	defer t.mu.Unlock()
	defer t.release()
	if err != nil {
		t.rollback(ctx)
		return explain("commit", err)
	}
	return f()
}

// committed explains how a COMMIT has ended.
func (t *transaction) committed(ctx context.Context, err error) error {
	switch {
	case err == nil: // it stands: perhaps not with the standby
		if err = t.store.settled(context.WithoutCancel(ctx), t.conn, nil); err == nil {
			return nil
		}
	case !refused(err):
		t.store.notice(t.conn)
	default:
		return explain("commit", err)
	}
	return fmt.Errorf("pgstore: commit: %w: %w", semel.ErrCommitUnknown, err)
}

// CompleteAndCommit implements [semel.CompleteCommitter].
func (t *transaction) CompleteAndCommit(ctx context.Context, c semel.Completion) error {
	t.sealed.Store(true) // before the look at lent: who comes later gets nothing
	if !t.batch || t.lent.Load() {
		if err := t.Complete(ctx, c); err != nil {
			t.Rollback(ctx)
			return err
		}
		return t.Commit(ctx)
	}
	return t.end(ctx, func() error {
		if err := tooLarge("complete", c.Response); err != nil {
			t.rollback(ctx)
			return err
		}
		err := t.completeAndCommit(context.WithoutCancel(ctx), c)
		if _, broken := errors.AsType[*brokenError](err); broken {
			t.rollback(ctx)
			return explain("complete", err)
		}
		if t.conn.Conn().PgConn().TxStatus() != 'E' {
			return t.committed(ctx, err)
		}
		// The server has passed the COMMIT over.
		if t.mine {
			t.store.learn(err)
		}
		t.rollback(ctx)
		switch {
		case codeOf(err) != codeDivisionByZero:
		case t.steps.id == 0:
			err = semel.ErrLost
		default:
			err = errEnded
		}
		return explain("complete", err)
	})
}

// completeAndCommit sends both statements together.
func (t *transaction) completeAndCommit(ctx context.Context, c semel.Completion) error {
	if err := t.start(ctx); err != nil {
		return err
	}
	slot := c.Key.Slot()
	b := &pgx.Batch{}
	b.Queue(t.store.sql.completeLast, slot[:], c.Token[:],
		int32(c.Response.Status), c.Response.Header, c.Response.Body, micros(c.Retention), t.steps.id) //nolint:gosec // a status is small
	b.Queue("COMMIT")
	results := t.conn.SendBatch(ctx, b)
	var one int64
	err := results.QueryRow().Scan(&one)
	switch {
	case fell(err): // before the COMMIT: what the server has sent comes in order
		err = &brokenError{err}
	case err == nil:
		var tag pgconn.CommandTag
		tag, err = results.Exec()
		switch {
		case err != nil:
		case tag.String() == "ROLLBACK":
			err = pgx.ErrTxCommitRollback
		default: // it stands, whatever comes behind it
			_ = results.Close()
			return nil
		}
	}
	return cmp.Or(err, results.Close())
}

// Rollback implements [semel.Transaction].
func (t *transaction) Rollback(ctx context.Context) {
	if t.over.Swap(true) {
		return
	}
	if !t.mu.TryLock() {
		t.sever()
		t.mu.Lock()
	}
	defer t.mu.Unlock()
	t.rollback(ctx)
	t.release()
}

// Attach implements [semel.Transaction]. What follows is for the handle, which has a
// transaction: it begins here, unless a step has begun it.
func (t *transaction) Attach(ctx context.Context) context.Context {
	if t.enter() == nil {
		t.used = true
		t.note(t.start(ctx))
		t.mu.Unlock()
	}
	return context.WithValue(ctx, handleKey{}, t.handle)
}

type handleKey struct{}

// TxFrom returns the transaction that business code of [semel.Engine.InTx] writes
// in, or nil outside of one. It is for one goroutine at a time, and all its methods
// return [semel.ErrTxOver] once the response is being kept or the transaction has
// ended.
//
// Commit and Rollback return [semel.ErrTxOwned], as do statements that would do the
// same, and the transaction is rolled back. One that is hidden behind another statement, in a
// single text, is found out when the transaction is completed or was rolled back; the
// outcome is unknown then ([semel.ErrTxEnded]). Begin makes a savepoint, whose Commit
// and Rollback work: after an error of the server nothing but going back to one
// lets the transaction go on, and be committed.
//
// A context that ends under a statement breaks the connection and with it the
// transaction, as it does with pgx; that is not tried again.
//
// Behind a pooler that the store has seen, statements are sent whole unless
// [Config.ExecMode] is set; SendBatch and Prepare do as the pool's configuration says.
//
// Two ways lead past all this, for what needs them, and must not be kept. Conn gives
// out the driver's connection, nil once it is over; whoever commits on it takes
// the business writes away from their record. LargeObjects uses it too, and one of
// its errors is known only as that of some statement. And a handler that sets
// synchronous_commit weakens what the commit promises.
func TxFrom(ctx context.Context) pgx.Tx {
	if h, ok := ctx.Value(handleKey{}).(*handle); ok {
		return h
	}
	return nil
}
