package stores

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/nats-io/nats.go"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/sqlitestore"
)

func TestURLsThatNameNoStore(t *testing.T) {
	for _, row := range []struct{ url, want string }{
		{"", `unknown kind of store ""`},
		{"oracle://u:hunter2@h/db", `unknown kind of store "oracle"`},
		{"SQLITE:x", `unknown kind of store "SQLITE", did you mean "sqlite"?`},
		{"postgress://u:hunter2@h/db", `unknown kind of store "postgress", did you mean "postgres"?`},
		{"mysql://u:hunter2@tcp(host:3306)/db", "mysql has a URL here and no DSN: write mysql://USER:PASSWORD@HOST:PORT/DB"},
		{"mariadb://u:hunter2@unix(/run/mysqld.sock)/db", "mysql has a URL here and no DSN: write mysql://USER:PASSWORD@HOST:PORT/DB"},
		{"semel.db", `the store "semel.db" has no kind, did you mean "sqlite:semel.db"?`},
		{"memory:x", "nothing may follow memory:"},
		{"memory:?max=1", `unknown parameter "max": memory takes none`},
		{"sqlite", `the store "sqlite" lacks its colon: write sqlite:PATH`},
		{"sqlite:", "sqlite: needs the path of a file, such as sqlite:semel.db"},
		{"sqlite:a.db?mode=ro", `unknown parameter "mode": sqlite:PATH takes none`},
		{"sqlite:a.db?", `unknown parameter "": sqlite:PATH takes none`},
		{"sqlite://a.db", "sqlite: takes a path and no host: write sqlite:semel.db or sqlite:/var/lib/semel/semel.db"},
		{"sqlite::memory:", "sqlite: needs a file: write memory for a store that survives nothing"},
		{"sqlite:a\x00b", "sqlite: the path has a zero byte"},
		{"postgres", "the store \"postgres\" lacks its colon: write postgres://USER@HOST/DATABASE"},
		{"postgres:semel", "postgres needs a server: write postgres://USER@HOST/DATABASE"},
		{"rediss://", "rediss needs a server: write rediss://HOST"},
	} {
		_, err := Open(t.Context(), row.url, Options{Use: Serve})
		if urlErr := (*URLError)(nil); !errors.As(err, &urlErr) || err.Error() != row.want {
			t.Errorf("%q: got %v, want %s", row.url, err, row.want)
		}
		if Hint(err) == "" {
			t.Errorf("%q: no hint", row.url)
		}
	}
}

func TestMemoryIsForServingOnly(t *testing.T) {
	for _, url := range []string{"memory", "memory:"} {
		opened, err := Open(t.Context(), url, Options{Use: Serve})
		if err != nil || opened.Kind != "memory" {
			t.Fatalf("%s: got %+v, %v", url, opened, err)
		}
		if err := opened.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, use := range []Use{Look, Change} {
		if _, err := Open(t.Context(), "memory:", Options{Use: use}); !errors.As(err, new(*URLError)) {
			t.Errorf("use %d: got %v, want a URLError", use, err)
		}
	}
}

// open opens a URL for the time of the test.
func open(t *testing.T, url string, use Use) semel.Store {
	t.Helper()
	opened, err := Open(t.Context(), url, Options{Use: use})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := opened.Close(); err != nil {
			t.Error(err)
		}
	})
	return opened.Store
}

