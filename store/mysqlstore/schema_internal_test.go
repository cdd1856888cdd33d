package mysqlstore

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/semel-go/semel"
)

// nextProgram is the store of a program that has one migration more.
func nextProgram(t *testing.T, dsn string) *Store {
	t.Helper()
	s := opened(t, dsn)
	files := onlySchema(t, "0001_slots.sql", "0002_promises.sql", "0003_operators.sql")
	files["schema/0004_note.sql"] = &fstest.MapFile{Data: []byte( // fails when it is run twice
		"ALTER TABLE {table} ADD COLUMN note INT NOT NULL DEFAULT 7;\nALTER TABLE {table} DROP KEY created_at, ADD KEY created_at (created_at, slot);\n")}
	s.sql.files = files
	return s
}

// onlySchema is some of the schema files.
func onlySchema(t *testing.T, names ...string) fstest.MapFS {
	t.Helper()
	files := make(fstest.MapFS)
	for _, name := range names {
		text, err := schemaFiles.ReadFile("schema/" + name)
		if err != nil {
			t.Fatal(err)
		}
		files["schema/"+name] = &fstest.MapFile{Data: text}
	}
	return files
}

// keep completes n slots.
func keep(t *testing.T, s *Store, n int) (kept []semel.Reservation) {
	t.Helper()
	for i := range n {
		r := ask(fmt.Sprint("kept ", i))
		r.Lease = time.Hour
		if held, err := s.Reserve(t.Context(), r); err != nil || held.Token != r.Token {
			t.Fatalf("reserve: got it held by %v (%v)", held.Token, err)
		}
		c := semel.Completion{Key: r.Key, Token: r.Token, Retention: r.Retention, Response: semel.Response{Status: 200, Body: []byte(r.Key.ID)}}
		if err := s.Complete(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, r)
	}
	return kept
}

func replayed(t *testing.T, s *Store, kept []semel.Reservation) {
	t.Helper()
	for _, r := range kept {
		r.Token = semel.NewToken()
		held, err := s.Reserve(t.Context(), r)
		if err != nil || held.State != semel.StateCompleted || string(held.Response.Body) != r.Key.ID {
			t.Fatalf("got a %v slot with %d bytes (%v), want the kept response", held.State, len(held.Response.Body), err)
		}
	}
}

// wantVersions checks that err is a SchemaError of a step that says what to do.
func wantVersions(t *testing.T, err error, step string, have, want int, advice string) {
	t.Helper()
	se, ok := errors.AsType[*SchemaError](err)
	if !ok || se.Have != have || se.Want != want {
		t.Fatalf("%s: got %v, want a SchemaError with version %d instead of %d", step, err, have, want)
	}
	if text := err.Error(); !strings.HasPrefix(text, "mysqlstore: "+step+": ") || !strings.Contains(text, advice) {
		t.Errorf("%s: got %q, want the store, the step and %q", step, text, advice)
	}
}

// I10: a program with a newer schema refuses the older one, and brings it to its
// own in place, whoever of ten is first. Nothing that was acknowledged is lost. The
// older program goes on while it runs, and does not begin again.
func TestOlderSchema(t *testing.T) {
	t.Parallel()
	dsn := testDatabase(t)
	old := opened(t, dsn)
	if err := old.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	kept := keep(t, old, 20)

	next := nextProgram(t, dsn)
	wantVersions(t, next.Validate(t.Context()), "validate", 3, 4, "have schema 3, and this program needs 4: run Migrate")
	_, err := next.Reserve(t.Context(), ask("a"))
	wantVersions(t, err, "reserve", 3, 4, "run Migrate")

	var wg sync.WaitGroup
	start := make(chan struct{})
	for range 10 {
		s := nextProgram(t, dsn)
		wg.Go(func() {
			<-start
			if err := s.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	close(start)
	wg.Wait()
	if err := next.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	replayed(t, next, kept)
	var notes, version int
	err = next.db.QueryRow("SELECT (SELECT COUNT(*) FROM semel_slots WHERE note = 7), (SELECT version FROM semel_slots_schema)").Scan(&notes, &version)
	if err != nil || notes != len(kept) || version != 4 {
		t.Errorf("got %d rows that are new and version %d (%v), want %d and 4", notes, version, err, len(kept))
	}

	replayed(t, old, kept)
	r := ask("later")
	if held, err := old.Reserve(t.Context(), r); err != nil || held.Token != r.Token {
		t.Errorf("got it held by %v (%v), want the older program to go on", held.Token, err)
	}
	again := opened(t, dsn)
	wantVersions(t, again.Validate(t.Context()), "validate", 4, 3, "use a newer program")
	_, err = again.Reserve(t.Context(), ask("a"))
	wantVersions(t, err, "reserve", 4, 3, "use a newer program")
	wantVersions(t, again.Migrate(t.Context()), "migrate", 4, 3, "use a newer program")
}

// I7: while programs of the version before run on, they may take a slot whose
// promise they do not know: it is no promise of theirs. Their reservations have none.
func TestPromiseUnderOlderProgram(t *testing.T) {
	t.Parallel()
	dsn := testDatabase(t)
	first := opened(t, dsn)
	first.sql.files = onlySchema(t, "0001_slots.sql")
	if err := first.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := opened(t, dsn)
	wantVersions(t, s.Validate(t.Context()), "validate", 1, 3, "run Migrate")
	for range 2 { // as if the first one had been killed before its end
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.db.Exec("UPDATE semel_slots_schema SET version = 1"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}

	r := ask("k")
	r.Deferred = true
	if held, err := s.Reserve(t.Context(), r); err != nil || !held.Blameless() {
		t.Fatalf("got blameless %v (%v), want a promise", held.Blameless(), err)
	}
	older := semel.NewToken()
	for _, text := range []string{
		"UPDATE semel_slots SET state = 0, lapses = 0, lease_until = 0",
		"UPDATE semel_slots SET token = ?, fence = fence + 1, attempts = 2, lapses = 0, lease_until = 1, state = 1",
	} {
		args := []any{older[:]}[:strings.Count(text, "?")]
		if _, err := s.db.Exec(text, args...); err != nil {
			t.Fatal(err)
		}
	}
	r.Token, r.TakeOverBlameless = semel.NewToken(), true
	held, err := s.Reserve(t.Context(), r)
	if err != nil || held.Token != older || held.Deferred || !held.Lapsed {
		t.Errorf("got it held by %v, deferred %v (%v), want the older program's reservation, which promised nothing", held.Token, held.Deferred, err)
	}
}
