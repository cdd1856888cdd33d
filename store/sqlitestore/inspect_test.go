package sqlitestore_test

import (
	"database/sql"
	"os"
	"strings"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/sqlitestore"
)

// finding returns what an inspection says about name.
func finding(t *testing.T, s *sqlitestore.Store, name string) semel.Finding {
	t.Helper()
	found, err := s.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(found.Server, "SQLite 3.") || !found.Clock.IsZero() {
		t.Errorf("got server %q and clock %v", found.Server, found.Clock)
	}
	for _, f := range found.Findings {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("nothing is said about %s: %+v", name, found.Findings)
	return semel.Finding{}
}

func TestInspect(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, sqlitestore.Config{})
	for name, want := range map[string]string{"schema": "4", "journal_mode": "wal", "writer": "writes"} {
		if f := finding(t, s, name); f.Value != want || f.Level != semel.Fine || f.Advice != "" {
			t.Errorf("%s: got %+v, want a fine %s", name, f, want)
		}
	}
	for _, name := range []string{"file", "log"} {
		if f := finding(t, s, name); !strings.Contains(f.Value, "MiB") || f.Level != semel.Fine {
			t.Errorf("%s: got %+v, want a fine size", name, f)
		}
	}
	reader := open(t, path, sqlitestore.Config{ReadOnly: true})
	if f := finding(t, reader, "journal_mode"); f.Level != semel.Fine {
		t.Errorf("read-only: got %+v", f)
	}
}

// What an operator must mend is found while the file is in use.
func TestInspectFindsTrouble(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, sqlitestore.Config{})
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), "PRAGMA user_version = 9"); err != nil {
		t.Fatal(err)
	}
	if f := finding(t, s, "schema"); f.Value != "9" || f.Level != semel.Broken || f.Advice == "" {
		t.Errorf("got %+v, want a broken schema", f)
	}
	if err := os.Truncate(path+"-wal", 300<<20); err != nil {
		t.Fatal(err)
	}
	if f := finding(t, s, "log"); f.Level != semel.Weak || f.Advice == "" {
		t.Errorf("got %+v, want a long log", f)
	}
}
