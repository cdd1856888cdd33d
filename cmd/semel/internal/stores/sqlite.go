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
	cfg := sqlitestore.Config{
		ReadOnly:  opt.Use == Look || opt.Use == Examine,
		Shared:    opt.Use == Change,
		NoMigrate: opt.NoMigrate,
		Logger:    opt.Logger,
	}
	store, err := sqlitestore.Open(path, cfg) //nolint:contextcheck // opening a file cannot be cancelled
	if opt.Use != Serve && errors.Is(err, sqlitestore.ErrGuest) {
		cfg.Guest = true
		store, err = sqlitestore.Open(path, cfg) //nolint:contextcheck // likewise
	}
	if err != nil {
		if opt.Use == Serve && errors.Is(err, fs.ErrNotExist) {
			err = noDirectoryError{err}
		}
		return nil, err
	}
	if opt.Use == Serve || opt.Use == Change {
		if err := checkWritable(ctx, store); err != nil {
			return nil, errors.Join(fmt.Errorf("open %s: %w: %w", path, errNotWritable, err), store.Close())
		}
	}
	return &Opened{Store: store, Close: store.Close}, nil
}

// migrateSQLite is sqlitestore.Migrate that tells how far it is.
func migrateSQLite(_ context.Context, path string, opt Options) error {
	store, err := sqlitestore.Open(path, sqlitestore.Config{Migrating: opt.Migrating})
	if err != nil {
		return err
	}
	return store.Close()
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
