package pgstore

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/semel-go/semel"
)

// The sentinel errors of the package.
var (
	// ErrReadOnly: the server takes no writes. It is a replica, or the role or
	// the database has default_transaction_read_only.
	ErrReadOnly = errors.New("pgstore: the server is read-only")
	// ErrNotReplicated: the server was told to stop waiting for its synchronous
	// standby, or it could not be found out whether it was, so the step may be lost
	// with a failover. See [Open].
	ErrNotReplicated = errors.New("pgstore: the standby did not confirm the step")
	// ErrBusy: other sessions kept the row of the slot locked for all tries.
	// Nothing was written.
	ErrBusy = errors.New("pgstore: the slot is locked by other sessions")
)

// SQLSTATE codes, https://www.postgresql.org/docs/current/errcodes-appendix.html.
const (
	codeReadOnly             = "25006"
	codeNoStatement          = "26000"
	codeSerialization        = "40001"
	codeDivisionByZero       = "22012" // of complete_last.sql
	codeDeadlock             = "40P01"
	codeNoRight              = "42501"
	codeNoColumn             = "42703"
	codeNoTable              = "42P01"
	codeStatementExists      = "42P05"
	codeDiskFull             = "53100"
	codeLockNotAvailable     = "55P03"
	codeInvalidSchema        = "3F000"
	codeProgramLimitExceeded = "54000"
)

// codeOf returns the SQLSTATE in err, or "".
func codeOf(err error) string {
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pe.Code
	}
	return ""
}

// happensNot reports whether err says that nothing happened and that the same
// step may succeed at once: a deadlock, a serialization failure, a lock timeout,
// a statement that could not be sent, or one that a pooler's other server does
// not know. A repetition of what did happen would be told that it lost what somebody else
// has taken since.
func happensNot(err error) bool {
	if errors.Is(err, ErrNotReplicated) { // it stands, whatever became of the question about it
		return false
	}
	switch codeOf(err) {
	case codeSerialization, codeDeadlock, codeLockNotAvailable:
		return true
	}
	return unknownStatement(err) || codeOf(err) == "" && unsent(err)
}

// unsent reports whether nothing was sent. The driver also calls it safe to retry when a
// connection broke behind a statement of the simple protocol (pgx 5.12): then it says that the
// connection is closed.
func unsent(err error) bool {
	return pgconn.SafeToRetry(err) && !errors.Is(err, pgconn.ErrConnClosed) && !isConnect(err)
}

// unknownStatement reports whether the server at the other end is not the one
// that knows our prepared statements.
func unknownStatement(err error) bool {
	code := codeOf(err)
	return code == codeNoStatement || code == codeStatementExists
}

// panicked reports whether the server fell with the statement. What it had
// written of its log counts when it is up again, so nobody knows whether the
// statement happened.
func panicked(err error) bool {
	pe, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pe.SeverityUnlocalized == "PANIC"
}

func isConnect(err error) bool {
	_, ok := errors.AsType[*pgconn.ConnectError](err)
	return ok
}

// explain adds the step and what callers can act on.
func explain(step string, err error) error {
	switch {
	case err == nil, errors.Is(err, semel.ErrLost), errors.Is(err, semel.ErrInFlight):
		return err
	}
	switch codeOf(err) {
	case codeDiskFull:
		if panicked(err) {
			break
		}
		return fmt.Errorf("pgstore: %s: %w: %w", step, semel.ErrFull, err)
	case codeProgramLimitExceeded:
		return fmt.Errorf("pgstore: %s: %w: %w", step, semel.ErrTooLarge, err)
	case codeReadOnly:
		return fmt.Errorf("pgstore: %s: %w: %w", step, ErrReadOnly, err)
	case codeNoTable, codeInvalidSchema, codeNoColumn:
		return fmt.Errorf("pgstore: %s: the schema is not this program's: run Migrate: %w", step, err)
	case codeNoRight:
		return fmt.Errorf("pgstore: %s: the role lacks a right: %w", step, err)
	}
	return fmt.Errorf("pgstore: %s: %w", step, err)
}
