package sqlitestore

import (
	"context"
	"database/sql"
	"fmt"
	"os"
)

// setBusyTimeout makes a connection wait for other writers as long as the store does.
const setBusyTimeout = "PRAGMA busy_timeout = 5000"

// synchronousFull is the least PRAGMA synchronous with which a commit is on the
// disk when it returns.
const synchronousFull = 2

// settings are what a connection of the application must have right.
type settings struct {
	file        string // of its main database
	synchronous int64
	busyTimeout int64 // in milliseconds
}

// querier is a *sql.Conn or a *sql.Tx.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func settingsOf(q querier) (found settings, err error) {
	var number int
	var name string // the main database is the first
	err = q.QueryRowContext(uncancelled(), "PRAGMA database_list").Scan(&number, &name, &found.file)
	if err == nil {
		err = q.QueryRowContext(uncancelled(), "PRAGMA synchronous").Scan(&found.synchronous)
	}
	if err == nil {
		err = q.QueryRowContext(uncancelled(), "PRAGMA busy_timeout").Scan(&found.busyTimeout)
	}
	return found, err
}

// fit returns an error for a connection in whose transactions no record can be
// completed: to another file, or one that does not sync when it commits.
func (s *Store) fit(found settings) error {
	if !s.isFile(found.file) {
		return fmt.Errorf("sqlitestore: the transaction is in %q, and the records are in %s", found.file, s.file)
	}
	if found.synchronous < synchronousFull {
		return fmt.Errorf("sqlitestore: the connection has PRAGMA synchronous = %d, so a commit may not be on the disk: open the database with _pragma=synchronous(FULL)", found.synchronous)
	}
	return nil
}

// isFile reports whether a path leads to the store's file. It opens nothing: closing it
// again would take SQLite's locks away.
func (s *Store) isFile(path string) bool {
	if path == s.file {
		return true
	}
	theirs, err := os.Stat(path)
	if err != nil {
		return false
	}
	ours, err := os.Stat(s.file)
	return err == nil && os.SameFile(theirs, ours)
}
