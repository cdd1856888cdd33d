package pgstore

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/semel-go/semel"
)

var (
	_ semel.Transactions = (*transactions)(nil)
	_ semel.Transaction  = (*transaction)(nil)
	_ semel.Looker       = (*Store)(nil)
)

const (
	// connWait bounds the wait for a connection of the pool: handlers that ask it
	// for a second one while they have a transaction could hold it up for ever.
	connWait = 10 * time.Second
	// rollbackPatience bounds what a rollback takes.
	rollbackPatience = 5 * time.Second
)

// TxConfig is what [Store.Transactions] may be told. The zero value is safe.
type TxConfig struct {
	// Mode says what lies in the transaction. Default [semel.ClaimTx].
	Mode semel.TxMode
	// Isolation is the level of the transactions. Default [pgx.ReadCommitted],
	// whatever the role's own. At the higher levels more work is done again.
	Isolation pgx.TxIsoLevel
	// Pool gives the connections of the transactions. It must lead to the store's
	// database, which the first Begin finds out, as a role that may use its table.
	// Default: the store's.
	Pool *pgxpool.Pool
}

// Transactions returns transactions for [semel.Engine.InTx] in the database of the
// store, whose handle [TxFrom] finds. It does no I/O. What is wrong with cfg is the
// error of each Begin.
//
// A transaction takes one connection, and waits for one up to 10 s; in claim mode
// the reservation takes one before it. A handler that uses the store or the pool
// beside its handle takes a second one: give the pool room for that.
//
// Set idle_in_transaction_session_timeout and tcp_keepalives_idle for the role:
// the server keeps the locks of a transaction whose client has vanished without a
// word until one of them ends it.
//
// On connections that [Open] made, a commit that a synchronous standby may lack is
// noticed: its error is [semel.ErrCommitUnknown] and [ErrNotReplicated].
func (s *Store) Transactions(cfg TxConfig) semel.Transactions {
	t := &transactions{store: s, pool: cfg.Pool, mode: cfg.Mode, isolation: cfg.Isolation}
	if t.pool == nil {
		t.pool = s.pool
	}
	t.sends = t.pool.Config().ConnConfig.DefaultQueryExecMode
	switch t.isolation {
	case "":
		t.isolation = pgx.ReadCommitted
	case pgx.ReadUncommitted, pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable: // the first is the second
	default:
		t.wrong = fmt.Errorf("TxConfig.Isolation is %q, which is no level", t.isolation)
	}
	if t.mode > semel.SingleTx {
		t.wrong = fmt.Errorf("TxConfig.Mode is %d, which is no mode", t.mode)
	}
	return t
}

// transactions implements [semel.Transactions].
type transactions struct {
	store     *Store
	pool      *pgxpool.Pool
	mode      semel.TxMode
	isolation pgx.TxIsoLevel
	sends     pgx.QueryExecMode // how the pool's connections send batches
	wrong     error             // what is wrong with the configuration
	reached   atomic.Bool       // the pool leads to the store's database
}

// Mode implements [semel.Transactions].
func (t *transactions) Mode() semel.TxMode { return t.mode }

// Store implements [semel.Transactions].
func (t *transactions) Store() semel.Store { return t.store }

// Again implements [semel.Transactions].
func (t *transactions) Again(err error) bool { return again(err) }

// Begin implements [semel.Transactions]. It finds a connection; the first statement
// begins the transaction, in the same round trip.
func (t *transactions) Begin(ctx context.Context) (semel.Transaction, error) {
	ctx = context.WithoutCancel(ctx)
	if err := t.ready(ctx); err != nil {
		return nil, explain("begin", err)
	}
	s := &session{store: t.store, mine: t.pool == t.store.pool, level: t.isolation, dial: t.dial}
	s.batch = !s.mine || t.store.execMode() == t.sends
	var err error
	if s.conn, err = t.dial(ctx); err != nil {
		return nil, explain("begin", err)
	}
	return newTransaction(s), nil
}

func (t *transactions) ready(ctx context.Context) error {
	if t.wrong != nil {
		return t.wrong
	}
	if err := t.store.ready(ctx); err != nil || t.pool == t.store.pool || t.reached.Load() {
		return err
	}
	err := t.store.reachedBy(ctx, func(ctx context.Context, text string, args ...any) pgx.Row {
		return t.pool.QueryRow(ctx, text, with([]any{pgx.QueryExecModeExec}, args)...)
	})
	t.reached.Store(err == nil)
	return err
}

// dial takes a connection of the pool.
func (t *transactions) dial(ctx context.Context) (*pgxpool.Conn, error) {
	for try := 1; ; try++ {
		conn, err := t.take(ctx)
		if _, broken := errors.AsType[*brokenError](err); !broken || try == maxTries {
			return conn, err
		}
	}
}

func (t *transactions) take(ctx context.Context) (*pgxpool.Conn, error) {
	waiting, stop := context.WithTimeout(ctx, connWait)
	defer stop()
	conn, err := t.pool.Acquire(waiting)
	if err != nil {
		return nil, err
	}
	if err = t.store.settled(ctx, conn, nil); err != nil {
		if conn.Conn().IsClosed() {
			err = &brokenError{err}
			if t.pool == t.store.pool {
				t.store.watch.note()
			}
		}
		conn.Release()
		return nil, err
	}
	return conn, nil
}
