package sqlitestore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelsql"
)

// TxConfig is what [Store.Transactions] may be told. The zero value is safe.
type TxConfig struct {
	// Mode says what of an attempt lies in its transaction. Default
	// [semel.ClaimTx].
	Mode semel.TxMode
}

// Transactions returns transactions for [semel.Engine.InTx] on connections of db,
// which the application opened with modernc.org/sqlite on the store's file:
//
//	sql.Open("sqlite", "file:app.db?_pragma=busy_timeout(5000)&_pragma=synchronous(FULL)&_pragma=wal_autocheckpoint(0)")
//
// Business code writes by the handle of [semelsql.TxFrom]. Isolation is always
// serializable.
//
// SQLite has one writer at a time. The transactions of this process and the steps of
// the store take turns, each waiting up to 5 s; so keep transactions short, and
// within one take no step of the store and write on no other connection: both would
// wait for the transaction itself. While one is open, reservations of slots that are
// held or completed are answered at once; in [semel.SingleTx] so is a second
// transaction on the same slot, if both are of one process. Another process waits for
// the writer.
//
// Let db keep as many idle connections as there are transactions at a time
// (SetMaxIdleConns; 2 by default): opening one costs more than a transaction.
//
// Transactions looks at a connection of db and prepares statements. Every transaction
// checks its own connection, and fails unless it leads to the store's
// file with synchronous FULL or EXTRA, as it is by default. A connection without a
// busy_timeout is given one of 5 s. A commit hook or rollback hook of the
// connection's is replaced, and gone afterwards: that is how nothing is ever committed
// without its record, whatever the business code does. Leave checkpoints to the store
// (wal_autocheckpoint 0): a connection that makes one by itself tells nobody when the
// disk refuses to sync.
func (s *Store) Transactions(db *sql.DB, cfg TxConfig) (semel.Transactions, error) {
	switch {
	case s.writer == nil:
		return nil, ErrReadOnly
	case db == nil:
		return nil, errors.New("sqlitestore: no database for the transactions")
	case cfg.Mode != semel.ClaimTx && cfg.Mode != semel.SingleTx:
		return nil, fmt.Errorf("sqlitestore: TxConfig.Mode is %s", cfg.Mode)
	}
	p, err := s.tryOut(db)
	if err != nil {
		return nil, fmt.Errorf("sqlitestore: transactions: %w", s.stepError(err))
	}
	return semelsql.New(db, s, dialect{s, p}, cfg.Mode, sql.LevelDefault), nil
}

// tryOut looks at one connection of db, and prepares statements. They are the
// pool's, which closes them when it is closed.
func (s *Store) tryOut(db *sql.DB) (prepared, error) {
	ctx, stop := context.WithTimeout(uncancelled(), busyWait)
	defer stop()
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if err = conn.Raw(func(c any) error { _, err := hooksOf(c); return err }); err == nil {
		err = s.fits(conn)
	}
	if err = errors.Join(err, conn.Close()); err != nil {
		return nil, err
	}
	return s.prepare(ctx, db)
}

// fits checks a connection of the application, and lets it wait for other writers.
func (s *Store) fits(conn *sql.Conn) error {
	found, err := settingsOf(conn)
	if err == nil {
		err = s.fit(found)
	}
	if err == nil && found.busyTimeout == 0 {
		_, err = conn.ExecContext(uncancelled(), setBusyTimeout)
	}
	return err
}

// dialect implements [semelsql.Dialect].
type dialect struct {
	store    *Store
	prepared prepared
}

// Begin implements [semelsql.Dialect]. The transaction begins without a lock,
// whatever the connection's _txlock says: whether it has to wait for its turn depends on
// the slot. (The driver takes ReadOnly for nothing else.)
func (d dialect) Begin(ctx context.Context, conn *sql.Conn, _ sql.IsolationLevel) (semelsql.Session, error) {
	s := d.store
	if err := s.writer.queue.refusal(); err != nil {
		return semelsql.Session{}, err
	}
	if err := s.fits(conn); err != nil {
		return semelsql.Session{}, s.stepError(err)
	}
	g := &guard{}
	if err := conn.Raw(g.install); err != nil {
		return semelsql.Session{}, err
	}
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return semelsql.Session{}, s.stepError(err)
	}
	steps := &ownSteps{slotSteps: slotSteps{s, tx, d.prepared}, guard: g}
	return semelsql.Session{
		Tx: tx, Steps: steps, Gone: g.gone, Done: steps.done,
		End: func(context.Context) error { return conn.Raw(g.remove) },
	}, nil
}

