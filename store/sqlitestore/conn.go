package sqlitestore

import (
	"context"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"
)

//go:embed sql/*.sql
var statements embed.FS

// conn is one connection to the file, used by one goroutine at a time. It talks
// to the driver without package database/sql: the store does its own pooling,
// and a third of the time of a step would go into it.
type conn struct {
	database
	raw   driver.Conn
	stmts []*stmt // to be closed with it
}

// access is how a file is opened, in the words of https://www.sqlite.org/uri.html.
type access string

const (
	readWrite access = "mode=rw"
	readOnly  access = "mode=ro"
	// create is readWrite, and makes an empty file when there is none.
	create access = "mode=rwc"
	// immutable reads the file alone, without its log and without a lock, and
	// creates nothing beside it.
	immutable access = "mode=ro&immutable=1"
)

// dial opens the file of d, which must exist unless how is create.
func dial(d database, how access, pragmas ...string) (*conn, error) {
	abs, err := filepath.Abs(d.path)
	if err != nil {
		return nil, err
	}
	name := filepath.ToSlash(abs)
	if !strings.HasPrefix(name, "/") { // a drive letter
		name = "/" + name
	}
	query := url.Values{"_error_rc": {"1"}, "_pragma": pragmas}
	dsn := url.URL{Scheme: "file", Path: name, RawQuery: string(how) + "&" + query.Encode()}
	connector, err := sqlite.NewConnector(dsn.String())
	if err != nil {
		return nil, err
	}
	raw, err := connector.Connect(uncancelled())
	if err != nil {
		return nil, err
	}
	return &conn{database: d, raw: raw}, nil
}

// close gives the file back. SQLite keeps it open while a statement is.
func (c *conn) close() error {
	var err error
	for _, s := range c.stmts {
		err = errors.Join(err, s.end.Close())
	}
	return errors.Join(err, c.raw.Close())
}

// uncancelled is the context of every statement: a driver that abandons a
// write leaves its outcome unknown.
func uncancelled() context.Context {
	return context.Background() //nolint:forbidigo // the store's steps outlive every caller's context
}

// stmt is a prepared statement. Its parameters are positional and anonymous,
// which the driver binds fastest.
type stmt struct {
	name string
	raw  driver.StmtExecContext
	rows driver.StmtQueryContext
	end  io.Closer
	args []driver.NamedValue
}

// preparer prepares statements until one fails.
type preparer struct {
	conn *conn
	err  error
}

// file prepares the statement in sql/NAME.sql.
func (p *preparer) file(name string) *stmt {
	text, err := p.conn.statement(name, true)
	if err != nil {
		p.err = errors.Join(p.err, err)
		return nil
	}
	return p.text(name, text)
}

// text prepares a statement that takes no parameters, or is in a file.
func (p *preparer) text(name, query string) *stmt {
	if p.err != nil {
		return nil
	}
	// The driver compiles anew, at each use, what has anything after its end.
	raw, err := p.conn.raw.Prepare(strings.TrimSpace(query))
	if err != nil {
		p.err = fmt.Errorf("prepare %s: %w", name, err)
		return nil
	}
	s := &stmt{name: name, end: raw, args: make([]driver.NamedValue, 0, 16)}
	p.conn.stmts = append(p.conn.stmts, s)
	var canExec, canQuery bool
	s.raw, canExec = raw.(driver.StmtExecContext)
	s.rows, canQuery = raw.(driver.StmtQueryContext)
	if !canExec || !canQuery {
		p.err = fmt.Errorf("prepare %s: the driver's statements have changed", name)
	}
	return s
}

func (s *stmt) bind(args []driver.Value) []driver.NamedValue {
	s.args = s.args[:0]
	for i, v := range args {
		s.args = append(s.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return s.args
}

// unbind lets go of the caller's memory.
func (s *stmt) unbind() { clear(s.args) }

// exec runs a statement that returns no rows and says how many rows it changed.
func (s *stmt) exec(args ...driver.Value) (int64, error) {
	changed, _, err := s.insert(args...)
	return changed, err
}

// insert is exec for statements whose new row id matters.
func (s *stmt) insert(args ...driver.Value) (changed, id int64, err error) {
	defer s.unbind()
	res, err := s.raw.ExecContext(uncancelled(), s.bind(args))
	if err != nil {
		return 0, 0, fmt.Errorf("%s: %w", s.name, err)
	}
	if changed, err = res.RowsAffected(); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", s.name, err)
	}
	if id, err = res.LastInsertId(); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", s.name, err)
	}
	return changed, id, nil
}

// each calls f with every row, in dest, which f must not keep.
func (s *stmt) each(dest []driver.Value, f func() error, args ...driver.Value) (err error) {
	defer s.unbind()
	rows, err := s.rows.QueryContext(uncancelled(), s.bind(args))
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	defer func() {
		if cerr := rows.Close(); cerr != nil && err == nil {
			err = fmt.Errorf("%s: %w", s.name, cerr)
		}
	}()
	for {
		switch err := rows.Next(dest); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if err := f(); err != nil {
			return err
		}
	}
}

// first reads the first row into dest and reports whether there was one.
func (s *stmt) first(dest []driver.Value, args ...driver.Value) (found bool, err error) {
	err = s.each(dest, func() error {
		found = true
		return nil
	}, args...)
	return found, err
}

// integer reads one integer.
func (s *stmt) integer(args ...driver.Value) (n int64, found bool, err error) {
	var dest [1]driver.Value
	found, err = s.first(dest[:], args...)
	if err != nil || !found {
		return 0, false, err
	}
	n, ok := dest[0].(int64)
	if !ok {
		return 0, false, fmt.Errorf("%s: %T is not an integer", s.name, dest[0])
	}
	return n, true, nil
}

// script executes statements without parameters.
func (c *conn) script(text string) error {
	raw, ok := c.raw.(driver.ExecerContext)
	if !ok {
		return errors.New("the driver's connections have changed")
	}
	_, err := raw.ExecContext(uncancelled(), text, nil)
	return err
}

// value reads the first column that a query answers.
func (c *conn) value(query string) (driver.Value, error) {
	p := preparer{conn: c}
	s := p.text("query", query)
	if p.err != nil {
		return nil, p.err
	}
	var dest [1]driver.Value
	found, err := s.first(dest[:])
	if err == nil && !found {
		err = fmt.Errorf("%s: no answer", query)
	}
	return dest[0], err
}

// integer is value for numbers.
func (c *conn) integer(query string) (int64, error) {
	v, err := c.value(query)
	if err != nil {
		return 0, err
	}
	n, ok := v.(int64)
	if !ok {
		return 0, fmt.Errorf("%s: %T is not an integer", query, v)
	}
	return n, nil
}
