package sqlitestore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
)

// callerStmt is a statement in a transaction of package sql.
type callerStmt struct {
	steps slotSteps
	name  string
}

// runner returns the statement prepared on the transaction's connection, if there is
// one.
func (s callerStmt) runner() runner {
	if stmt := s.steps.prepared[s.name]; stmt != nil {
		return s.steps.tx.StmtContext(uncancelled(), stmt)
	}
	return unprepared{s.steps.tx, s.steps.store.texts[s.name]}
}

// runner is an [sql.Stmt], or one that is not prepared.
type runner interface {
	ExecContext(ctx context.Context, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, args ...any) (*sql.Rows, error)
}

// unprepared is a statement that is compiled when it runs.
type unprepared struct {
	tx   *sql.Tx
	text string
}

func (u unprepared) ExecContext(ctx context.Context, args ...any) (sql.Result, error) {
	return u.tx.ExecContext(ctx, u.text, args...)
}

func (u unprepared) QueryContext(ctx context.Context, args ...any) (*sql.Rows, error) {
	return u.tx.QueryContext(ctx, u.text, args...)
}

// prepared are statements by name. Package sql prepares each once on each
// connection of its pool.
type prepared map[string]*sql.Stmt

// prepare prepares the statements of the steps in a transaction.
func (s *Store) prepare(ctx context.Context, db *sql.DB) (_ prepared, err error) {
	p := make(prepared)
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	for _, name := range callerNames {
		if p[name], err = db.PrepareContext(ctx, s.texts[name]); err != nil { //nolint:sqlclosecheck // kept
			delete(p, name)
			return nil, fmt.Errorf("prepare %s: %w", name, err)
		}
	}
	return p, nil
}

func (p prepared) close() (err error) {
	for _, stmt := range p {
		err = errors.Join(err, stmt.Close())
	}
	return err
}

func (s callerStmt) exec(args ...driver.Value) (int64, error) {
	changed, _, err := s.insert(args...)
	return changed, err
}

func (s callerStmt) insert(args ...driver.Value) (changed, id int64, err error) {
	res, err := s.runner().ExecContext(uncancelled(), anys(args)...)
	if err == nil {
		changed, err = res.RowsAffected()
	}
	if err == nil {
		id, err = res.LastInsertId()
	}
	if err != nil {
		return 0, 0, fmt.Errorf("%s: %w", s.name, err)
	}
	return changed, id, nil
}

func (s callerStmt) first(dest []driver.Value, args ...driver.Value) (found bool, err error) {
	rows, err := s.runner().QueryContext(uncancelled(), anys(args)...)
	if err != nil {
		return false, fmt.Errorf("%s: %w", s.name, err)
	}
	defer func() {
		if cerr := rows.Close(); cerr != nil && err == nil {
			err = fmt.Errorf("%s: %w", s.name, cerr)
		}
	}()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return false, fmt.Errorf("%s: %w", s.name, err)
		}
		return false, nil
	}
	into := make([]any, len(dest))
	for i := range dest {
		into[i] = (*any)(&dest[i])
	}
	if err := rows.Scan(into...); err != nil {
		return false, fmt.Errorf("%s: %w", s.name, err)
	}
	return true, nil
}

func (s callerStmt) integer(args ...driver.Value) (int64, bool, error) {
	var dest [1]driver.Value
	found, err := s.first(dest[:], args...)
	if err != nil || !found {
		return 0, false, err
	}
	n, ok := dest[0].(int64)
	if !ok {
		return 0, false, fmt.Errorf("%s: %T is not an integer", s.name, dest[0])
	}
	return n, true, nil
}

func anys(values []driver.Value) []any {
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	return args
}
