package semelsql_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelsql"
)

// The errors of the test's database.
var (
	errMinor    = errors.New("minor")    // the transaction goes on
	errAborted  = errors.New("aborted")  // until a rollback to a savepoint
	errDeadlock = errors.New("deadlock") // rolled back; again
	errBroken   = errors.New("broken")   // the connection ended
)

// server stands for a database: a driver of database/sql that writes down what it
// is asked and fails where it is told to.
type server struct {
	mu     sync.Mutex
	log    []string
	fail   map[string]error // by statement
	rows   map[string]error // how the rows of a query end, after the first one
	block  map[string]chan struct{}
	began  chan string // told of each blocked statement
	closed int         // connections
	starts int
}

func newServer() *server {
	return &server{
		fail: make(map[string]error), rows: make(map[string]error),
		block: make(map[string]chan struct{}), began: make(chan string, 1),
	}
}

func (s *server) ask(ctx context.Context, query string) error {
	s.mu.Lock()
	s.log = append(s.log, query)
	err, block := s.fail[query], s.block[query]
	s.mu.Unlock()
	if block != nil {
		s.began <- query
		select {
		case <-block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

// asked returns what was asked, in one line.
func (s *server) asked() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.log, "; ")
}

func (s *server) gone() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *server) Connect(ctx context.Context) (driver.Conn, error) {
	if err := s.ask(ctx, "connect"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return &conn{server: s, start: s.starts}, nil
}

func (s *server) Driver() driver.Driver { return nil }

type conn struct {
	server *server
	start  int
	broken bool

	reading int // rows that are open
}

// restart breaks all connections, which they notice.
func (s *server) restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.starts++
}

func (c *conn) ask(ctx context.Context, query string) error {
	err := c.server.ask(ctx, query)
	if errors.Is(err, errBroken) || ctx.Err() != nil {
		c.broken = true
	}
	return err
}

func (c *conn) Begin() (driver.Tx, error) { return nil, driver.ErrSkip }

func (c *conn) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	return c, c.ask(ctx, "begin")
}

func (c *conn) Commit() error   { return c.ask(context.Background(), "commit") }
func (c *conn) Rollback() error { return c.ask(context.Background(), "rollback") }

func (c *conn) IsValid() bool {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	return !c.broken && c.start == c.server.starts
}

func (c *conn) Close() error {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	c.server.closed++
	return nil
}

// ExecContext fails while rows are read, as the protocols of servers want it.
func (c *conn) ExecContext(ctx context.Context, query string, _ []driver.NamedValue) (driver.Result, error) {
	if c.reading > 0 {
		return nil, errors.New("rows are being read")
	}
	return driver.RowsAffected(1), c.ask(ctx, query)
}

func (c *conn) QueryContext(ctx context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	if err := c.ask(ctx, query); err != nil {
		return nil, err
	}
	c.reading++
	return &rows{conn: c, end: c.server.rows[query]}, nil
}

func (c *conn) Prepare(string) (driver.Stmt, error) { return nil, driver.ErrSkip }

func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	return &stmt{c, query}, c.ask(ctx, "prepare "+query)
}

type stmt struct {
	conn  *conn
	query string
}

func (s *stmt) Close() error  { return nil }
func (s *stmt) NumInput() int { return 0 }

func (s *stmt) Exec([]driver.Value) (driver.Result, error) {
	return driver.RowsAffected(1), s.conn.ask(context.Background(), s.query)
}

func (s *stmt) Query([]driver.Value) (driver.Rows, error) { return nil, driver.ErrSkip }

type rows struct {
	conn *conn
	read int
	end  error
}

func (r *rows) Columns() []string { return []string{"n"} }

func (r *rows) Close() error {
	r.conn.reading--
	return nil
}

func (r *rows) Next(dst []driver.Value) error {
	if r.read++; r.read == 1 {
		dst[0] = int64(1)
		return nil
	}
	if r.end != nil {
		return r.end
	}
	return io.EOF
}

// dialect is the dialect of server.
type dialect struct{ end bool }

func (d dialect) Begin(ctx context.Context, c *sql.Conn, isolation sql.IsolationLevel) (semelsql.Session, error) {
	tx, err := c.BeginTx(ctx, &sql.TxOptions{Isolation: isolation})
	s := semelsql.Session{Tx: tx, Steps: steps{tx}}
	if d.end {
		s.End = func(ctx context.Context) error {
			_, err := c.ExecContext(ctx, "unlock")
			return err
		}
	}
	return s, err
}

func (dialect) Damage(err error) semelsql.Damage {
	switch {
	case errors.Is(err, errDeadlock), errors.Is(err, errBroken), errors.Is(err, driver.ErrBadConn):
		return semelsql.Gone
	case errors.Is(err, errAborted):
		return semelsql.Aborted
	}
	return semelsql.None
}

func (dialect) Again(err error) bool {
	return errors.Is(err, errDeadlock) || errors.Is(err, errBroken) || errors.Is(err, driver.ErrBadConn)
}

func (dialect) Refused(err error) bool { return errors.Is(err, errDeadlock) }

// steps are the steps of a store in it.
type steps struct{ tx *sql.Tx }

func (s steps) step(ctx context.Context, name string) error {
	if ctx.Done() != nil {
		return errors.New("a step got a context that can end")
	}
	_, err := s.tx.ExecContext(ctx, name)
	return err
}

func (s steps) Lock(ctx context.Context, _ semel.Key, _ semel.Token) error {
	return s.step(ctx, "lock")
}

func (s steps) Complete(ctx context.Context, _ semel.Completion) error {
	return s.step(ctx, "complete")
}

func (s steps) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	return semel.Record{Key: r.Key, Token: r.Token}, s.step(ctx, "reserve")
}

// pool is one connection at most, so that one that is not given back shows.
func pool(t *testing.T, s *server) *sql.DB {
	t.Helper()
	db := sql.OpenDB(s)
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

type begun struct {
	semel.Transaction
	t   *testing.T
	db  *sql.DB
	txs semel.Transactions
	ctx context.Context //nolint:containedctx // what a handler gets
	tx  *semelsql.Tx
}

// begin begins a transaction and locks the slot.
func begin(t *testing.T, s *server, d semelsql.Dialect) *begun {
	t.Helper()
	db := pool(t, s)
	txs := semelsql.New(db, nil, d, semel.ClaimTx, sql.LevelDefault)
	x, err := txs.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Lock(t.Context(), semel.Key{}, semel.Token{}); err != nil {
		t.Fatal(err)
	}
	ctx := x.Attach(t.Context())
	return &begun{x, t, db, txs, ctx, semelsql.TxFrom(ctx)}
}

func (b *begun) exec(query string) error {
	_, err := b.tx.ExecContext(b.ctx, query)
	return err
}

// commit completes and commits.
func (b *begun) commit() error {
	if err := b.Complete(b.ctx, semel.Completion{}); err != nil {
		return err
	}
	return b.Commit(b.ctx)
}

func (b *begun) wantAsked(s *server, want string) {
	b.t.Helper()
	if got := s.asked(); got != want {
		b.t.Errorf("got %q, want %q", got, want)
	}
}

// wantPooled checks that the connection can be used again, by whether it is another
// one.
func (b *begun) wantPooled(s *server, same bool) {
	b.t.Helper()
	if err := b.db.PingContext(b.ctx); err != nil {
		b.t.Fatal(err)
	}
	if got := s.gone() == 0; got != same {
		b.t.Errorf("got the connection given back %v, want %v", got, same)
	}
}

func wantError(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
