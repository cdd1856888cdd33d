// Package bankdb has the shape of what sqlc generates from schema.sql and query.sql
// for MySQL. It was written by hand, so that the example needs no generator.
package bankdb

import (
	"context"
	"database/sql"
)

// DBTX is what sqlc asks of a pool or a transaction. A transaction of semelsql
// has these methods, too.
type DBTX interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// New returns the queries on db.
func New(db DBTX) *Queries { return &Queries{db: db} }

// Queries are the statements of query.sql.
type Queries struct{ db DBTX }
