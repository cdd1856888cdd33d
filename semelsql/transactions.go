package semelsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/semel-go/semel"
)

// connWait bounds the wait for a connection of the pool. Without it, handlers
// that ask a pool for a second connection could hold it up for ever.
const connWait = 10 * time.Second

// beginTries bounds how often a begin is repeated on another connection: a pool
// may have some that broke while they were idle.
const beginTries = 3

var errSevered = errors.New("semelsql: the connection broke before the commit")

// New returns the transactions of a store: on connections of db, in the given
// mode, at the given isolation level. It does no I/O. All arguments but isolation
// must be set; the store's module checks them.
//
// Begin waits up to 10 seconds for a connection of the pool.
func New(db *sql.DB, store semel.Store, d Dialect, mode semel.TxMode, isolation sql.IsolationLevel) semel.Transactions {
	ender, _ := d.(Ender)
	return &transactions{db: db, store: store, dialect: d, ender: ender, mode: mode, isolation: isolation}
}

// transactions implements [semel.Transactions].
type transactions struct {
	db        *sql.DB
	store     semel.Store
	dialect   Dialect
	ender     Ender // may be nil
	mode      semel.TxMode
	isolation sql.IsolationLevel
}

// Mode implements [semel.Transactions].
func (t *transactions) Mode() semel.TxMode { return t.mode }

// Store implements [semel.Transactions].
func (t *transactions) Store() semel.Store { return t.store }

// Begin implements [semel.Transactions].
func (t *transactions) Begin(ctx context.Context) (semel.Transaction, error) {
	ctx = context.WithoutCancel(ctx)
	for try := 1; ; try++ {
		x, err := t.begin(ctx)
		if err == nil {
			return x, nil
		}
		if try == beginTries || !t.dialect.Again(err) {
			return nil, fmt.Errorf("semelsql: begin: %w", err)
		}
	}
}

func (t *transactions) begin(ctx context.Context) (*transaction, error) {
	waiting, stop := context.WithTimeout(ctx, connWait)
	defer stop()
	conn, err := t.db.Conn(waiting)
	if err != nil {
		return nil, err
	}
	session, err := t.dialect.Begin(ctx, conn, t.isolation)
	if err != nil {
		discard(conn)
		return nil, err
	}
	h := &Tx{tx: session.Tx, dialect: t.dialect, ender: t.ender, lost: session.Gone, watch: session.Watch, unseen: session.Unseen}
	h.life, h.cut = context.WithCancel(ctx)
	return &transaction{dialect: t.dialect, conn: conn, session: session, handle: h}, nil
}

// Again implements [semel.Transactions]. A context that business code ended is
// its own decision, which another try would meet again.
func (t *transactions) Again(err error) bool {
	switch {
	case err == nil, errors.Is(err, semel.ErrCommitUnknown), errors.Is(err, semel.ErrTxOwned),
		errors.Is(err, semel.ErrTxOver), errors.Is(err, semel.ErrLost), ended(err):
		return false
	}
	return errors.Is(err, errSevered) || t.dialect.Again(err)
}
