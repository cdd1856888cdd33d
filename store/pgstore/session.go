package pgstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/semel-go/semel"
)

var (
	errInUse   = errors.New("pgstore: the transaction is in use: its handle is for one goroutine at a time")
	errAborted = errors.New("pgstore: a statement failed, and the server takes no more in this transaction")
	errEnded   = fmt.Errorf("pgstore: %w: %w", semel.ErrTxEnded, semel.ErrTxOwned)
	errGone    = errors.New("it was closed")
)

// session is the connection of a transaction, for one user at a time. Nobody waits
// for it: a source of CopyFrom that asks the handle it is copied by would wait
// for itself.
type session struct {
	store *Store
	conn  *pgxpool.Conn
	mine  bool // the connection is of the store's own pool
	level pgx.TxIsoLevel
	batch bool // several statements may be sent in one round trip
	dial  func(ctx context.Context) (*pgxpool.Conn, error)

	sealed atomic.Bool // the handle's turn is over
	over   atomic.Bool // Commit or Rollback was called
	owned  atomic.Bool // the handle was told to end the transaction
	lent   atomic.Bool // the driver's own transaction was given out
	fate   fate

	mu    sync.Mutex // held by the user; what follows is its
	used  bool       // a step has come through, or the business code has its handle
	tx    pgx.Tx     // nil until the server has begun it
	open  unread     // what the handle has begun to read
	cause error      // the first error since the server last said that all is well
	final error      // a reason that no savepoint heals
}

// unread is a result that must be read to its end before the connection can be used
// for anything else.
type unread interface{ finish() error }

// enter gives the session to its caller, who leaves it.
func (s *session) enter() error {
	switch {
	case s.over.Load():
		return semel.ErrTxOver
	case !s.mu.TryLock():
		return errInUse
	case s.over.Load():
		s.mu.Unlock()
		return semel.ErrTxOver
	}
	return nil
}

// enterHandle is enter for the business code.
func (s *session) enterHandle() error {
	if s.sealed.Load() {
		return semel.ErrTxOver
	}
	if err := s.enter(); err != nil {
		return err
	}
	if s.sealed.Load() {
		s.mu.Unlock()
		return semel.ErrTxOver
	}
	if err := s.final; err != nil { // or the statement would be a transaction of its own
		s.mu.Unlock()
		return err
	}
	return nil
}

// leave notes how the statement ended and gives the session back.
func (s *session) leave(err error) {
	s.note(err)
	s.mu.Unlock()
}

// note keeps the first error after which there is no commit. What the server says of
// the transaction decides, and it says so when a statement has come to its end:
// errors of the driver alone spoil nothing, and a rollback to a savepoint heals.
func (s *session) note(err error) {
	s.cause = cmp.Or(s.cause, err)
	conn := s.conn.Conn().PgConn()
	switch {
	case conn.IsClosed():
		if s.final == nil {
			s.final = &brokenError{cmp.Or(s.cause, errGone)}
		}
	case s.tx == nil: // nothing has begun that could have ended
		s.final = cmp.Or(s.final, err)
	case conn.IsBusy():
	case conn.TxStatus() == 'T':
		s.cause = nil
	case conn.TxStatus() == 'E':
		s.cause = cmp.Or(s.cause, errAborted)
	default:
		s.final = cmp.Or(s.final, errEnded)
	}
}

// reason returns why there is no commit, or nil, after it has read to the end what the
// business code has not: an error may come last. The caller has the session.
func (s *session) reason() error {
	var err error
	if open := s.open; open != nil {
		s.open = nil
		err = open.finish()
	}
	s.note(err)
	switch {
	case s.final != nil:
		return s.final
	case s.owned.Load():
		return semel.ErrTxOwned
	case s.conn.Conn().PgConn().IsBusy():
		return errInUse // by the driver's connection, which Conn gives out
	case s.cause == nil:
		s.final = err // nobody else has seen it
	}
	return cmp.Or(s.cause, err)
}

// release gives the connection back, or closes one that cannot be used again. The
// caller has the session, and over is set.
func (s *session) release() {
	if s.mine && s.conn.Conn().IsClosed() {
		s.store.watch.note()
	}
	s.conn.Release()
}

// redial takes another connection for one that broke while it rested. Nothing has happened
// in its transaction, and nobody has seen it. After an error it is over.
func (s *session) redial(ctx context.Context) error {
	s.release() // first: the pool may have no second one
	conn, err := s.dial(context.WithoutCancel(ctx))
	if err != nil {
		s.over.Store(true)
		return err
	}
	s.conn, s.tx, s.cause, s.final = conn, nil, nil, nil
	return nil
}

// sever ends a statement that another goroutine has under way.
func (s *session) sever() { _ = s.conn.Conn().PgConn().Conn().Close() }

// rollback rolls back, in a time that the caller can bear: the server does it by
// itself when the connection ends.
func (s *session) rollback(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackPatience)
	defer cancel()
	if s.tx != nil {
		_ = s.tx.Rollback(ctx) // the driver closes the connection when that fails
	}
}

// start begins the transaction, if no statement has yet. The caller has the session.
func (s *session) start(ctx context.Context) (err error) {
	if s.tx == nil {
		s.tx, err = s.conn.BeginTx(context.WithoutCancel(ctx), pgx.TxOptions{IsoLevel: s.level})
	}
	return err
}

// queryRow asks in the transaction, and begins it in the same round trip if it can.
func (s *session) queryRow(ctx context.Context, mode []any, text string, args []any) pgx.Row {
	if s.tx == nil && s.batch {
		b := &pgx.Batch{}
		b.BeginTx(pgx.TxOptions{IsoLevel: s.level})
		b.Queue(text, args...)
		return firstRow{s, s.conn.SendBatch(ctx, b)}
	}
	if err := s.start(ctx); err != nil {
		return failedRow{err}
	}
	return s.tx.QueryRow(ctx, text, with(mode, args)...)
}
