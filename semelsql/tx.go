package semelsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/semel-go/semel"
)

type txKey struct{}

// TxFrom returns the handle of the transaction that the attempt of ctx runs in,
// or nil.
func TxFrom(ctx context.Context) *Tx {
	t, _ := ctx.Value(txKey{}).(*Tx)
	return t
}

// Tx is the handle by which business code writes in a transaction that is not
// its own. Its methods are those of [sql.Tx]. Like a transaction it is for one
// goroutine at a time; used by more, it stays whole.
//
// Once the response is being kept or the transaction has ended, every method
// returns [semel.ErrTxOver], and a statement that was prepared before fails. What another
// goroutine has under way then may end within 2 seconds, or is broken off, and with it the
// transaction; a rollback breaks it off at once. Before that, a transaction that is gone takes no more statements: they return the
// error by which it went.
type Tx struct {
	tx      *sql.Tx
	dialect Dialect
	ender   Ender                          // may be nil
	lost    func() error                   // Session.Gone; may be nil
	watch   func(first, query string) Mark // Session.Watch; may be nil
	unseen  func()                         // Session.Unseen; may be nil
	life    context.Context                //nolint:containedctx // ends with the transaction
	cut     context.CancelFunc             // ends it

	unread sync.Map     // of *statement, the rows of QueryRow that nobody has scanned yet
	gate   sync.RWMutex // a statement holds it for reading, the end for writing
	over   bool

	mu     sync.Mutex
	ctx    context.Context //nolint:containedctx // of the attempt
	rows   []*sql.Rows     // that may still be read
	stmts  []*sql.Stmt
	ended  func(context.Context) error // finds out whether the last statement has ended it
	spoilt error                       // the first error after which there is no commit
	damage Damage
}

// ExecContext is [sql.Tx.ExecContext].
func (t *Tx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	cmd, err := t.enter(ctx, query)
	if err != nil {
		return nil, err
	}
	defer t.gate.RUnlock()
	if err := t.mark(ctx, query); err != nil {
		return nil, err
	}
	alive := t.under(ctx)
	defer alive.release()
	res, err := t.tx.ExecContext(alive, query, args...)
	t.ran(cmd, err)
	t.findOut(ctx)
	return res, err
}

// QueryContext is [sql.Tx.QueryContext].
func (t *Tx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	cmd, err := t.enter(ctx, query)
	if err != nil {
		return nil, err
	}
	defer t.gate.RUnlock()
	if err := t.mark(ctx, query); err != nil {
		return nil, err
	}
	alive := t.under(ctx)                                 // until the rows are closed
	rows, err := t.tx.QueryContext(alive, query, args...) //nolint:sqlclosecheck // the caller's; seal closes them too
	t.ran(cmd, err)
	if err != nil {
		alive.release()
		return nil, err
	}
	alive.reads(nil)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = append(t.rows, rows)
	return rows, nil
}

// QueryRowContext is [sql.Tx.QueryRowContext].
func (t *Tx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	cmd, err := t.enter(ctx, query)
	if err != nil {
		return failedRow(ctx, err)
	}
	defer t.gate.RUnlock()
	if err := t.mark(ctx, query); err != nil {
		return failedRow(ctx, err)
	}
	alive := t.under(ctx) // until the row is scanned
	row := t.tx.QueryRowContext(alive, query, args...)
	t.ran(cmd, row.Err())
	if row.Err() != nil {
		alive.release()
	} else {
		alive.reads(row)
	}
	return row
}

// PrepareContext is [sql.Tx.PrepareContext]. What spoils the transaction in the
// prepared statement is noticed at the commit at the latest. No execution of it must outlive
// the handler: until that has ended, the connection is held and the outcome is reported as
// unknown.
func (t *Tx) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	cmd, err := t.enter(ctx, query)
	if err != nil {
		return nil, err
	}
	defer t.gate.RUnlock()
	if t.stealthy(query) != nil {
		return nil, errUnwatched
	}
	alive := t.under(ctx)
	defer alive.release()
	stmt, err := t.tx.PrepareContext(alive, query) //nolint:sqlclosecheck // the caller's; seal closes it too
	t.ran(cmd, err)
	if err == nil {
		t.keep(stmt)
	}
	return stmt, err
}

// StmtContext is [sql.Tx.StmtContext]: stmt, of the pool that the transaction's
// connection is of, for this transaction. Its text is nobody's to see, so it must not be one
// that ends the transaction: where the store can find out, that is told after a rollback
// ([semel.ErrTxEnded]), not before a commit. What PrepareContext says holds for it too.
func (t *Tx) StmtContext(ctx context.Context, stmt *sql.Stmt) *sql.Stmt {
	t.gate.RLock()
	defer t.gate.RUnlock()
	if t.unseen != nil {
		t.unseen()
	}
	alive := t.under(ctx)
	defer alive.release()
	own := t.tx.StmtContext(alive, stmt)
	if t.over {
		_ = own.Close() //nolint:sqlclosecheck // it must not run any more
	} else {
		t.keep(own)
	}
	return own
}

