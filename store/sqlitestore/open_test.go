package sqlitestore_test

import (
	"bytes"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/semel-go/semel/store/sqlitestore"
)

// refused opens path and checks that the error names it and says why, and that
// nothing of the directory changed.
func refused(t *testing.T, path string, cfg sqlitestore.Config, why string) error {
	t.Helper()
	before := contents(t, filepath.Dir(path))
	s, err := sqlitestore.Open(path, cfg)
	if err == nil {
		_ = s.Close()
		t.Fatalf("got a store, want an error that says %q", why)
	}
	if text := err.Error(); !strings.Contains(text, path) || !strings.Contains(text, why) {
		t.Errorf("got %q, want the path and %q", text, why)
	}
	after := contents(t, filepath.Dir(path))
	for name, was := range before {
		if !bytes.Equal(after[name], was) {
			t.Errorf("%s was changed", name)
		}
	}
	for name := range after {
		_, was := before[name]
		// A reader of a log that nobody has open makes an empty one.
		ours := strings.HasSuffix(name, "-lock") ||
			cfg.ReadOnly && (strings.HasSuffix(name, "-shm") || strings.HasSuffix(name, "-wal") && len(after[name]) == 0)
		if !was && !ours {
			t.Errorf("%s was left behind", name)
		}
	}
	return err
}

// contents reads the files of a directory; none when there is no directory.
func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = b
	}
	return files
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// filled returns the path of a closed database with some records.
func filled(t *testing.T) string {
	t.Helper()
	path := newPath(t)
	s := open(t, path, sqlitestore.Config{})
	for _, id := range []string{"a", "b", "c"} {
		r := reservation(id)
		mustReserve(t, s, r)
		mustComplete(t, s, r, strings.Repeat(id, 5000))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpenRefusesPaths(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "nowhere"), link); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty.db")
	write(t, empty, nil)
	for _, tt := range []struct {
		name, path, why string
		cfg             sqlitestore.Config
	}{
		{"no path", "", "must name a file", sqlitestore.Config{}},
		{"memory", ":memory:", "must name a file", sqlitestore.Config{}},
		{"directory", dir, "is a directory", sqlitestore.Config{}},
		{"missing parent", filepath.Join(dir, "no", "semel.db"), "no such file or directory", sqlitestore.Config{}},
		{"parent is a file", filepath.Join(empty, "semel.db"), "not a directory", sqlitestore.Config{}},
		{"device", "/dev/null", "not a regular file", sqlitestore.Config{}},
		{"dangling link", link, "symbolic link to nothing", sqlitestore.Config{}},
		{"empty file", empty, "the file is empty", sqlitestore.Config{}},
		{"read-only and missing", filepath.Join(dir, "new.db"), "does not exist", sqlitestore.Config{ReadOnly: true}},
		{"shared and missing", filepath.Join(dir, "new.db"), "does not exist", sqlitestore.Config{Shared: true}},
		{"not to be made", filepath.Join(dir, "new.db"), "does not exist", sqlitestore.Config{NoMigrate: true}},
		{"contradiction", filepath.Join(dir, "new.db"), "exclude each other", sqlitestore.Config{ReadOnly: true, Shared: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.path == "/dev/null" { // its directory is not ours to read
				_, err := sqlitestore.Open(tt.path, tt.cfg)
				if err == nil || !strings.Contains(err.Error(), tt.why) {
					t.Fatalf("got %v, want %q", err, tt.why)
				}
				return
			}
			if err := refused(t, tt.path, tt.cfg, tt.why); tt.path == filepath.Join(dir, "new.db") && (!tt.cfg.ReadOnly || !tt.cfg.Shared) {
				if !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("got %v, want fs.ErrNotExist in it", err)
				}
			}
		})
	}
}

