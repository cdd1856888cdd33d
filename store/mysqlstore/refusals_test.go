package mysqlstore_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/mysqlstore"
)

// as returns the DSN for another user.
func as(dsn, user, password string) string {
	return user + ":" + password + dsn[strings.Index(dsn, "@"):]
}

func nameOf(dsn string) string {
	base, _, _ := strings.Cut(dsn, "?")
	return base[strings.LastIndex(base, "/")+1:]
}

// L4: a wrong password is said, without the password, and the store serves when
// the server's user has it.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	server := servertest.MariaDB(t)
	dsn := database(t, server, "")
	admin := pool(t, dsn)
	user := servertest.Name(t)
	run(t, admin, "CREATE USER "+user+" IDENTIFIED BY 'another'")
	run(t, admin, "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER ON "+nameOf(dsn)+".* TO "+user)
	s := openOnly(t, as(dsn, user, "hunter2"), mysqlstore.Config{})
	allFail(t, s, "Access denied")
	run(t, admin, "ALTER USER "+user+" IDENTIFIED BY 'hunter2'")
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	works(t, s) // those rights are enough
}

// L4: a database that is not there is said, and may come later.
func TestMissingDatabase(t *testing.T) {
	t.Parallel()
	server := servertest.MariaDB(t)
	name := servertest.Name(t)
	s := openOnly(t, server.DSN()+name, mysqlstore.Config{})
	allFail(t, s, "Unknown database")
	run(t, pool(t, server.DSN()), "CREATE DATABASE "+name)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	works(t, s)
}

// A pool whose DSN names no database is refused, and so is one whose sessions see
// what is not committed: a replay could answer with a response that is lost.
func TestUnfitPools(t *testing.T) {
	t.Parallel()
	server := servertest.MariaDB(t)
	dsn := database(t, server, "")
	open(t, dsn, mysqlstore.Config{})
	refused := func(s *mysqlstore.Store, finding string) {
		t.Helper()
		u, ok := errors.AsType[*semel.UnfitError](s.Validate(t.Context()))
		if !ok || u.Findings[0].Name != finding {
			t.Errorf("got %v, want the server refused for its %s", u, finding)
		}
	}
	refused(on(t, pool(t, dsn+"?tx_isolation=%27READ-UNCOMMITTED%27"), mysqlstore.Config{}), "isolation")

	nowhere, err := mysqlstore.New(pool(t, server.DSN()), mysqlstore.Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	refused(nowhere, "database")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := nowhere.Migrate(ctx); err == nil || errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "mysqlstore: migrate: ") {
		t.Errorf("migrate: got %v, want it to fail at once", err)
	}
}

// L4: missing tables are a SchemaError before the first step has succeeded, and
// an error that says what to do afterwards. Migrate helps in both cases.
func TestMissingTable(t *testing.T) {
	t.Parallel()
	dsn := database(t, servertest.MariaDB(t), "")
	s := openOnly(t, dsn, mysqlstore.Config{})
	_, err := s.Reserve(t.Context(), reservation("k"))
	wantSchemaError(t, err, 0)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	works(t, s)
	run(t, pool(t, dsn), "DROP TABLE semel_slots")
	for step, err := range steps(s) {
		want := "run Migrate"
		if step == "inspect" {
			continue // it tells what is missing
		}
		if err == nil || !strings.HasPrefix(err.Error(), "mysqlstore: "+step+": ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want it to name the step and %q", step, err, want)
		}
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	works(t, s)
	for step, err := range steps(s) {
		if err != nil && !errors.Is(err, semel.ErrLost) { // the steps come in any order
			t.Errorf("%s: got %v, want it to serve again", step, err)
		}
	}
}

func wantSchemaError(t *testing.T, err error, have int) {
	t.Helper()
	se, ok := errors.AsType[*mysqlstore.SchemaError](err)
	if !ok || se.Have != have || !strings.HasPrefix(err.Error(), "mysqlstore: ") {
		t.Errorf("got %v, want a SchemaError about version %d", err, have)
	}
}