// Exec is ExecContext in the attempt's context.
func (t *Tx) Exec(query string, args ...any) (sql.Result, error) {
	return t.ExecContext(t.attempt(), query, args...)
}

// Query is QueryContext in the attempt's context.
func (t *Tx) Query(query string, args ...any) (*sql.Rows, error) {
	return t.QueryContext(t.attempt(), query, args...)
}

// QueryRow is QueryRowContext in the attempt's context.
func (t *Tx) QueryRow(query string, args ...any) *sql.Row {
	return t.QueryRowContext(t.attempt(), query, args...)
}

// Prepare is PrepareContext in the attempt's context.
func (t *Tx) Prepare(query string) (*sql.Stmt, error) {
	return t.PrepareContext(t.attempt(), query)
}

// attempt is the context of the methods that take none: that of the attempt, so that
// they end when it does.
func (t *Tx) attempt() context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx == nil {
		return context.Background() //nolint:forbidigo // as package sql does
	}
	return t.ctx
}

// Commit returns [semel.ErrTxOwned] and makes the transaction one that is rolled
// back. It is here for libraries that know a transaction by it, and then
// use savepoints, as GORM does.
func (t *Tx) Commit() error { return t.owned() }

// Rollback returns [semel.ErrTxOwned], like Commit. Return an error instead.
func (t *Tx) Rollback() error { return t.owned() }

func (t *Tx) owned() error {
	t.gate.RLock()
	defer t.gate.RUnlock()
	if t.over {
		return semel.ErrTxOver
	}
	t.spoil(semel.ErrTxOwned)
	return semel.ErrTxOwned
}

// enter lets a statement through, which then holds the gate.
func (t *Tx) enter(ctx context.Context, query string) (cmd command, err error) {
	t.gate.RLock()
	defer func() {
		if err != nil {
			t.gate.RUnlock()
		}
	}()
	if t.over {
		return plain, semel.ErrTxOver
	}
	if cmd = commandOf(query, t.ender); cmd == ends {
		t.spoil(semel.ErrTxOwned)
		return cmd, semel.ErrTxOwned
	}
	t.findOut(ctx)
	if err := t.gone(); err != nil {
		return cmd, fmt.Errorf("semelsql: the transaction is lost: %w", err)
	}
	return cmd, ctx.Err() // nothing is sent, so nothing is spoilt
}

func (t *Tx) gone() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.poll()
	if t.damage == Gone {
		return t.spoilt
	}
	return nil
}

// ran notes how a statement ended.
func (t *Tx) ran(cmd command, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil && cmd == backTo && t.damage == Aborted {
		t.spoilt, t.damage = nil, None
	}
	t.note(err)
}

// note remembers err if it spoils the transaction. The caller holds mu.
func (t *Tx) note(err error) {
	switch {
	case err == nil:
	case ended(err):
		t.set(err, Gone) // the driver has broken the connection, or the statement
	default:
		t.set(err, t.dialect.Damage(err))
	}
}

func (t *Tx) set(err error, damage Damage) {
	if damage != None && t.spoilt == nil {
		t.spoilt = err
	}
	t.damage = max(t.damage, damage)
}

// spoil makes the transaction one that is not committed, because of err.
func (t *Tx) spoil(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.set(err, Gone)
}

// err returns why there is no commit, or nil.
func (t *Tx) err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.poll()
	return t.spoilt
}

// known is err, without a look.
func (t *Tx) known() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.spoilt
}

// poll looks at the rows that business code reads, which may end with an error
// that nobody passed on, and forgets those that are closed. That a context ended
// is no news there: database/sql says so also of rows that were closed before. The
// caller holds mu.
func (t *Tx) poll() {
	if t.lost != nil {
		if err := t.lost(); err != nil {
			t.set(err, Gone)
		}
	}
	t.rows = slices.DeleteFunc(t.rows, func(rows *sql.Rows) bool {
		if err := rows.Err(); !ended(err) {
			t.note(err)
		}
		_, err := rows.Columns()
		return err != nil
	})
}

// strayPatience is how long a completion waits for what the business code has left under
// way in another goroutine.
const strayPatience = 2 * time.Second

// seal ends the business code's turn: it waits so long for a statement under way, and
// lets none through from then on. What was left open is closed.
func (t *Tx) seal(patience time.Duration) {
	defer time.AfterFunc(patience, t.cut).Stop()
	t.gate.Lock()
	t.over = true
	t.gate.Unlock()
	t.closeRows()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, rows := range t.rows {
		_ = rows.Close() // its error is that of the rows, which poll sees
	}
	t.poll()
	for _, stmt := range t.stmts {
		_ = stmt.Close()
	}
	t.stmts = nil
}

// part leaves the transaction to its end, which is no news from then on.
func (t *Tx) part() {
	t.cut()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lost = nil
}

func (t *Tx) keep(stmt *sql.Stmt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stmts = append(t.stmts, stmt)
}

// ended reports whether err says that a context has ended.
func ended(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
