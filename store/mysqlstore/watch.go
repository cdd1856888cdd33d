package mysqlstore

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/semel-go/semel/semelsql"
)

// harmless are the first words of statements that cannot commit, whatever follows: what
// functions and triggers do, the server checks.
var harmless = []string{
	"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH", "VALUES", "DO", "SHOW",
	"SAVEPOINT", "RELEASE", "ROLLBACK", // to a savepoint: the handle has refused the others
}

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
		if strings.Contains(upper, "AUTOCOMMIT") || strings.Contains(upper, "CALL") || hasStatement(upper) {
			return true
		}
	}
	if strings.Contains(query, "/*!") || strings.Contains(query, "/*M!") {
		return true
	}
	_, rest, more := strings.Cut(query, ";")
	return more && strings.TrimSpace(rest) != ""
}

// hasStatement reports whether a SET of MariaDB is "SET STATEMENT … FOR" a statement that is
// not harmless.
func hasStatement(upper string) bool {
	words := strings.Fields(upper)
	i := slices.Index(words, "FOR") + 1
	return slices.Contains(words, "STATEMENT") && (i == 0 || i == len(words) || !slices.Contains(harmless, words[i]))
}

// watch is [semelsql.Session].Watch in tx: a savepoint that is gone afterwards tells
// that its transaction is. A statement that need not be watched may still give reason to
// ask for the transaction's fate.
func (f *fate) watch(tx *sql.Tx) func(first, query string) semelsql.Mark {
	const name = "semel_watch"
	return func(first, query string) semelsql.Mark {
		watched := stealthy(first, query)
		if watched || !slices.Contains(harmless, first) {
			f.raise()
		}
		if !watched {
			return nil
		}
		return func(ctx context.Context) (func(context.Context) error, error) {
			_, err := tx.ExecContext(ctx, "SAVEPOINT "+name)
			return func(ctx context.Context) error {
				_, err := tx.ExecContext(ctx, "RELEASE SAVEPOINT "+name)
				if numberOf(err) == errNoSavepoint {
					err = errEnded
				}
				return err
			}, err
		}
	}
}
