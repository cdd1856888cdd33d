package pgstore

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/semel-go/semel"
)

var _ pgx.Tx = (*handle)(nil)

// savepoint stands for what the driver itself sends, none of which ends a transaction.
const savepoint = "SAVEPOINT"

// handle is the transaction as business code has it, or a savepoint in it.
type handle struct {
	session *session
	mode    []any  // how statements are sent, unless the connection knows
	inner   pgx.Tx // of a savepoint; nil for the transaction
}

// tx is what a caller who has been let through writes in.
func (h *handle) tx() pgx.Tx {
	if h.inner != nil {
		return h.inner
	}
	return h.session.tx
}

// enter lets a statement through.
func (h *handle) enter(text string, args ...any) error {
	s := h.session
	if err := s.enterHandle(); err != nil {
		return err
	}
	if endsTx(text) {
		s.owned.Store(true)
		s.mu.Unlock()
		return semel.ErrTxOwned
	}
	s.fate.see(text, args)
	return nil
}

// Begin makes a savepoint.
func (h *handle) Begin(ctx context.Context) (tx pgx.Tx, err error) {
	if err := h.enter(savepoint); err != nil {
		return nil, err
	}
	defer func() { h.session.leave(err) }()
	inner, err := h.tx().Begin(ctx)
	if err != nil {
		return nil, err
	}
	return &handle{session: h.session, mode: h.mode, inner: inner}, nil
}

// Commit keeps what was done since the savepoint.
func (h *handle) Commit(ctx context.Context) error {
	return h.end(func() error { return h.tx().Commit(ctx) })
}

// Rollback goes back to the savepoint.
func (h *handle) Rollback(ctx context.Context) error {
	return h.end(func() error { return h.tx().Rollback(ctx) })
}

func (h *handle) end(f func() error) (err error) {
	s := h.session
	if h.inner == nil {
		if s.sealed.Load() || s.over.Load() {
			return semel.ErrTxOver
		}
		s.owned.Store(true)
		return semel.ErrTxOwned
	}
	if err := s.enterHandle(); err != nil {
		return err
	}
	defer func() { s.leave(err) }()
	return f()
}

// Exec implements [pgx.Tx].
func (h *handle) Exec(ctx context.Context, text string, args ...any) (tag pgconn.CommandTag, err error) {
	if err := h.enter(text, args...); err != nil {
		return tag, err
	}
	defer func() { h.session.leave(err) }()
	return h.tx().Exec(ctx, text, with(h.mode, args)...)
}

// Query implements [pgx.Tx].
func (h *handle) Query(ctx context.Context, text string, args ...any) (pgx.Rows, error) {
	return h.query(ctx, text, args)
}

// QueryRow implements [pgx.Tx].
func (h *handle) QueryRow(ctx context.Context, text string, args ...any) pgx.Row {
	r, _ := h.query(ctx, text, args) // Scan closes them, and has the error
	return oneRow{r}
}

func (h *handle) query(ctx context.Context, text string, args []any) (r *rows, err error) {
	r = &rows{session: h.session}
	if r.refused = h.enter(text, args...); r.refused != nil {
		return r, r.refused
	}
	defer func() { h.session.leave(err) }()
	r.rows, err = h.tx().Query(ctx, text, with(h.mode, args)...)
	if err == nil {
		h.session.open = r
	}
	return r, err
}

// CopyFrom implements [pgx.Tx].
func (h *handle) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, from pgx.CopyFromSource) (n int64, err error) {
	if err := h.enter(savepoint); err != nil {
		return 0, err
	}
	defer func() { h.session.leave(err) }()
	return h.tx().CopyFrom(ctx, table, columns, from)
}

// Prepare implements [pgx.Tx].
func (h *handle) Prepare(ctx context.Context, name, text string) (d *pgconn.StatementDescription, err error) {
	if err := h.enter(text); err != nil { // the driver sends no more than one statement
		return nil, err
	}
	defer func() { h.session.leave(err) }()
	return h.tx().Prepare(ctx, name, text)
}

// SendBatch implements [pgx.Tx].
func (h *handle) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	text := savepoint
	for _, q := range b.QueuedQueries {
		if endsTx(q.SQL) {
			text = q.SQL
		}
	}
	if err := h.enter(text); err != nil {
		return pgx.FailedBatchResults(b, err)
	}
	for _, q := range b.QueuedQueries {
		h.session.fate.see(q.SQL, q.Arguments)
	}
	r := &batchResults{session: h.session}
	defer func() { h.session.leave(nil) }()
	r.BatchResults = h.tx().SendBatch(ctx, b)
	h.session.open = r
	return r
}

// LargeObjects implements [pgx.Tx]. They have the driver's own transaction, which then has
// to be told of its end: the commit takes a round trip of its own.
func (h *handle) LargeObjects() (objects pgx.LargeObjects) {
	h.session.lent.Store(true)
	if tx := h.tx(); h.session.sealed.Load() || h.session.over.Load() {
		objects = closedTx().LargeObjects()
	} else if tx != nil { // it has begun
		objects = tx.LargeObjects()
	}
	return objects
}

// closedTx is a transaction of the driver whose methods return [pgx.ErrTxClosed].
func closedTx() pgx.Tx {
	b := &pgx.Batch{}
	b.BeginTx(pgx.TxOptions{})
	return pgx.FailedBatchResults(b, pgx.ErrTxClosed).Tx()
}

// Conn implements [pgx.Tx].
func (h *handle) Conn() *pgx.Conn {
	s := h.session
	if s.sealed.Load() || s.over.Load() || h.tx() == nil {
		return nil
	}
	s.fate.raise(mayHaveEnded) // whatever is done on it, nobody sees
	return h.tx().Conn()
}
