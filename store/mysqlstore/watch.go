package mysqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelsql"
)

// stealthy reports whether a statement, whose first word is given in upper case, may
// commit in a way that this word does not tell: in a procedure, by text of the
// server's own, in a second statement, in a comment that the server runs, or by
// switching autocommit on. A semicolon in a value costs two round trips.
func stealthy(first, query string) bool {
	switch first {
	case "CALL", "EXECUTE", "BEGIN":
		return true
	case "SET":
		upper := strings.ToUpper(query)
		if strings.Contains(upper, "AUTOCOMMIT") || strings.Contains(upper, "CALL") {
			return true
		}
	}
	if strings.Contains(query, "/*!") || strings.Contains(query, "/*M!") {
		return true
	}
	_, rest, more := strings.Cut(query, ";")
	return more && strings.TrimSpace(rest) != ""
}

// watch is [semelsql.Session].Watch in tx: a savepoint that is gone afterwards tells
// that its transaction is.
func watch(tx *sql.Tx) func(first, query string) semelsql.Mark {
	const name = "semel_watch"
	return func(first, query string) semelsql.Mark {
		if !stealthy(first, query) {
			return nil
		}
		return func(ctx context.Context) (func(context.Context) error, error) {
			_, err := tx.ExecContext(ctx, "SAVEPOINT "+name)
			return func(ctx context.Context) error {
				_, err := tx.ExecContext(ctx, "RELEASE SAVEPOINT "+name)
				if numberOf(err) == errNoSavepoint {
					err = fmt.Errorf("mysqlstore: %w: %w", semel.ErrTxEnded, semel.ErrTxOwned)
				}
				return err
			}, err
		}
	}
}
