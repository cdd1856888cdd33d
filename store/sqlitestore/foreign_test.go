package sqlitestore_test

import (
	"context"
	"database/sql/driver"
	"io"
)

// foreign is a driver of another SQLite: its connections answer what ours ask for.
type foreign struct{ path string }

func (f foreign) Connect(context.Context) (driver.Conn, error) { return f, nil }
func (foreign) Driver() driver.Driver                          { return nil }
func (foreign) Prepare(string) (driver.Stmt, error)            { return nil, driver.ErrSkip }
func (foreign) Close() error                                   { return nil }
func (foreign) Begin() (driver.Tx, error)                      { return nil, driver.ErrSkip }

func (f foreign) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return &foreignRows{path: f.path}, nil
}

type foreignRows struct {
	path string
	read bool
}

func (*foreignRows) Columns() []string { return []string{"file", "synchronous", "timeout"} }
func (*foreignRows) Close() error      { return nil }

func (r *foreignRows) Next(dst []driver.Value) error {
	if r.read {
		return io.EOF
	}
	r.read = true
	dst[0], dst[1], dst[2] = r.path, int64(2), int64(1)
	return nil
}
