package mysqlstore

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/semel-go/semel"
)

// The sentinel errors of the package.
var (
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("mysqlstore: the store is closed")
	// ErrReadOnly: the server takes no writes; it may be a replica.
	ErrReadOnly = errors.New("mysqlstore: the server is read-only")
)

// Error numbers, https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html
// and https://mariadb.com/kb/en/mariadb-error-code-reference/.
const (
	errOnWrite          = 3 // of the file system, by the server's own numbers
	errRecordChanged    = 1020
	errDiskFull         = 1021
	errWriteFile        = 1026
	errGetErrno         = 1030
	errDuplicate        = 1062
	errTableFull        = 1114
	errTooBigRow        = 1118
	errNoTable          = 1146
	errPacketTooLarge   = 1153
	errLockWaitTimeout  = 1205
	errDeadlock         = 1213
	errShutdown         = 1053
	errReadOnlyOption   = 1290
	errDataTooLong      = 1406 // for its column, such as an owner of over 1,024 bytes
	errReprepare        = 1615
	errNoSuchThing      = 1054 // an unknown column
	errLockTableFull    = 1206
	errNoWait           = 3572 // NOWAIT, in MySQL
	errReadOnlyTx       = 1792
	errReadOnlyMode     = 1836
	errNoSavepoint      = 1305
	errKilled           = 1927 // the connection, in MariaDB
	errRolledBackCommit = 3101
)

const noSpace = "28" // ENOSPC, in messages

// numberOf returns the server's error number in err, or 0.
func numberOf(err error) uint16 {
	if me, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return me.Number
	}
	return 0
}

// happensNot reports whether err says that nothing happened and that the same
// step may succeed: a deadlock, a lock that was not to be had, a row that
// changed under the statement, a rollback by the group.
func happensNot(err error) bool {
	switch numberOf(err) {
	case errLockWaitTimeout:
		return true
	}
	return isDeadlock(err)
}

// isDeadlock is happensNot but for a lock that took too long.
func isDeadlock(err error) bool {
	switch numberOf(err) {
	case errDeadlock, errRecordChanged, errReprepare, errRolledBackCommit:
		return true
	}
	return false
}

// isLocked reports whether somebody else has what a statement wanted to lock.
func isLocked(err error) bool {
	switch numberOf(err) {
	case errLockWaitTimeout, errNoWait:
		return true
	}
	return false
}

// isFull reports whether the server has no room on a disk.
func isFull(err error) bool {
	me, ok := errors.AsType[*mysql.MySQLError](err)
	if !ok {
		return false
	}
	switch me.Number {
	case errTableFull, errDiskFull:
		return true
	case errOnWrite, errWriteFile, errGetErrno:
		return strings.Contains(me.Message, noSpace)
	}
	return false
}

// spoils reports whether a prepared statement is of no more use: a parameter
// that was sent in pieces was longer than the server takes. The server answers
// every later execution with the same error. It has no number of its own.
func spoils(err error) bool {
	me, ok := errors.AsType[*mysql.MySQLError](err)
	return ok && strings.Contains(me.Message, "'max_allowed_packet'")
}

// isBroken reports whether the connection ended under the statement.
func isBroken(err error) bool {
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, mysql.ErrInvalidConn)
}

// isKilled reports whether the server says that it ends the connection.
func isKilled(err error) bool {
	switch numberOf(err) {
	case errShutdown, errKilled:
		return true
	}
	return false
}

// isTooLarge reports whether a packet did not fit.
func isTooLarge(err error) bool {
	if errors.Is(err, mysql.ErrPktTooLarge) || spoils(err) {
		return true
	}
	me, ok := errors.AsType[*mysql.MySQLError](err)
	return ok && (me.Number == errPacketTooLarge || me.Number == errTooBigRow || me.Number == errDataTooLong)
}

// explain adds the step and what callers can act on.
func explain(step string, err error) error {
	if err == nil || errors.Is(err, semel.ErrLost) || errors.Is(err, semel.ErrInFlight) || errors.Is(err, ErrClosed) {
		return err
	}
	if _, ok := errors.AsType[*SchemaError](err); ok {
		return fmt.Errorf("mysqlstore: %s: %w", step, err)
	}
	switch number := numberOf(err); {
	case errors.Is(err, semel.ErrTooLarge):
		return fmt.Errorf("mysqlstore: %s: %w", step, err)
	case isFull(err):
		return fmt.Errorf("mysqlstore: %s: %w: %w", step, semel.ErrFull, err)
	case isTooLarge(err):
		return fmt.Errorf("mysqlstore: %s: %w: %w", step, semel.ErrTooLarge, err)
	case number == errReadOnlyOption, number == errReadOnlyTx, number == errReadOnlyMode:
		return fmt.Errorf("mysqlstore: %s: %w: %w", step, ErrReadOnly, err)
	case number == errNoTable, number == errNoSuchThing:
		return fmt.Errorf("mysqlstore: %s: the schema is not this program's: run Migrate: %w", step, err)
	case isBroken(err):
		return fmt.Errorf("mysqlstore: %s: the connection to the server broke: %w", step, err)
	}
	return fmt.Errorf("mysqlstore: %s: %w", step, err)
}
