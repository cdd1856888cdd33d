package sqlitestore

import (
	"errors"
	"fmt"

	"github.com/semel-go/semel"
	"modernc.org/sqlite"
)

// The sentinel errors of the package.
var (
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("sqlitestore: the store is closed")
	// ErrPoisoned: the disk refused to sync or the file is damaged. The store
	// writes nothing more until it is opened again.
	ErrPoisoned = errors.New("sqlitestore: the store refuses to write until it is opened again")
	// ErrGuest: the file is an application's, which keeps its records in it.
	ErrGuest = errors.New("it is an application's database, with records beside: open it with Config.Guest")
	// ErrReadOnly: the store was opened with [Config.ReadOnly].
	ErrReadOnly = errors.New("sqlitestore: the store is open for reading only")
)

// LockedError says that another process has the file open.
type LockedError struct {
	// Path is the database file.
	Path string
	// PID is the process that holds it; 0 when it is not known.
	PID int
}

// Error names the file and its holder.
func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("sqlitestore: %s is in use by another process", e.Path)
	}
	return fmt.Sprintf("sqlitestore: %s is in use by process %d", e.Path, e.PID)
}

// DamagedError says that a kept response is not what was stored. It is never
// replayed; the slot stays completed.
type DamagedError struct {
	Slot semel.Slot
}

// Error names the slot, which does not reveal the key.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("sqlitestore: the kept response of slot %s is damaged", e.Slot)
}

// Result codes of SQLite, https://www.sqlite.org/rescode.html. The low byte is
// the primary code.
const (
	codeError      = 1
	codeBusy       = 5
	codeLocked     = 6
	codeReadOnly   = 8
	codeIOErr      = 10
	codeCorrupt    = 11
	codeFull       = 13
	codeTooBig     = 18
	codeConstraint = 19
	codeMismatch   = 20
	codeAuth       = 23
	codeRange      = 25
	codeNotADB     = 26

	codeBusySnapshot  = codeBusy | 2<<8
	codeCommitHook    = codeConstraint | 2<<8
	codeIOErrFsync    = codeIOErr | 4<<8
	codeIOErrDirFsync = codeIOErr | 5<<8
)

// codeOf returns the extended result code in err, or 0.
func codeOf(err error) int {
	if se, ok := errors.AsType[*sqlite.Error](err); ok {
		return se.Code()
	}
	return 0
}

// damage is what an error says about everything else that shares a transaction
// with the step that got it.
type damage uint8

const (
	// step: only this step cannot be done.
	step damage = iota + 1
	// transaction: SQLite has, or may have, rolled back everything.
	transaction
	// file: what the disk holds is not known.
	file
)

// damageOf judges err. What is not known to be harmless ends the transaction.
func damageOf(err error) damage {
	code := codeOf(err)
	if code == codeIOErrFsync || code == codeIOErrDirFsync {
		return file
	}
	switch code & 0xff {
	case codeCorrupt, codeNotADB:
		return file
	case codeTooBig, codeConstraint, codeMismatch, codeRange: // the statement is undone, no more
		return step
	case 0: // not SQLite's: a refusal of ours
		return step
	}
	return transaction
}

// explain adds what callers can act on.
func explain(path string, err error) error {
	switch {
	case err == nil, errors.Is(err, ErrPoisoned): // that says it all
		return err
	case codeOf(err)&0xff == codeFull:
		return fmt.Errorf("%w: %s: %w", semel.ErrFull, path, err)
	case codeOf(err) != 0:
		return fmt.Errorf("%s: %w", path, err)
	}
	return err
}
