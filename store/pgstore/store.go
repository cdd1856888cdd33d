package pgstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
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
	_ semel.Grader         = (*Store)(nil)
	_ semel.Inspector      = (*Store)(nil)
	_ semel.Messenger      = (*Store)(nil)
)

// Config is what a [Store] may be told. The zero value is safe.
type Config struct {
	// Schema is the schema of the table, as it is spelled: it is quoted. Default
	// "public", and not what search_path says: two processes with different
	// paths would share no record. Up to 63 bytes.
	Schema string
	// Table is the name of the table. Its indexes and its version table have
	// names made of it. Stores with different tables share nothing. Default
	// "semel_slots". Up to 52 bytes.
	Table string
	// ExecMode is how statements are sent. Default: what the pool says, or
	// [pgx.QueryExecModeCacheStatement] when it says nothing and the connection
	// goes straight to the server, or [pgx.QueryExecModeCacheDescribe] when a
	// pooler such as pgbouncer stands between, which costs the server a parse and
	// a plan per step. A pooler that keeps track of prepared statements bears
	// QueryExecModeCacheStatement when it is asked for here.
	ExecMode pgx.QueryExecMode
	// ListenURL leads to the same database, for the one connection on which
	// [Store.Listen] hears hints ([semel.Config.Hints]). It is needed where the pool goes through a pooler such as
	// pgbouncer, whose transaction mode hears nothing; it is taken at its word. Default: the
	// connection is made as those of the pool are.
	ListenURL string
	// Logger is told what the promise rests on when the store begins to serve.
	// Default [slog.Default].
	Logger *slog.Logger
	// Migrating, when not nil, is called before each migration of the schema that is
	// applied: which one it is, of how many. On a large table one may take long.
	Migrating func(version, of int)
}

// Store keeps records in one table of a PostgreSQL database. Make one with [New]
// or [Open]. All methods are safe for concurrent use.
type Store struct {
	pool      *pgxpool.Pool
	owned     bool // Close closes the pool
	names     *names
	sql       statements
	logger    *slog.Logger
	migrating func(version, of int)
	listen    *pgx.ConnConfig // from Config.ListenURL

	mode      atomic.Int32 // a pgx.QueryExecMode
	fixedMode bool
	wholeMode pgx.QueryExecMode // where prepared statements are not to be relied on
	valid     atomic.Bool
	grade     atomic.Pointer[semel.Grade]
	purged    atomic.Int64 // where the next purge begins
	behind    atomic.Int64 // counts the steps that may not have reached the standby
	caughtUp  atomic.Int64 // how many of those have by now
	watch     *breakage
	closing   sync.Once
}

// New returns a store that uses pool, which stays its caller's. It does no I/O.
//
// What [Open] does for its connections is not done for those of pool: see there.
func New(pool *pgxpool.Pool, cfg Config) (*Store, error) {
	s, err := newStore(pool, cfg)
	if err != nil {
		return nil, fmt.Errorf("pgstore: %w", err)
	}
	return s, nil
}

func newStore(pool *pgxpool.Pool, cfg Config) (*Store, error) {
	if pool == nil {
		return nil, errors.New("the pool is nil")
	}
	n, err := newNames(cfg.Schema, cfg.Table)
	if err != nil {
		return nil, err
	}
	if cfg.ExecMode < 0 || cfg.ExecMode > pgx.QueryExecModeSimpleProtocol {
		return nil, fmt.Errorf("Config.ExecMode is %d, which is no mode", cfg.ExecMode)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	s := &Store{pool: pool, names: n, sql: n.statements(), logger: cfg.Logger, migrating: cfg.Migrating, watch: new(breakage)}
	if cfg.ListenURL != "" {
		direct, err := poolConfig(cfg.ListenURL)
		if err != nil {
			return nil, fmt.Errorf("Config.ListenURL: %w", err)
		}
		s.listen = direct.ConnConfig
	}
	conn := pool.Config().ConnConfig
	mode := cfg.ExecMode
	if mode == 0 && conn.DefaultQueryExecMode != pgx.QueryExecModeCacheStatement {
		mode = conn.DefaultQueryExecMode
	}
	if mode == 0 && conn.StatementCacheCapacity == 0 {
		mode = pgx.QueryExecModeExec
	}
	s.fixedMode, s.wholeMode = mode != 0, pgx.QueryExecModeCacheDescribe
	if conn.DescriptionCacheCapacity == 0 {
		s.wholeMode = pgx.QueryExecModeExec
	}
	if mode == 0 {
		mode = pgx.QueryExecModeExec // until the way to the server is known
	}
	s.mode.Store(int32(mode))
	return s, nil
}

// Close closes the connections of a store that was made by [Open]. It waits for
// the steps under way, as long as they take; later ones fail. It leaves the pool
// of [New] alone. It may be called again.
func (s *Store) Close() error {
	if s.owned {
		s.closing.Do(s.pool.Close)
	}
	return nil
}

// ready makes sure, once, that the server is fit. Callers who come at the same
// time each look for themselves: none waits for another one's connection.
func (s *Store) ready(ctx context.Context) error {
	if s.valid.Load() {
		return nil
	}
	return s.validate(context.WithoutCancel(ctx))
}

func (s *Store) validate(ctx context.Context) error {
	f, err := s.look(ctx)
	if err != nil {
		return err
	}
	if err := f.unfit(); err != nil {
		return err
	}
	if s.valid.CompareAndSwap(false, true) {
		s.announce(ctx, f)
	}
	return nil
}

// announce logs what the promise rests on.
func (s *Store) announce(ctx context.Context, f *facts) {
	log := s.logger.With("store", "postgres", "table", s.names.qualified(s.names.table), "pooled", f.pooled)
	f.inspection().Announce(ctx, log, f.grade())
}

// Validate reports why the store must not serve: the server cannot be asked,
// lacks the schema or has another one ([*SchemaError]), or is not fit
// ([*semel.UnfitError]): read-only ([ErrReadOnly] too), too old, or it withholds
// a right. It changes nothing, and ends when ctx
// does. The first [Store.Reserve] does the same if nobody did before.
func (s *Store) Validate(ctx context.Context) error { return explain("validate", s.validate(ctx)) }

// Grade implements [semel.Grader]: what the last look at the server's settings
// found, by Validate, Inspect or the first Reserve. Before that it is the worst
// that the store accepts.
func (s *Store) Grade() semel.Grade {
	if g := s.grade.Load(); g != nil {
		return *g
	}
	return (&facts{}).grade()
}

// Ping implements [semel.Pinger]: the table can be read, and the server takes
// writes. It writes nothing, and ends when ctx does.
func (s *Store) Ping(ctx context.Context) error {
	var readOnly bool
	err := s.pool.QueryRow(ctx, s.sql.ping, s.execMode()).Scan(&readOnly)
	if err == nil && readOnly {
		err = ErrReadOnly
	}
	return explain("ping", err)
}