func TestOpenRefusesFiles(t *testing.T) {
	good, err := os.ReadFile(filled(t))
	if err != nil {
		t.Fatal(err)
	}
	damaged := func(change func(b []byte)) []byte {
		b := bytes.Clone(good)
		change(b)
		return b
	}
	const page = 4096
	for _, tt := range []struct {
		name, why string
		file      []byte
	}{
		{"text", "not a database", []byte(strings.Repeat("name: semel\n", 1000))},
		{"short text", "not a database", []byte("hello")},
		{"magic overwritten", "not a database", damaged(func(b []byte) { copy(b, "SQLite format 4") })},
		{"page size 3", "not a database", damaged(func(b []byte) { b[16], b[17] = 0, 3 })},
		{"header of zeros", "not a database", damaged(func(b []byte) { clear(b[:100]) })},
		{"page 1 of zeros after the header", "malformed", damaged(func(b []byte) { clear(b[100:page]) })},
		{"an inner page of zeros", "damaged", damaged(func(b []byte) { clear(b[2*page : 3*page]) })},
		{"noise in an inner page", "", damaged(func(b []byte) {
			for i := 4 * page; i < 5*page; i++ {
				b[i] ^= 0x5a
			}
		})},
		{"cut off", "malformed", good[:len(good)/2]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := newPath(t)
			write(t, path, tt.file)
			refused(t, path, sqlitestore.Config{}, tt.why)
			refused(t, path, sqlitestore.Config{ReadOnly: true}, tt.why)
		})
	}
}

// A database without its log, or a log without its database, is not ours to mend.
func TestOpenRefusesALogWithoutItsDatabase(t *testing.T) {
	path := newPath(t)
	write(t, path+"-wal", []byte("what is left of a database"))
	refused(t, path, sqlitestore.Config{}, "there is no database but its log")
}

func TestOpenRefusesOthersDatabases(t *testing.T) {
	path := newPath(t)
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE accounts (id INTEGER PRIMARY KEY); PRAGMA application_id = 7; PRAGMA user_version = 1"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	refused(t, path, sqlitestore.Config{}, "another application")
	refused(t, path, sqlitestore.Config{Shared: true}, "another application")
}

// An unfinished creation leaves nothing that a later one trips over.
func TestOpenAfterAnUnfinishedCreation(t *testing.T) {
	path := newPath(t)
	write(t, path+"-new", []byte("half"))
	write(t, path+"-new-wal", []byte("half"))
	s := open(t, path, sqlitestore.Config{})
	mustReserve(t, s, reservation("k"))
	if _, err := os.Stat(path + "-new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want the unfinished file gone", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("got mode %o, want 600", got)
	}
}

// Names that mean something to a URI or to SQLite name files like any other.
func TestOpenOddNames(t *testing.T) {
	for _, name := range []string{"a b.db", "a?mode=memory", "a#b", "a%41.db", "file:x", "ü.db", "a&_pragma=journal_mode(OFF)"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			s := open(t, path, sqlitestore.Config{})
			mustReserve(t, s, reservation("k"))
			if _, err := os.Stat(path); err != nil {
				t.Error(err)
			}
		})
	}
}

// One file has one lock, whatever it is called.
func TestOpenThroughALink(t *testing.T) {
	path := newPath(t)
	open(t, path, sqlitestore.Config{})
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	_, err := sqlitestore.Open(link, sqlitestore.Config{})
	var locked *sqlitestore.LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Errorf("got %v, want a LockedError with this process's id", err)
	}
}

// Damage that Open cannot see, or came later, is an error of a step: never a
// panic, never a wrong replay.
func TestDamageNeverReplays(t *testing.T) {
	good, err := os.ReadFile(filled(t))
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Repeat("b", 5000)
	at := bytes.Index(good, []byte(want[:2000]))
	if at < 0 {
		t.Fatal("the body is not in the file")
	}
	path := newPath(t)
	b := bytes.Clone(good)
	b[at+100] ^= 1
	write(t, path, b)
	s := open(t, path, sqlitestore.Config{})
	_, err = s.Reserve(t.Context(), reservation("b"))
	var damaged *sqlitestore.DamagedError
	if !errors.As(err, &damaged) || damaged.Slot != reservation("b").Key.Slot() {
		t.Errorf("got %v, want a DamagedError with the slot", err)
	}
	for _, id := range []string{"a", "c"} {
		held, err := s.Reserve(t.Context(), reservation(id))
		if err != nil || string(held.Response.Body) != strings.Repeat(id, 5000) {
			t.Errorf("got %.10q (%v), want the others untouched", held.Response.Body, err)
		}
	}
}