// A server that was made read-only refuses each write with ErrReadOnly; the
// store serves when it takes writes again. A fresh store does not begin.
func TestReadOnlyServer(t *testing.T) {
	t.Parallel()
	server := servertest.NewMariaDB(t)
	dsn := database(t, server, "")
	admin := pool(t, dsn)
	run(t, admin, "CREATE USER app IDENTIFIED BY 'hunter2'")
	run(t, admin, "GRANT ALL ON "+nameOf(dsn)+".* TO app")
	s := open(t, as(dsn, "app", "hunter2"), mysqlstore.Config{})
	r := reservation("k")
	mustReserve(t, s, r)
	run(t, admin, "SET GLOBAL read_only = 1")
	if _, err := s.Reserve(t.Context(), reservation("other")); !errors.Is(err, mysqlstore.ErrReadOnly) {
		t.Errorf("reserve: got %v, want ErrReadOnly", err)
	}
	if err := s.Complete(t.Context(), completion(r, "body")); !errors.Is(err, mysqlstore.ErrReadOnly) {
		t.Errorf("complete: got %v, want ErrReadOnly", err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, mysqlstore.ErrReadOnly) {
		t.Errorf("ping: got %v, want ErrReadOnly", err)
	}
	fresh := openOnly(t, as(dsn, "app", "hunter2"), mysqlstore.Config{})
	_, err := fresh.Reserve(t.Context(), reservation("k"))
	if u, ok := errors.AsType[*semel.UnfitError](err); !ok || u.Findings[0].Name != "read_only" {
		t.Errorf("got %v, want a fresh store to refuse a read-only server", err)
	}
	run(t, admin, "SET GLOBAL read_only = 0")
	mustComplete(t, s, r, "body")
	works(t, s)
	works(t, fresh)
}

// A response that the server cannot take is ErrTooLarge, also when the server's
// limit was lowered since the store asked for it, and harms nothing else. The
// attempt may still complete with less.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	server := servertest.NewMariaDB(t, "max-allowed-packet=1M")
	dsn := database(t, server, "")
	s := open(t, dsn, mysqlstore.Config{MaxConns: 1})
	r := reservation("k")
	mustReserve(t, s, r)
	tooLarge := func(size int) {
		t.Helper()
		c := completion(r, "")
		c.Response.Body = bytes.Repeat([]byte("x"), size)
		if err := s.Complete(t.Context(), c); !errors.Is(err, semel.ErrTooLarge) || !strings.HasPrefix(err.Error(), "mysqlstore: complete: ") {
			t.Errorf("complete with %d bytes: got %v, want ErrTooLarge", size, err)
		}
	}
	id := connectionOf(t, dsn)
	tooLarge(1 << 20)
	tooLarge(5 << 20)
	tooLarge(70 << 20) // more than the driver's own limit
	if now := connectionOf(t, dsn); now != id {
		t.Errorf("got connection %d instead of %d: a large response must not cost it", now, id)
	}

	run(t, pool(t, dsn), "SET GLOBAL max_allowed_packet = 65536")
	kill(t, dsn, id) // sessions have the limit with which they began
	waitFor(t, func() bool { return s.Ping(t.Context()) == nil })
	tooLarge(80_000)
	// The server ends the connection a moment later, perhaps under the next step.
	waitFor(t, func() bool { return s.Complete(t.Context(), completion(r, "less")) == nil })
	mustReplay(t, s, r, "less")
}

