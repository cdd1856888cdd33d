package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/semel-go/semel"
)

var (
	_ semel.Store          = (*Store)(nil)
	_ semel.EffectBeginner = (*Store)(nil)
	_ semel.Renewer        = (*Store)(nil)
	_ semel.Purger         = (*Store)(nil)
	_ semel.Lister         = (*Store)(nil)
	_ semel.Sifter         = (*Store)(nil)
	_ semel.Resolver       = (*Store)(nil)
	_ semel.Resealer       = (*Store)(nil)
	_ semel.Auditor        = (*Store)(nil)
	_ semel.Pinger         = (*Store)(nil)
	_ semel.Grader         = (*Store)(nil)
)

// Config is what [Open] may be told. The zero value is safe.
type Config struct {
	// ReadOnly opens the file for looking: List and Ping work, every other
	// step returns ErrReadOnly. Another process may write meanwhile. The file
	// must exist. Default: false.
	ReadOnly bool
	// Shared opens the file for writing beside another process, without its
	// lock: for an operator's command while a service runs. It is as safe as
	// the lock, because SQLite orders the transactions of all processes and no
	// step relies on memory, but two processes under load wait for each other,
	// up to 5 s. The file must exist. Default: false.
	Shared bool
	// Guest opens a file that belongs to an application, so that records can be
	// completed in its transactions (see [Store.Transactions]): they live in tables
	// named semel_* beside its own, and application_id, user_version and whatever
	// else the application has set stay as they are. The file is created when
	// there is none. It must be in WAL mode: Open sets it, and fails when
	// somebody uses the file in another one. There is no lock, as with Shared:
	// every process of the application may open the store. Default: false, and
	// the file holds records alone, or what was added to it since.
	Guest bool
	// NoMigrate makes Open fail with [SchemaError] when the schema is not this
	// version's, instead of creating or upgrading it. Default: false. A newer
	// schema is always refused.
	NoMigrate bool
	// Migrating, when not nil, is called before each migration of the schema that is
	// applied: which one it is, of how many. On a large table one may take long.
	Migrating func(version, of int)
	// Logger is told when the store gives up writing. Default [slog.Default].
	Logger *slog.Logger
}

// Store keeps records in one SQLite file. Make one with [Open].
// All methods are safe for concurrent use; after Close they return [ErrClosed].
type Store struct {
	database
	readers *pool
	writer  *writer // nil when read-only
	lock    *fileLock
	file    string            // path from the root
	traffic *traffic          // nil when read-only
	texts   map[string]string // the statements for an application's connection, by name

	clock clock
	purge purgeCursor

	closing  sync.Once
	closeErr error
}

// Open opens the database file at path, and creates it when there is none.
// The directory must exist.
//
// It fails, and leaves everything as it was, when another process has the file
// open ([*LockedError]), when the file is no SQLite database, is damaged, is
// empty or belongs to another application, when its schema is newer
// ([*SchemaError]), and when the file or its directory cannot be written. The
// whole file is checked for damage when it is smaller than 32 MiB; damage
// further inside a larger one shows when a step meets it.
func Open(path string, cfg Config) (*Store, error) {
	s, err := open(path, cfg)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return s, nil
}

func open(path string, cfg Config) (_ *Store, err error) {
	if cfg.ReadOnly && cfg.Shared {
		return nil, errors.New("Config.ReadOnly and Config.Shared exclude each other")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	path, exists, err := locate(path, cfg.Guest)
	if err != nil {
		return nil, err
	}
	s := &Store{database: database{path: path, guest: cfg.Guest, migrating: cfg.Migrating}}
	if s.file, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.lock.release())
			s.traffic.leave()
		}
	}()
	if !cfg.ReadOnly && !cfg.Shared && !cfg.Guest {
		if s.lock, err = lockFile(path); err != nil {
			return nil, err
		}
	}
	if err := s.ready(exists, cfg); err != nil {
		return nil, err
	}
	if s.readers, err = openPool(s.database); err != nil {
		return nil, err
	}
	if cfg.ReadOnly {
		return s, nil
	}
	if s.texts, err = s.callerTexts(); err != nil {
		return nil, errors.Join(err, s.readers.close())
	}
	s.traffic = joinTraffic(s.file)
	if s.writer, err = startWriter(s.database, &s.clock, s.traffic, cfg.Logger); err != nil {
		return nil, errors.Join(err, s.readers.close())
	}
	return s, nil
}

// Close lets the steps under way finish, closes the file and gives the lock
// back. A second call returns what the first returned.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.closeErr = errors.Join(s.closeFile(), s.lock.release())
		s.traffic.leave()
	})
	return s.closeErr
}

// closeFile closes the connections. The last one decides what becomes of the
// log: the writer's copies it into the database and deletes it; a reader's may
// not. After a failed sync the log must stay, for the next Open to copy all of
// it anew: pages that the disk refused once look clean to the next sync.
func (s *Store) closeFile() error {
	if s.writer == nil {
		return s.readers.close()
	}
	err := s.writer.stop()
	if s.writer.queue.poisonedBy() == nil {
		return errors.Join(err, s.readers.close(), s.writer.close())
	}
	if rerr := s.readers.with(func(*readConn) error { return nil }); rerr != nil {
		return errors.Join(err, fmt.Errorf("%s stays open until the process ends: %w", s.path, rerr))
	}
	return errors.Join(err, s.writer.close(), s.readers.close())
}

// Grade implements [semel.Grader].
func (s *Store) Grade() semel.Grade {
	return semel.Grade{
		Letter:   "B",
		Survives: "A kill of the process and, when the disk keeps what it has synced, a power loss; not the loss of the disk.",
	}
}

// Ping implements [semel.Pinger]: the file can be read, and a write transaction
// can be had. It writes nothing.
func (s *Store) Ping(context.Context) error {
	if s.writer != nil {
		if err := s.writer.do(0, func(*tx) error { return nil }); err != nil {
			return err
		}
	}
	return s.readers.with(func(c *readConn) error {
		_, _, err := c.alive.integer()
		return explain(s.path, err)
	})
}
