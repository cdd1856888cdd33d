package sqlitestore_test

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/semel-go/semel/store/sqlitestore"
)

func execute(t *testing.T, path, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), statements); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	path := filled(t)
	execute(t, path, "PRAGMA user_version = 99")
	for _, cfg := range []sqlitestore.Config{{}, {Shared: true}, {NoMigrate: true}, {ReadOnly: true}} {
		err := refused(t, path, cfg, "99")
		var schema *sqlitestore.SchemaError
		if !errors.As(err, &schema) || schema.Have != 99 || schema.Want != 4 {
			t.Errorf("got %v, want a SchemaError with both versions", err)
		}
	}
	if err := sqlitestore.Validate(t.Context(), path); err == nil {
		t.Error("Validate: got nil, want an error")
	}
}

func TestMigrateAndValidate(t *testing.T) {
	path := newPath(t)
	if err := sqlitestore.Validate(t.Context(), path); err == nil {
		t.Error("Validate without a file: got nil, want an error")
	}
	for range 2 {
		if err := sqlitestore.Migrate(t.Context(), path); err != nil {
			t.Fatal(err)
		}
	}
	if err := sqlitestore.Validate(t.Context(), path); err != nil {
		t.Error(err)
	}
	s := open(t, path, sqlitestore.Config{NoMigrate: true})
	mustReserve(t, s, reservation("k"))
}

// Somebody may create the tables with a tool of their own.
func TestSchemaMakesADatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "own.db")
	execute(t, path, sqlitestore.Schema())
	if got := look(t, path, "SELECT count(*) FROM sqlite_schema WHERE name IN ('slots', 'bodies', 'fence_floor', 'audit')"); got != 4 {
		t.Errorf("got %d tables, want 4", got)
	}
	if strings.Contains(sqlitestore.Schema(), "WITHOUT ROWID") {
		t.Error("a wide row in a clustered table costs half the speed")
	}
}

// A table that somebody changed is found at Open, not at the first request.
func TestChangedTableIsRefused(t *testing.T) {
	path := filled(t)
	execute(t, path, "ALTER TABLE slots RENAME COLUMN lapses TO lapse")
	_, err := sqlitestore.Open(path, sqlitestore.Config{})
	if err == nil || !strings.Contains(err.Error(), "lapses") {
		t.Errorf("got %v, want an error that names the column", err)
	}
}

// Who migrates is told which step of how many begins; an old file has fewer.
func TestMigratingIsTold(t *testing.T) {
	path := newPath(t)
	for _, want := range []string{"1/4 2/4 3/4 4/4", ""} {
		var told []string
		s := open(t, path, sqlitestore.Config{Migrating: func(version, of int) { told = append(told, fmt.Sprintf("%d/%d", version, of)) }})
		if got := strings.Join(told, " "); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