// Damage implements [semelsql.Dialect]. What undoes its statement alone is listed;
// that SQLite rolled back all the same, as INSERT OR ROLLBACK wants it, or instead of a
// commit, the guard tells.
func (d dialect) Damage(err error) semelsql.Damage {
	code := codeOf(err)
	switch {
	case code == codeCommitHook:
		return semelsql.None // the guard knows better what it is
	case code == 0: // the statement was not sent, or there is nobody to send it to
		if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, sql.ErrTxDone) {
			return semelsql.Gone
		}
		return semelsql.None
	}
	switch code & 0xff {
	case codeError, codeReadOnly, codeTooBig, codeConstraint, codeMismatch, codeAuth, codeRange:
		return semelsql.None
	}
	return semelsql.Gone
}

// Again implements [semelsql.Dialect].
func (d dialect) Again(err error) bool { return isBusy(err) || errors.Is(err, driver.ErrBadConn) }

// Refused implements [semelsql.Dialect]. An error of the disk while the log is
// written or synced leaves open what a next recovery finds there.
func (d dialect) Refused(err error) bool {
	switch code := codeOf(err); code & 0xff {
	case codeError, codeBusy, codeLocked, codeFull, codeConstraint:
		return true
	case 0:
		return false
	}
	if damageOf(err) == file {
		_ = d.store.writer.poison(err)
	}
	return false
}

// ownSteps are the steps in a transaction of [Transactions].
type ownSteps struct {
	slotSteps
	guard *guard
	slots []semel.Slot // entered in the traffic
	turn  bool         // it is this transaction's
}

// Lock implements [semel.TxSteps].
func (x *ownSteps) Lock(_ context.Context, key semel.Key, token semel.Token) error {
	slot := key.Slot()
	x.enter(slot, false)
	return x.step(func() error { return x.lock(slot, token) })
}

// Reserve implements [semel.TxSteps].
func (x *ownSteps) Reserve(_ context.Context, r semel.Reservation) (held semel.Record, err error) {
	r.TakeOver, r.TakeOverBlameless = false, false
	slot := r.Key.Slot()
	if seen, ok := x.store.unchanged(slot, r); ok {
		return seen, nil // without a turn, which others that know of none may hold up
	}
	if !x.enter(slot, true) {
		return atWork(r), nil
	}
	err = x.step(func() (err error) {
		held, err = x.reserve(slot, r)
		return err
	})
	return held, err
}

// Complete implements [semel.TxSteps]. From here on the transaction may be committed.
func (x *ownSteps) Complete(_ context.Context, c semel.Completion) error {
	return x.step(func() error {
		err := x.guard.gone()
		if err == nil {
			err = x.complete(c.Key.Slot(), c)
		}
		if err == nil {
			x.guard.complete()
		}
		return err
	})
}

func (x *ownSteps) enter(slot semel.Slot, alone bool) bool {
	entered := x.store.traffic.enter(slot, alone)
	if entered {
		x.slots = append(x.slots, slot)
	}
	return entered
}

// step runs one step when it is this transaction's turn, which it keeps to its end.
func (x *ownSteps) step(run func() error) error {
	s := x.store
	if !x.turn {
		late := time.NewTimer(s.traffic.wait)
		defer late.Stop()
		if err := s.traffic.awaitTurn(late.C); err != nil {
			return err
		}
		x.turn = true
	}
	err := s.writer.queue.refusal() // after the wait
	if err == nil {
		err = run()
	}
	return s.stepError(err)
}

// done is called when the transaction is over.
func (x *ownSteps) done() {
	for _, slot := range x.slots {
		x.store.traffic.exit(slot)
	}
	if x.turn {
		x.store.traffic.endTurn()
		x.store.writer.checkpoints.written()
	}
}
