package mysqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/semel-go/semel"
)

var (
	_ semel.Store          = (*Store)(nil)
	_ semel.EffectBeginner = (*Store)(nil)
	_ semel.Renewer        = (*Store)(nil)
	_ semel.Purger         = (*Store)(nil)
	_ semel.Lister         = (*Store)(nil)
	_ semel.Resolver       = (*Store)(nil)
	_ semel.Resealer       = (*Store)(nil)
	_ semel.Auditor        = (*Store)(nil)
	_ semel.Pinger         = (*Store)(nil)
	_ semel.Looker         = (*Store)(nil)
	_ semel.Grader         = (*Store)(nil)
	_ semel.Inspector      = (*Store)(nil)
)

// Config is what [New] and [Open] may be told. The zero value is safe.
type Config struct {
	// Table is the table of the records, in the database of the connection: a
	// letter or underscore and up to 54 letters, digits and underscores. Beside
	// it lie the tables TABLE_schema and TABLE_audit. Default "semel_slots".
	Table string
	// AcceptGalera lets the store serve from a Galera cluster, with grade C.
	// Nodes of such a cluster have been seen to lose acknowledged commits and
	// to show old rows, and a request may then run twice. Default: false, the
	// store refuses.
	AcceptGalera bool
	// MaxConns bounds the connections that Open makes; 0 means 32. The
	// parameter maxConns of a URL wins over it. New ignores it: its pool is
	// the caller's.
	MaxConns int
	// Logger is told once what the store survives, as a warning when that is
	// grade C. Default [slog.Default].
	Logger *slog.Logger
	// Migrating, when not nil, is called before each migration of the schema that is
	// applied: which one it is, of how many. On a large table one may take long.
	Migrating func(version, of int)
}

// Store keeps records in a table of MySQL or MariaDB. Make one with [New] or
// [Open]. All methods are safe for concurrent use; after Close they return
// [ErrClosed].
type Store struct {
	db   *sql.DB
	owns bool // Close closes db
	cfg  Config
	sql  *statements

	mu     sync.Mutex
	asking *asking // the validation under way
	closed bool
	// dialects are those of the store's transactions.
	dialects []*dialect
	kept     atomic.Pointer[kept] // nil until a validation has succeeded

	packet atomic.Int64          // max_allowed_packet
	forms  atomic.Pointer[forms] // set by a validation
	grade  atomic.Pointer[semel.Grade]
	told   sync.Once // what the promise rests on
	purge  purgeCursor
}

// New returns a store on a pool that the caller made with the driver
// go-sql-driver/mysql, and closes. It checks cfg and does no I/O; the first
// step validates, see [Store.Validate].
//
// The pool's DSN must name a database. Its other parameters are free: no step
// depends on clientFoundRows, parseTime, loc, interpolateParams, the time zone
// or the isolation level, except that READ UNCOMMITTED is refused. [Open]
// chooses READ COMMITTED, with which steps wait for each other less, and has
// time-outs, which a pool should have too.
func New(db *sql.DB, cfg Config) (*Store, error) {
	s, err := newStore(db, cfg)
	if err != nil {
		return nil, fmt.Errorf("mysqlstore: %w", err)
	}
	return s, nil
}

func newStore(db *sql.DB, cfg Config) (*Store, error) {
	if db == nil {
		return nil, errors.New("the pool is nil")
	}
	if cfg.MaxConns < 0 {
		return nil, errors.New("Config.MaxConns is negative")
	}
	if cfg.Table == "" {
		cfg.Table = "semel_slots"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	texts, err := newStatements(cfg.Table)
	if err != nil {
		return nil, err
	}
	return &Store{db: db, cfg: cfg, sql: texts}, nil
}

// Close gives back what the store holds of the server, and closes the pool if
// Open made it. Steps under way may fail. A second call does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	var err error
	if k := s.kept.Swap(nil); k != nil {
		err = k.close()
	}
	for _, d := range s.dialects {
		if k := d.kept.Swap(nil); k != nil {
			err = errors.Join(err, k.close())
		}
	}
	if s.owns {
		err = errors.Join(err, s.db.Close())
	}
	return explain("close", err)
}

func (s *Store) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Grade implements [semel.Grader]: what the last [Store.Validate] or
// [Store.Inspect] found, and C before the first one.
func (s *Store) Grade() semel.Grade {
	if g := s.grade.Load(); g != nil {
		return *g
	}
	return semel.Grade{Letter: "C", Survives: "Not known yet: the server was not asked."}
}

// Ping implements [semel.Pinger]: the server answers, takes writes, and has the
// table. It ends with ctx.
func (s *Store) Ping(ctx context.Context) error {
	if s.kept.Load() == nil { // nobody has looked yet
		return explain("ping", s.validate(ctx))
	}
	var readOnly bool
	var rows int
	err := s.db.QueryRowContext(ctx, s.sql.ping).Scan(&readOnly, &rows)
	if err == nil && readOnly {
		err = ErrReadOnly
	}
	return explain("ping", err)
}
