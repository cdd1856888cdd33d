package mysqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/mysqlstore"
)

// Ten processes that start at once migrate once, and all serve.
func TestMigrateTogether(t *testing.T) {
	t.Parallel()
	dsn := database(t, servertest.MariaDB(t), "")
	var wg sync.WaitGroup
	for range 10 {
		s := openOnly(t, dsn, mysqlstore.Config{MaxConns: 2})
		wg.Go(func() {
			if err := s.Migrate(t.Context()); err != nil {
				t.Error(err)
				return
			}
			if err := s.Validate(t.Context()); err != nil {
				t.Error(err)
			}
			works(t, s)
		})
	}
	wg.Wait()
	var versions int
	if err := pool(t, dsn).QueryRow("SELECT COUNT(*) FROM semel_slots_schema").Scan(&versions); err != nil || versions != 1 {
		t.Errorf("got %d versions (%v), want 1", versions, err)
	}
}

// A migration that waits for another one ends with its context.
func TestMigrateLocked(t *testing.T) {
	t.Parallel()
	dsn := database(t, servertest.MariaDB(t), "")
	pool, db := pool(t, dsn), pool(t, dsn)
	db.SetMaxOpenConns(1)
	var got int
	if err := db.QueryRow("SELECT GET_LOCK(CONCAT('semel ', MD5(CONCAT(DATABASE(), '.', 'semel_slots'))), 0)").Scan(&got); err != nil || got != 1 {
		t.Fatalf("got %d, %v", got, err)
	}
	s := openOnly(t, dsn, mysqlstore.Config{})
	done := make(chan error, 1)
	go func() { done <- s.Migrate(t.Context()) }()
	seen := make(map[int64]bool)
	waitFor(t, func() bool { // it asks again and again
		select {
		case err := <-done:
			t.Fatalf("got %v while another process migrates, want it to wait", err)
		default:
		}
		var query int64
		err := pool.QueryRow("SELECT query_id FROM information_schema.processlist WHERE db = ? AND state = 'User lock'", nameOf(dsn)).Scan(&query)
		if err == nil {
			seen[query] = true
		}
		return len(seen) == 3
	})
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Migrate(canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the end of the context", err)
	}
	_ = db.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	works(t, s)
}

// A schema that is not this program's is a SchemaError, and a newer one is left
// alone. A migration that stopped between its statements is finished by the next.
func TestSchemaVersions(t *testing.T) {
	t.Parallel()
	dsn := database(t, servertest.MariaDB(t), "")
	db := pool(t, dsn)
	s := openOnly(t, dsn, mysqlstore.Config{})
	wantSchemaError(t, s.Validate(t.Context()), 0)
	for range 2 { // the second one changes nothing
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	run(t, db, "UPDATE semel_slots_schema SET version = 99")
	wantSchemaError(t, s.Validate(t.Context()), 99)
	wantSchemaError(t, s.Migrate(t.Context()), 99)
	_, err := s.Reserve(t.Context(), reservation("k"))
	wantSchemaError(t, err, 99)

	run(t, db, "DELETE FROM semel_slots_schema") // as after a crash in between
	wantSchemaError(t, s.Validate(t.Context()), 0)
	_, err = s.Reserve(t.Context(), reservation("k"))
	wantSchemaError(t, err, 0)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	works(t, s)
}

// What Schema prints is what Migrate does.
func TestSchemaText(t *testing.T) {
	t.Parallel()
	server := servertest.MariaDB(t)
	dsn := database(t, server, "?multiStatements=true")
	run(t, pool(t, dsn), mysqlstore.Schema())
	byHand := openOnly(t, dsn, mysqlstore.Config{})
	if err := byHand.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	works(t, byHand)
	other := database(t, server, "")
	open(t, other, mysqlstore.Config{})
	table := func(dsn string) (text string) {
		var name string
		if err := pool(t, dsn).QueryRow("SHOW CREATE TABLE semel_slots").Scan(&name, &text); err != nil {
			t.Fatal(err)
		}
		return text
	}
	if got, want := table(dsn), table(other); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if text := mysqlstore.Schema(); strings.Contains(text, "{") || strings.Contains(text, "?") {
		t.Errorf("a placeholder is left in\n%s", text)
	}
}

// Two tables in one database are two stores (I13).
func TestTables(t *testing.T) {
	t.Parallel()
	dsn := database(t, servertest.MariaDB(t), "")
	one := open(t, dsn, mysqlstore.Config{Table: "one"})
	two := open(t, dsn, mysqlstore.Config{Table: "Two_" + strings.Repeat("x", 51)})
	r := reservation("k")
	mustReserve(t, one, r)
	mustReserve(t, two, anew(r))
	for _, name := range []string{"a b", "a`b", "1a", "a.b", "ä", strings.Repeat("x", 56)} {
		if _, err := mysqlstore.New(pool(t, dsn), mysqlstore.Config{Table: name}); err == nil {
			t.Errorf("got a store on table %q, want an error", name)
		}
	}
}

// Who migrates is told which step of how many begins.
func TestMigratingIsTold(t *testing.T) {
	t.Parallel()
	var told []string
	s := openOnly(t, database(t, servertest.MariaDB(t), ""), mysqlstore.Config{Migrating: func(version, of int) {
		told = append(told, fmt.Sprintf("%d/%d", version, of))
	}})
	for range 2 {
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(told, " "); got != "1/3 2/3 3/3" {
			t.Errorf("got %q, want each step once", got)
		}
	}
}
