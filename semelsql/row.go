package semelsql

import (
	"context"
	"database/sql"
	"database/sql/driver"
)

// failedRow returns a row whose Scan returns err. Only package sql can make
// one: it does for a query on a pool that gives no connection.
func failedRow(ctx context.Context, err error) *sql.Row {
	db := sql.OpenDB(refusing{err})
	defer func() { _ = db.Close() }()
	return db.QueryRowContext(context.WithoutCancel(ctx), "")
}

// refusing is a connector that makes no connection.
type refusing struct{ err error }

// Connect implements [driver.Connector].
func (r refusing) Connect(context.Context) (driver.Conn, error) { return nil, r.err }

// Driver implements [driver.Connector].
func (r refusing) Driver() driver.Driver { return r }

// Open implements [driver.Driver].
func (r refusing) Open(string) (driver.Conn, error) { return nil, r.err }
