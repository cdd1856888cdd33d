package stores

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
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
		return "sqlite: needs a file: write memory: for a store that survives nothing"
	}
	return ""
}

func openSQLite(_ context.Context, path string, opt Options) (*Opened, error) {
	if opt.Use != Look {
		if err := checkWritable(path); err != nil {
			return nil, err
		}
	}
	store, err := sqlitestore.Open(path, sqlitestore.Config{ //nolint:contextcheck // opening a file cannot be cancelled
		ReadOnly: opt.Use == Look,
		Shared:   opt.Use == Change,
		Logger:   opt.Logger,
	})
	if err != nil {
		return nil, err
	}
	return &Opened{Store: store, Close: store.Close}, nil
}

// checkWritable finds a file that this user may not write. SQLite would open it
// all the same, for reading only, and every step would fail later.
func checkWritable(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return err
	case err != nil:
		return nil //nolint:nilerr // the store says it better
	}
	return f.Close()
}

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
	case errors.Is(err, fs.ErrNotExist):
		return "semel proxy makes the file, in a directory that exists; name the same --store here as there"
	case errors.Is(err, fs.ErrPermission):
		return "the file, its directory and the files beside it (-wal, -shm, -lock) must belong to this user"
	case errors.Is(err, semel.ErrFull):
		return "make room on the disk; nothing that was acknowledged is lost"
	case errors.Is(err, sqlitestore.ErrPoisoned):
		return "look at the disk, then restart: the store writes nothing more until it is opened again"
	}
	return ""
}