// The same when the driver sends the response in small pieces.
func TestTooLargeInPieces(t *testing.T) {
	t.Parallel()
	server := servertest.NewMariaDB(t)
	dsn := database(t, server, "?maxAllowedPacket=40000")
	s := open(t, dsn, mysqlstore.Config{MaxConns: 1})
	r := reservation("k")
	mustReserve(t, s, r)
	id := connectionOf(t, dsn)
	run(t, pool(t, dsn), "SET GLOBAL max_allowed_packet = 65536")
	kill(t, dsn, id) // sessions have the limit with which they began
	waitFor(t, func() bool { return s.Ping(t.Context()) == nil })
	if err := s.Complete(t.Context(), completion(r, strings.Repeat("x", 500_000))); !errors.Is(err, semel.ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	mustComplete(t, s, r, "less")
	mustReplay(t, s, r, "less")
}

// An owner that does not fit is refused, not cut: nothing is written.
func TestOwnerTooLong(t *testing.T) {
	t.Parallel()
	s := open(t, database(t, servertest.MariaDB(t), ""), mysqlstore.Config{})
	r := reservation("k")
	r.Owner = strings.Repeat("o", 1025)
	if _, err := s.Reserve(t.Context(), r); !errors.Is(err, semel.ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	r.Owner = r.Owner[1:]
	if held := mustReserve(t, s, r); held.Owner != r.Owner || held.Attempts != 1 {
		t.Errorf("got attempt %d with an owner of %d bytes", held.Attempts, len(held.Owner))
	}
}

// A closed store says so, and a pool that is the caller's stays open.
func TestClose(t *testing.T) {
	t.Parallel()
	dsn := database(t, servertest.MariaDB(t), "")
	db := pool(t, dsn)
	for _, s := range []*mysqlstore.Store{open(t, dsn, mysqlstore.Config{}), on(t, db, mysqlstore.Config{})} {
		works(t, s)
		for range 2 {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		for step, err := range steps(s) {
			if !errors.Is(err, mysqlstore.ErrClosed) {
				t.Errorf("%s: got %v, want ErrClosed", step, err)
			}
		}
	}
	if err := db.Ping(); err != nil {
		t.Errorf("the caller's pool: %v", err)
	}
}

// connectionOf returns the server's number of the only connection of a store.
func connectionOf(t *testing.T, dsn string) (id int64) {
	t.Helper()
	db := pool(t, dsn)
	err := db.QueryRow("SELECT MAX(id) FROM information_schema.processlist WHERE db = ? AND id <> CONNECTION_ID()", nameOf(dsn)).Scan(&id)
	if err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
	return id
}

func kill(t *testing.T, dsn string, id int64) {
	t.Helper()
	run(t, pool(t, dsn), "KILL ?", id)
}

// A pool whose sessions would lose steps is refused before anything is written.
func TestUnfitSessions(t *testing.T) {
	t.Parallel()
	server := servertest.MariaDB(t)
	for params, want := range map[string]string{
		"?autocommit=0":    "autocommit",
		"?sql_mode=%27%27": "sql_mode",
		"?tx_read_only=1":  "tx_read_only",
		"?character_set_client=latin1&character_set_connection=utf8mb4": "bytes",
	} {
		dsn := database(t, server, "")
		open(t, dsn, mysqlstore.Config{}) // migrated
		s, err := mysqlstore.New(pool(t, dsn+params), mysqlstore.Config{Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Reserve(t.Context(), reservation("k"))
		if u, ok := errors.AsType[*semel.UnfitError](err); !ok || u.Findings[0].Name != want || u.Findings[0].Advice == "" {
			t.Errorf("%s: got %v, want it refused for %s", params, err, want)
		}
	}
	db := pool(t, server.DSN()) // no database
	s, err := mysqlstore.New(db, mysqlstore.Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if u, ok := errors.AsType[*semel.UnfitError](s.Validate(t.Context())); !ok || u.Findings[0].Name != "database" {
		t.Errorf("got %v, want a pool without a database to be refused", s.Validate(t.Context()))
	}
}

// A table of another engine is refused.
func TestEngine(t *testing.T) {
	t.Parallel()
	dsn := database(t, servertest.MariaDB(t), "")
	s := open(t, dsn, mysqlstore.Config{})
	run(t, pool(t, dsn), "ALTER TABLE semel_slots ENGINE = Aria")
	_, err := s.Reserve(t.Context(), reservation("k"))
	if u, ok := errors.AsType[*semel.UnfitError](err); !ok || u.Findings[0].Name != "engine" {
		t.Errorf("got %v, want the engine refused", err)
	}
	run(t, pool(t, dsn), "ALTER TABLE semel_slots ENGINE = InnoDB")
	works(t, s)
}
