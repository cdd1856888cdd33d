package stores

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/sqlitestore"
)

func checkSQLite(path string) string {
	switch {
	case path == "":
		return "sqlite: needs the path of a file, such as sqlite:semel.db"
	case strings.HasPrefix(path, "//"):
		return "sqlite: takes a path and no host: write sqlite:semel.db or sqlite:/var/lib/semel/semel.db"
	case strings.ContainsRune(path, 0):
		return "sqlite: the path has a zero byte"
	case path == ":memory:":
		return "sqlite: needs a file: write memory for a store that survives nothing"
	}
	return ""
}

func openSQLite(ctx context.Context, path string, opt Options) (*Opened, error) {
	store, err := sqlitestore.Open(path, sqlitestore.Config{ //nolint:contextcheck // opening a file cannot be cancelled
		ReadOnly: opt.Use == Look,
		Shared:   opt.Use == Change,
		Logger:   opt.Logger,
	})
	if err != nil {
		if opt.Use == Serve && errors.Is(err, fs.ErrNotExist) {
			err = noDirectoryError{err}
		}
		return nil, err
	}
	if opt.Use != Look {
		if err := checkWritable(ctx, store); err != nil {
			return nil, errors.Join(fmt.Errorf("open %s: %w: %w", path, errNotWritable, err), store.Close())
		}
	}
	return &Opened{Store: store, Close: store.Close}, nil
}

// checkWritable finds a file that may only be read: SQLite opens it all the
// same. To release what nobody has needs the right to write, and writes nothing.
func checkWritable(ctx context.Context, store semel.Store) error {
	nobody := semel.Key{Scope: "semel", ID: "nobody"}
	if err := store.Release(ctx, nobody, semel.NewToken()); !errors.Is(err, semel.ErrLost) {
		return err
	}
	return nil
}

// noDirectoryError says that a file cannot be made, because its directory is
// missing.
type noDirectoryError struct{ error }

// Unwrap returns the reason.
func (e noDirectoryError) Unwrap() error { return e.error }

// errNotWritable says that a file can be read and not written.
var errNotWritable = errors.New("the file cannot be written")

// Hint returns what an operator can do about an error of [Open] or of a step,
// or "" when there is nothing to add.
func Hint(err error) string {
	var locked *sqlitestore.LockedError
	var schema *sqlitestore.SchemaError
	switch {
	case err == nil:
		return ""
	case errors.As(err, new(*URLError)):
		return "a store is named " + strings.Join(Usages(), " or ")
	case errors.As(err, &locked) && locked.PID != 0:
		return fmt.Sprintf("stop process %d, or give this one another file with --store", locked.PID)
	case errors.As(err, &locked):
		return "stop the other process, or give this one another file with --store"
	case errors.As(err, &schema) && schema.Have > schema.Want:
		return "a newer version of semel wrote this file: use that version"
	case errors.As(err, &schema):
		return "an older version of semel wrote this file: semel proxy upgrades it when it starts"
	case errors.As(err, new(noDirectoryError)):
		return "create the directory, or name a file in another one with --store"
	case errors.Is(err, fs.ErrNotExist):
		return "semel proxy makes the file, in a directory that exists; name the same --store here as there"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, errNotWritable), isReadOnly(err):
		return "the file, its directory and the files beside it (-wal, -shm, -lock) must belong to this user"
	case errors.Is(err, semel.ErrFull):
		return "make room on the disk; nothing that was acknowledged is lost"
	case errors.Is(err, sqlitestore.ErrPoisoned):
		return "look at the disk, then restart: the store writes nothing more until it is opened again"
	}
	return ""
}

// isReadOnly finds SQLITE_READONLY in its extended forms too, see
// https://www.sqlite.org/rescode.html. A reader gets it when the files beside
// the database are missing and its directory may not be written.
func isReadOnly(err error) bool {
	const readOnly, primary = 8, 0xff
	var coded interface{ Code() int }
	return errors.As(err, &coded) && coded.Code()&primary == readOnly
}