func reserve(t *testing.T, s semel.Store, id string) semel.Record {
	t.Helper()
	rec, err := s.Reserve(t.Context(), semel.Reservation{
		Key: semel.Key{Scope: "s", ID: id}, Token: semel.NewToken(), Lease: time.Minute, Retention: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// An operator reads and writes beside the process that serves; a second server
// is refused.
func TestSQLiteIsSharedWithOperators(t *testing.T) {
	t.Chdir(t.TempDir())
	served := open(t, "sqlite:semel.db", Serve) // relative
	rec := reserve(t, served, "k")
	path, err := filepath.Abs("semel.db")
	if err != nil {
		t.Fatal(err)
	}
	look := open(t, "sqlite:"+path, Look)
	lister, _ := semel.As[semel.Lister](look)
	var found []semel.Record
	for r, err := range lister.List(t.Context(), semel.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, r)
	}
	if len(found) != 1 || found[0].Token != rec.Token {
		t.Errorf("got %v, want the one reservation", found)
	}
	change := open(t, "sqlite:semel.db", Change)
	if err := change.Release(t.Context(), rec.Key, rec.Token); err != nil {
		t.Error(err)
	}
	if again := reserve(t, served, "k"); again.Fence <= rec.Fence {
		t.Errorf("got fence %d after %d", again.Fence, rec.Fence)
	}
	_, err = Open(t.Context(), "sqlite:semel.db", Options{Use: Serve})
	if err == nil || !strings.Contains(Hint(err), "stop") {
		t.Errorf("a second server: got %v with hint %q", err, Hint(err))
	}
}

func TestOperatorsMakeNothing(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, use := range []Use{Look, Change} {
		_, err := Open(t.Context(), "sqlite:semel.db", Options{Use: use})
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(Hint(err), "semel proxy makes a file") {
			t.Errorf("use %d: got %v with hint %q", use, err, Hint(err))
		}
	}
	_, err := Open(t.Context(), "sqlite:none/semel.db", Options{Use: Serve})
	if !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(Hint(err), "create the directory") {
		t.Errorf("a server without a directory: got %v with hint %q", err, Hint(err))
	}
	if left, _ := filepath.Glob("*"); len(left) != 0 {
		t.Errorf("made %v", left)
	}
}

func TestFilesThatAreNoStore(t *testing.T) {
	t.Chdir(t.TempDir())
	opened, err := Open(t.Context(), "sqlite:semel.db", Options{Use: Serve})
	if err != nil {
		t.Fatal(err)
	}
	if err := opened.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile("semel.db")
	if err != nil {
		t.Fatal(err)
	}
	newer := append([]byte(nil), whole...)
	binary.BigEndian.PutUint32(newer[60:], 99) // user_version, see https://www.sqlite.org/fileformat.html
	torn := append([]byte(nil), whole...)
	copy(torn[100:], strings.Repeat("\xff", 200)) // the root of the schema
	for _, row := range []struct {
		name string
		text []byte
		hint string // a part; "" for no hint
	}{
		{"newer", newer, "a newer version of semel wrote this file"},
		{"text", []byte(strings.Repeat("not a database\n", 100)), ""},
		{"torn", torn, ""},
		{"empty", nil, ""},
	} {
		if err := os.WriteFile(row.name, row.text, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, use := range []Use{Serve, Look, Change} {
			opened, err := Open(t.Context(), "sqlite:"+row.name, Options{Use: use})
			if err == nil {
				t.Errorf("%s, use %d: opened, %v", row.name, use, opened.Close())
				continue
			}
			if errors.As(err, new(*URLError)) || !strings.Contains(Hint(err), row.hint) {
				t.Errorf("%s, use %d: got %v with hint %q", row.name, use, err, Hint(err))
			}
		}
		if after, _ := os.ReadFile(row.name); string(after) != string(row.text) {
			t.Errorf("%s: the file was changed", row.name)
		}
	}
}

// code is an error with a result code of SQLite.
type code int

func (c code) Error() string { return "code" }
func (c code) Code() int     { return int(c) }

// state is an error with a code of PostgreSQL.
type state string

func (s state) Error() string    { return "state" }
func (s state) SQLState() string { return string(s) }

func TestHints(t *testing.T) {
	for _, row := range []struct {
		err  error
		want string // a part; "" for no hint
	}{
		{nil, ""},
		{errors.New("other"), ""},
		{&sqlitestore.LockedError{Path: "f", PID: 7}, "stop process 7"},
		{&sqlitestore.LockedError{Path: "f"}, "stop the other process"},
		{&sqlitestore.SchemaError{Have: 2, Want: 1}, "a newer version"},
		{&sqlitestore.SchemaError{Have: 1, Want: 2}, "an older version"},
		{fs.ErrPermission, "must belong to this user"},
		{code(1544), "must belong to this user"}, // SQLITE_READONLY_DIRECTORY
		{code(14), ""},
		{semel.ErrFull, "make room"},
		{sqlitestore.ErrPoisoned, "look at the disk"},
		{state("28P01"), "user or password"},
		{state("28000"), "% and two digits"},
		{state("42501"), "semel schema apply"},
		{state("42P01"), ""},
		{&mysql.MySQLError{Number: 1045}, "user or password"},
		{&mysql.MySQLError{Number: 1142}, "SELECT, INSERT, UPDATE and DELETE"},
		{&mysql.MySQLError{Number: 1064}, ""},
		{errors.New("redisstore: ping: WRONGPASS invalid username-password pair"), "user or password"},
		{errors.New("redisstore: ping: NOAUTH Authentication required."), "user or password"},
		{fmt.Errorf("natsstore: ping: not connected: %w", nats.ErrAuthorization), "user or password"},
		{errors.New("natsstore: ping: not connected"), "nobody answers there"},
	} {
		if got := Hint(row.err); (got == "") != (row.want == "") || !strings.Contains(got, row.want) {
			t.Errorf("%v: got %q, want %q", row.err, got, row.want)
		}
	}
}

func TestSchema(t *testing.T) {
	for _, url := range []string{"sqlite", "sqlite:", "sqlite:x.db", "postgres", "postgres://h/db", "mysql", "mariadb"} {
		text, err := Schema(url)
		if err != nil || !strings.Contains(text, "CREATE TABLE") {
			t.Errorf("%s: got %q, %v", url, text, err)
		}
	}
	for _, kind := range []string{"memory", "memory:", "", "oracle", "redis", "nats://h"} {
		if text, err := Schema(kind); err == nil {
			t.Errorf("%q: got %q, want an error", kind, text)
		}
	}
}

// A URL that is accepted names its kind, and only a server's has parameters.
func FuzzParse(f *testing.F) {
	for _, url := range []string{"memory:", "sqlite:a.db", "sqlite:/a?b=c", "sqlite::memory:", "a:b", ":", "sqlite:\x00"} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		k, rest, err := parse(url)
		if err != nil {
			return
		}
		if k.name+":"+rest != url && k.name != url || !k.params && strings.ContainsAny(rest, "?\x00") || k.name == "sqlite" && rest == "" {
			t.Fatalf("%q: accepted as %s with %q", url, k.name, rest)
		}
	})
}

// An operator works on an application's file, which a proxy is not given.
func TestOpenGuest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	guest, err := sqlitestore.Open(path, sqlitestore.Config{Guest: true})
	if err != nil {
		t.Fatal(err)
	}
	r := semel.Reservation{
		Key: semel.Key{Scope: "a", ID: "k"}, Token: semel.NewToken(), Lease: time.Minute, Retention: time.Hour,
	}
	if _, err := guest.Reserve(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	for _, use := range []Use{Look, Change, Examine} { // beside the application
		opened, err := Open(t.Context(), "sqlite:"+path, Options{Use: use})
		if err != nil {
			t.Fatalf("use %v: %v", use, err)
		}
		n := 0
		lister, _ := semel.As[semel.Lister](opened.Store)
		for _, err := range lister.List(t.Context(), semel.Filter{}) {
			if err != nil {
				t.Error(err)
			}
			n++
		}
		if n != 1 {
			t.Errorf("use %v: got %d records, want 1", use, n)
		}
		if err := opened.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := guest.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), "sqlite:"+path, Options{Use: Serve}); !errors.Is(err, sqlitestore.ErrGuest) || Hint(err) == "" {
		t.Errorf("serve: got %v, hint %q", err, Hint(err))
	}
}

// Who applies a schema is told how far it is.
func TestMigrateTellsItsSteps(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "a.db")
	for _, want := range []string{"1/4 2/4 3/4 4/4", ""} {
		var told []string
		err := Migrate(t.Context(), url, Options{Migrating: func(version, of int) { told = append(told, fmt.Sprintf("%d/%d", version, of)) }})
		if got := strings.Join(told, " "); err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
}
