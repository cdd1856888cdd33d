package pgstore

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
)

// newTestStore is a store that is not migrated, in a schema of that name.
func newTestStore(t *testing.T, schema string) *Store {
	t.Helper()
	s, err := Open(t.Context(), servertest.Postgres(t).DSN(), Config{Schema: schema, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// withFiles is the store of a program that has the first n schema files, and more.
func withFiles(t *testing.T, schema string, n int, more ...string) *Store {
	t.Helper()
	s := newTestStore(t, schema)
	entries, err := schemaFiles.ReadDir("schema")
	if err != nil || len(entries) < n {
		t.Fatalf("there are %d schema files (%v), want %d", len(entries), err, n)
	}
	files := make(fstest.MapFS)
	for _, e := range entries[:n] {
		name := "schema/" + e.Name()
		text, err := schemaFiles.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: text}
	}
	for i, text := range more {
		files[fmt.Sprintf("schema/%04d_more.sql", n+i+1)] = &fstest.MapFile{Data: []byte(text)}
	}
	s.names.files = files
	return s
}

// newest is the version of this program's schema.
const newest = 3

// nextProgram is the store of a program that has one migration more.
func nextProgram(t *testing.T, schema string) *Store {
	t.Helper()
	return withFiles(t, schema, newest, `ALTER TABLE "slots" ADD COLUMN note bytea NOT NULL DEFAULT 'new'; -- fails when it is run twice`)
}

func ask(id string) semel.Reservation {
	return semel.Reservation{
		Key: semel.Key{Scope: "tenant-1", ID: id}, Fingerprint: semel.FingerprintOf([]byte("request")),
		Token: semel.NewToken(), Lease: time.Hour, Retention: 24 * time.Hour,
	}
}

// keep completes n slots.
func keep(t *testing.T, s *Store, n int) (kept []semel.Reservation) {
	t.Helper()
	for i := range n {
		r := ask(fmt.Sprint("kept ", i))
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
	if text := err.Error(); !strings.HasPrefix(text, "pgstore: "+step+": ") || !strings.Contains(text, advice) {
		t.Errorf("%s: got %q, want the store, the step and %q", step, text, advice)
	}
}

// I10: a program with a newer schema refuses the older one, and brings it to its
// own in place, whoever of ten is first. Nothing that was acknowledged is lost. The
// older program goes on while it runs, and does not begin again.
func TestOlderSchema(t *testing.T) {
	t.Parallel()
	schema := servertest.Name(t)
	old := newTestStore(t, schema)
	if err := old.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	kept := keep(t, old, 20)

	next := nextProgram(t, schema)
	wantVersions(t, next.Validate(t.Context()), "validate", newest, newest+1, "has schema 3, and this program needs 4: migrate it, with Store.Migrate or semel schema apply")
	_, err := next.Reserve(t.Context(), ask("a"))
	wantVersions(t, err, "reserve", newest, newest+1, "migrate it")

	var wg sync.WaitGroup
	start := make(chan struct{})
	for range 10 {
		s := nextProgram(t, schema)
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
	var notes, versions int
	err = next.pool.QueryRow(t.Context(), next.names.replacer.Replace(`SELECT (SELECT count(*) FROM "slots" WHERE note = 'new'), (SELECT count(*) FROM "migrations")`)).
		Scan(&notes, &versions)
	if err != nil || notes != len(kept) || versions != newest+1 {
		t.Errorf("got %d rows that are new and %d notes of migrations (%v), want %d and %d", notes, versions, err, len(kept), newest+1)
	}

	replayed(t, old, kept)
	r := ask("later")
	if held, err := old.Reserve(t.Context(), r); err != nil || held.Token != r.Token {
		t.Errorf("got it held by %v (%v), want the older program to go on", held.Token, err)
	}
	again := newTestStore(t, schema)
	wantVersions(t, again.Validate(t.Context()), "validate", newest+1, newest, "use a newer program")
	_, err = again.Reserve(t.Context(), ask("a"))
	wantVersions(t, err, "reserve", newest+1, newest, "use a newer program")
	wantVersions(t, again.Migrate(t.Context()), "migrate", newest+1, newest, "use a newer program")
}
