package sqlitestore

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
)

// callerStmt is a statement in a transaction of package sql.
type callerStmt struct {
	tx         *sql.Tx
	name, text string
}

func (s callerStmt) exec(args ...driver.Value) (int64, error) {
	changed, _, err := s.insert(args...)
	return changed, err
}

func (s callerStmt) insert(args ...driver.Value) (changed, id int64, err error) {
	res, err := s.tx.ExecContext(uncancelled(), s.text, anys(args)...)
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
	rows, err := s.tx.QueryContext(uncancelled(), s.text, anys(args)...)
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
