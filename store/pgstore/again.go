package pgstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/semel-go/semel"
)

// SQLSTATE codes of sessions that the server ended, or did not begin.
const (
	classConnection   = "08"
	codeShutdown      = "57P01"
	codeCrash         = "57P02"
	codeCannotConnect = "57P03"
)

// brokenError is an error of a transaction that was not committed, after which its
// connection cannot be used: nothing of it has happened.
type brokenError struct{ err error }

func (e *brokenError) Error() string {
	return "the connection broke before the commit: " + e.err.Error()
}

func (e *brokenError) Unwrap() error { return e.err }

// again reports whether the work of a transaction that ended with err, and of which
// nothing has happened, may succeed in a new one. A context that ended is the
// decision of who passed it, and a session that the server ended because it idled would idle
// again.
func again(err error) bool {
	switch {
	case err == nil, errors.Is(err, semel.ErrCommitUnknown), errors.Is(err, semel.ErrLost),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case errors.Is(err, ErrBusy):
		return true
	}
	switch code := codeOf(err); code {
	case codeSerialization, codeDeadlock, codeLockNotAvailable, codeShutdown, codeCrash, codeCannotConnect:
		return true
	case "":
		return severed(err)
	default:
		return strings.HasPrefix(code, classConnection) || unknownStatement(err)
	}
}

// severed reports whether err, which is none of the server's, says that a connection
// cannot be used, or could not be made.
func severed(err error) bool {
	if _, ok := errors.AsType[*brokenError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	for _, gone := range []error{pgconn.ErrConnClosed, driver.ErrBadConn, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return isConnect(err)
}

// refused reports whether err, of a commit that was sent, proves that nothing is
// committed, nor will be: the server has rolled back, and says so. What it says as it ends
// the session may come after the commit, and what a pooler says is about its own
// connection. What the driver calls safe to retry is not: pgx 5.12 also says
// so when a connection breaks behind a statement that it has sent.
func refused(err error) bool {
	if errors.Is(err, pgx.ErrTxCommitRollback) {
		return true
	}
	pe, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pe.SeverityUnlocalized == "ERROR" && !strings.HasPrefix(pe.Code, classConnection)
}

// fell reports whether err is the server's own last word in a session. A pooler's is no
// proof of anything: it does not know what the server had done by then.
func fell(err error) bool {
	pe, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pe.SeverityUnlocalized == "FATAL" && pe.Routine != "" && !strings.HasPrefix(pe.Code, classConnection)
}
