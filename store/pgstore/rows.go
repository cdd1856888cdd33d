package pgstore

import (
	"cmp"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

var (
	_ pgx.Rows         = (*rows)(nil)
	_ pgx.BatchResults = (*batchResults)(nil)
)

// firstRow is the row of a statement that was sent behind the beginning of its
// transaction.
type firstRow struct {
	session *session
	results pgx.BatchResults
}

// Scan implements [pgx.Row]. An error may come before the BEGIN: the driver prepares
// statements ahead of it.
func (r firstRow) Scan(dest ...any) error {
	_, err := r.results.Exec()
	if err == nil {
		r.session.tx = r.results.Tx()
		err = r.results.QueryRow().Scan(dest...)
	}
	return cmp.Or(err, r.results.Close())
}

// failedRow is a row that could not be asked for.
type failedRow struct{ err error }

// Scan implements [pgx.Row].
func (r failedRow) Scan(...any) error { return r.err }

// rows are the driver's, read under the session. Those that were refused have none.
type rows struct {
	session *session
	rows    pgx.Rows
	refused error
}

// use lets f read.
func (r *rows) use(f func() error) error {
	if r.refused == nil {
		r.refused = r.session.enterHandle()
	}
	if r.refused != nil {
		return r.refused
	}
	err := f()
	r.session.leave(err)
	return err
}

// done says that there is nothing to read any more, and what has come of it.
func (r *rows) done() error {
	if r.session.open == unread(r) {
		r.session.open = nil
	}
	return r.rows.Err()
}

// finish implements [unread].
func (r *rows) finish() error {
	r.rows.Close()
	return r.rows.Err()
}

// Close implements [pgx.Rows].
func (r *rows) Close() {
	_ = r.use(func() error {
		r.rows.Close()
		return r.done()
	})
}

// Err implements [pgx.Rows].
func (r *rows) Err() error {
	return r.use(func() error { return r.rows.Err() })
}

// Next implements [pgx.Rows].
func (r *rows) Next() (more bool) {
	_ = r.use(func() error {
		if more = r.rows.Next(); more {
			return nil
		}
		return r.done()
	})
	return more
}

// Scan implements [pgx.Rows].
func (r *rows) Scan(dest ...any) error {
	return r.use(func() error {
		err := r.rows.Scan(dest...)
		if err != nil { // the driver has closed them
			_ = r.done()
		}
		return err
	})
}

// Values implements [pgx.Rows].
func (r *rows) Values() (values []any, err error) {
	err = r.use(func() (err error) {
		values, err = r.rows.Values()
		return err
	})
	return values, err
}

// RawValues implements [pgx.Rows].
func (r *rows) RawValues() (values [][]byte) {
	_ = r.use(func() error {
		values = r.rows.RawValues()
		return nil
	})
	return values
}

// CommandTag implements [pgx.Rows].
func (r *rows) CommandTag() (tag pgconn.CommandTag) {
	_ = r.use(func() error {
		tag = r.rows.CommandTag()
		return nil
	})
	return tag
}

// FieldDescriptions implements [pgx.Rows].
func (r *rows) FieldDescriptions() (fields []pgconn.FieldDescription) {
	_ = r.use(func() error {
		fields = r.rows.FieldDescriptions()
		return nil
	})
	return fields
}

// Conn implements [pgx.Rows], as that of the handle does.
func (r *rows) Conn() (conn *pgx.Conn) {
	_ = r.use(func() error {
		r.session.fate.raise(mayHaveEnded)
		conn = r.rows.Conn()
		return nil
	})
	return conn
}

// TypeMap implements [pgx.Rows].
func (r *rows) TypeMap() (types *pgtype.Map) {
	_ = r.use(func() error {
		types = r.rows.TypeMap()
		return nil
	})
	return types
}

// oneRow is the first of rows.
type oneRow struct{ rows *rows }

// Scan implements [pgx.Row].
func (o oneRow) Scan(dest ...any) error {
	r := o.rows
	return r.use(func() error {
		defer func() {
			r.rows.Close()
			_ = r.done()
		}()
		for _, d := range dest {
			if _, ok := d.(*pgtype.DriverBytes); ok {
				return errors.New("the driver's bytes are gone when the row of QueryRow has been scanned")
			}
		}
		if !r.rows.Next() {
			return cmp.Or(r.rows.Err(), pgx.ErrNoRows)
		}
		_ = r.rows.Scan(dest...) // its error is that of the rows
		r.rows.Close()
		return r.rows.Err()
	})
}

// batchResults are the driver's, read under the session.
type batchResults struct {
	pgx.BatchResults
	session *session
}

// finish implements [unread]. It calls what was queued to be called.
func (b *batchResults) finish() error { return b.BatchResults.Close() }

// Exec implements [pgx.BatchResults].
func (b *batchResults) Exec() (tag pgconn.CommandTag, err error) {
	if err := b.session.enterHandle(); err != nil {
		return tag, err
	}
	defer func() { b.session.leave(err) }()
	return b.BatchResults.Exec()
}

// Query implements [pgx.BatchResults].
func (b *batchResults) Query() (pgx.Rows, error) { return b.query() }

func (b *batchResults) query() (r *rows, err error) {
	r = &rows{session: b.session}
	if r.refused = b.session.enterHandle(); r.refused != nil {
		return r, r.refused
	}
	defer func() { b.session.leave(err) }()
	r.rows, err = b.BatchResults.Query()
	return r, err
}

// QueryRow implements [pgx.BatchResults].
func (b *batchResults) QueryRow() pgx.Row {
	r, _ := b.query() // Scan closes them, and has the error
	return oneRow{r}
}

// Close implements [pgx.BatchResults].
func (b *batchResults) Close() (err error) {
	if err := b.session.enterHandle(); err != nil {
		return err
	}
	defer func() { b.session.leave(err) }()
	if b.session.open == unread(b) {
		b.session.open = nil
	}
	return b.BatchResults.Close()
}
