package sqlitestore_test

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/sqlitestore"
	"github.com/semel-go/semel/store/storetest"
)

// appDB makes the database of an application that knows nothing of records.
func appDB(t *testing.T, settings string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "app.db")
	execute(t, path, settings+`;
		CREATE TABLE slots (n INTEGER PRIMARY KEY, name TEXT);
		CREATE INDEX slots_slot ON slots (name);
		INSERT INTO slots VALUES (1, 'the application''s own');
		PRAGMA application_id = 1234; PRAGMA user_version = 77`)
	return path
}

// A guest breaks no promise of a store, and sees nothing of what else is in the file.
func TestConformanceGuest(t *testing.T) {
	t.Parallel()
	storetest.Suite{Open: func(t *testing.T) semel.Store {
		t.Helper()
		return open(t, appDB(t, ""), sqlitestore.Config{Guest: true})
	}}.Run(t)
}

// A guest leaves the file as its own it was, but for the journal mode, and finds its
// records again.
func TestGuestLeavesTheApplicationAlone(t *testing.T) {
	t.Parallel()
	path := appDB(t, "PRAGMA page_size = 8192; PRAGMA auto_vacuum = FULL")
	r := reservation("a")
	for i := range 2 {
		s := open(t, path, sqlitestore.Config{Guest: true})
		if i == 0 {
			mustReserve(t, s, r)
			mustComplete(t, s, r, "kept")
		}
		held, err := s.Reserve(t.Context(), heir(r))
		if err != nil || string(held.Response.Body) != "kept" {
			t.Errorf("got %+v, error %v, want the response", held, err)
		}
		if err := s.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		if f := finding(t, s, "schema"); f.Value != "4" || f.Level != semel.Fine {
			t.Errorf("got %+v, want version 4", f)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[string]int64{
		"PRAGMA application_id": 1234, "PRAGMA user_version": 77, "PRAGMA page_size": 8192, "PRAGMA auto_vacuum": 1,
		"SELECT count(*) FROM slots": 1, "SELECT count(*) FROM semel_slots": 1, "SELECT version FROM semel_schema": 4,
		"SELECT count(*) FROM sqlite_schema WHERE name NOT LIKE 'semel!_%' ESCAPE '!' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'": 2,
		"SELECT journal_mode = 'wal' FROM pragma_journal_mode":                                                                  1,
	} {
		if got := look(t, path, query); got != want {
			t.Errorf("%s: got %d, want %d", query, got, want)
		}
	}
	if _, err := os.Stat(path + "-lock"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want no lock file", err)
	}
}

// A guest may come before the application does, and to a file that is empty.
func TestGuestComesFirst(t *testing.T) {
	t.Parallel()
	empty := newPath(t)
	write(t, empty, nil)
	for _, path := range []string{newPath(t), empty} {
		b := openBank(t, path, sqlitestore.Config{Guest: true})
		r, x, tx := b.enter(b.transactions(semel.SingleTx), "a")
		b.book(tx, "a")
		b.must(x.Complete(t.Context(), completion(r, "booked")))
		b.must(x.Commit(t.Context()))
		b.wantBooked("a", 1)
	}
}

// Several processes of an application may open the store at the same time, also the
// first time.
func TestGuestsComeTogether(t *testing.T) {
	t.Parallel()
	for range 5 {
		path := newPath(t)
		var all []*child
		for range 4 {
			all = append(all, start(t, "guest", path))
		}
		for range 4 {
			open(t, path, sqlitestore.Config{Guest: true})
		}
		for _, c := range all {
			if err := c.cmd.Wait(); err != nil {
				t.Errorf("%v: %s", err, c.errs)
			}
		}
	}
}

// childGuest only opens the store.
func childGuest(path string, _ io.Reader, _ io.Writer) error {
	s, err := sqlitestore.Open(path, sqlitestore.Config{Guest: true})
	if err != nil {
		return err
	}
	return s.Close()
}

// Which kind of file it is cannot be mistaken: records would be in two places.
func TestGuestAndHost(t *testing.T) {
	t.Parallel()
	own, app, fresh := filled(t), appDB(t, ""), appDB(t, "")
	if err := open(t, app, sqlitestore.Config{Guest: true}).Close(); err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []sqlitestore.Config{{Guest: true}, {Guest: true, Shared: true}, {Guest: true, ReadOnly: true}} {
		refused(t, own, cfg, "without Config.Guest")
	}
	for _, cfg := range []sqlitestore.Config{{}, {Shared: true}, {ReadOnly: true}} {
		refused(t, app, cfg, "with Config.Guest")
		refused(t, fresh, cfg, "another application")
	}
	var schema *sqlitestore.SchemaError
	for _, cfg := range []sqlitestore.Config{{Guest: true, NoMigrate: true}, {Guest: true, Shared: true}, {Guest: true, ReadOnly: true}} {
		if _, err := sqlitestore.Open(fresh, cfg); !errors.As(err, &schema) || schema.Have != 0 || schema.Want != 4 {
			t.Errorf("got error %v, want a SchemaError that there is none", err)
		}
		if _, err := sqlitestore.Open(newPath(t), cfg); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got error %v, want that there is no file", err)
		}
	}
	if got := look(t, fresh, "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'semel%'"); got != 0 {
		t.Errorf("got %d of our tables in a file that was refused, want none", got)
	}
	execute(t, app, "UPDATE semel_schema SET version = 99")
	refused(t, app, sqlitestore.Config{Guest: true}, "99")
}

// An operator looks at the records, and works on them, while the application runs.
func TestGuestIsShared(t *testing.T) {
	t.Parallel()
	path := appDB(t, "")
	s := open(t, path, sqlitestore.Config{Guest: true})
	r := reservation("a")
	mustReserve(t, s, r)
	for _, cfg := range []sqlitestore.Config{{Guest: true}, {Guest: true, Shared: true}, {Guest: true, NoMigrate: true}} {
		other := open(t, path, cfg)
		held, err := other.Reserve(t.Context(), heir(r))
		if err != nil || held.Token != r.Token {
			t.Errorf("%+v: got %+v, error %v, want the reservation", cfg, held, err)
		}
	}
	n := 0
	for rec, err := range open(t, path, sqlitestore.Config{Guest: true, ReadOnly: true}).List(t.Context(), semel.Filter{}) {
		if n++; err != nil || rec.Token != r.Token {
			t.Errorf("got %+v, error %v, want the reservation", rec, err)
		}
	}
	if n != 1 {
		t.Errorf("got %d records, want 1", n)
	}
}

// Without the write-ahead log there is no store: Open sets it, or says why it cannot.
func TestGuestNeedsTheLog(t *testing.T) {
	t.Parallel()
	path := appDB(t, "")
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	tx, err := db.BeginTx(t.Context(), nil) // with the old journal
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), "INSERT INTO slots VALUES (2, 'more')"); err != nil {
		t.Fatal(err)
	}
	refused(t, path, sqlitestore.Config{Guest: true}, "journal_mode(WAL)")
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	open(t, path, sqlitestore.Config{Guest: true})
}

// Damage of our tables is found when the file is opened.
func TestGuestIsChecked(t *testing.T) {
	t.Parallel()
	path := appDB(t, "")
	s := open(t, path, sqlitestore.Config{Guest: true})
	for i := range 50 {
		mustReserve(t, s, reservation(fmt.Sprint(i)))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// An index that lacks what its table has.
	execute(t, path, `PRAGMA writable_schema = ON;
		UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'slots_slot') WHERE name = 'semel_slots_slot'`)
	refused(t, path, sqlitestore.Config{Guest: true}, "damaged")
}

// The application may make the tables with a tool of its own.
func TestGuestSchemaMakesTables(t *testing.T) {
	t.Parallel()
	path := appDB(t, "")
	execute(t, path, sqlitestore.GuestSchema())
	s := open(t, path, sqlitestore.Config{Guest: true, NoMigrate: true})
	mustReserve(t, s, reservation("a"))
	for _, schema := range []string{sqlitestore.Schema(), sqlitestore.GuestSchema()} {
		if strings.ContainsAny(schema, "{}") {
			t.Errorf("got a name that is not filled in: %s", schema)
		}
	}
}
