package pgstore

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/semel-go/semel"
)

// I10: ErrFull says that nothing was written, and the engine relies on it. A
// server whose log is full falls in the middle of a commit, under the same code,
// and what it had written by then counts.
func TestPanicIsNotErrFull(t *testing.T) {
	t.Parallel()
	for severity, full := range map[string]bool{"ERROR": true, "FATAL": true, "PANIC": false} {
		err := explain("reserve", &pgconn.PgError{Code: codeDiskFull, Severity: "SCHWERWIEGEND", SeverityUnlocalized: severity})
		if errors.Is(err, semel.ErrFull) != full {
			t.Errorf("%s: got %v, want it to be ErrFull: %v", severity, err, full)
		}
	}
}
