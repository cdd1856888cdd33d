package pgstore_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/pgstore"
)

// Ten processes that start at once all find the schema made.
func TestMigrateTenAtOnce(t *testing.T) {
	t.Parallel()
	url := servertest.Postgres(t).DSN()
	for round := range 5 {
		schema := servertest.Name(t)
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range 10 {
			table := fmt.Sprint("slots", i%2) // two stores in one schema that nobody has made
			s := opened(t, url+"&pool_max_conns=1", pgstore.Config{Schema: schema, Table: table})
			wg.Go(func() {
				<-start
				if err := s.Migrate(t.Context()); err != nil {
					t.Errorf("round %d: %v", round, err)
					return
				}
				if err := s.Validate(t.Context()); err != nil {
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		close(start)
		wg.Wait()
	}
}

// L4: a schema that is missing or newer is refused by Validate and by the first
// Reserve, with what to do; Migrate makes the missing one only. A table that is
// dropped while the store serves is an error of each step until Migrate has made
// it again.
func TestOtherSchemas(t *testing.T) {
	t.Parallel()
	url := servertest.Postgres(t).DSN()
	pool := poolOf(t, url)
	schema := servertest.Name(t)
	cfg := pgstore.Config{Schema: schema}
	r := reservation("a")

	refused := func(what string, s *pgstore.Store, have int, parts ...string) {
		t.Helper()
		_, err := s.Reserve(t.Context(), r)
		wantError(t, err, "reserve", nil, parts...)
		err = s.Validate(t.Context())
		wantError(t, err, "validate", nil, parts...)
		if se := new(pgstore.SchemaError); !errors.As(err, &se) || se.Have != have || se.Want != 3 || !strings.Contains(se.Table, schema) {
			t.Errorf("%s: got %#v, want a SchemaError with version %d", what, err, have)
		}
	}
	refused("nothing", opened(t, url, cfg), 0, "no schema", "Store.Migrate", "semel schema apply")

	s := opened(t, url, cfg)
	migrate(t, s)
	mustReserve(t, s, r)
	migrate(t, s) // changes nothing
	mustReserve(t, s, r)

	run(t, pool, "INSERT INTO "+schema+".semel_slots_migrations (version) VALUES (7)")
	newer := opened(t, url, cfg)
	refused("newer", newer, 7, "schema 7", "use a newer program")
	wantError(t, newer.Migrate(t.Context()), "migrate", nil, "schema 7", "use a newer program")

	run(t, pool, "DELETE FROM "+schema+".semel_slots_migrations", "DROP TABLE "+schema+".semel_slots")
	older := opened(t, url, cfg)
	refused("older", older, 0, "no schema")
	migrate(t, older)
	mustReserve(t, older, r)

	// The store that serves does not validate again, and says what it meets.
	run(t, pool, "DROP TABLE "+schema+".semel_slots")
	_, err := s.Reserve(t.Context(), r)
	wantError(t, err, "reserve", nil, "the schema is not this program's", "Migrate")
	wantError(t, s.Complete(t.Context(), completion(r, "body")), "complete", nil, "Migrate")
	wantError(t, s.Ping(t.Context()), "ping", nil, "Migrate")
	_, err = s.Renew(t.Context(), time.Hour, []semel.Holder{{Key: r.Key, Token: r.Token}})
	wantError(t, err, "renew", nil, "Migrate")
	migrate(t, s)
	mustReserve(t, s, r)
	mustComplete(t, s, r, "body")
	mustReplay(t, s, r, "body")
	if err := opened(t, url, cfg).Validate(t.Context()); err != nil {
		t.Error(err)
	}
}

// What Schema prints makes what Migrate makes.
func TestSchemaText(t *testing.T) {
	t.Parallel()
	url := servertest.Postgres(t).DSN()
	pool := poolOf(t, url)
	cfg := pgstore.Config{Schema: servertest.Name(t), Table: `Mixed "case"`}
	s := opened(t, url, cfg)
	if _, err := pool.Exec(t.Context(), s.Schema(), pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	migrate(t, s)
	mustReserve(t, s, reservation("a"))
	if text := pgstore.Schema(); !strings.Contains(text, `CREATE TABLE "public"."semel_slots" (`) || strings.Contains(text, `"slots`) {
		t.Errorf("got a schema that does not name its table:\n%s", text)
	}
}

// A role that may do no more than the documentation says serves; one that lacks a
// right is told which.
func TestRights(t *testing.T) {
	t.Parallel()
	url := servertest.Postgres(t).DSN()
	admin := poolOf(t, url)
	role, schema := servertest.Name(t), servertest.Name(t)
	cfg := pgstore.Config{Schema: schema}
	migrate(t, opened(t, url, cfg))
	run(t, admin, "CREATE ROLE "+role+" LOGIN")
	t.Cleanup(func() { run(t, admin, "DROP OWNED BY "+role, "DROP ROLE "+role) })
	url = withUser(t, url, role)

	none := opened(t, url, cfg)
	wantError(t, none.Validate(t.Context()), "validate", nil, "permission denied", "the role lacks a right")
	wantError(t, opened(t, url, pgstore.Config{Schema: schema + "x"}).Migrate(t.Context()), "migrate", nil, "permission denied")

	run(t, admin, "GRANT USAGE ON SCHEMA "+schema+" TO "+role, "GRANT SELECT ON ALL TABLES IN SCHEMA "+schema+" TO "+role)
	reads := opened(t, url, cfg)
	wantError(t, reads.Validate(t.Context()), "validate", nil, "without INSERT", "semel_slots")
	_, err := reads.Reserve(t.Context(), reservation("a"))
	wantError(t, err, "reserve", nil, "without INSERT")
	wantError(t, reads.Release(t.Context(), reservation("a").Key, reservation("a").Token), "release", nil, "the role lacks a right")

	run(t, admin, "GRANT INSERT, UPDATE ON "+schema+".semel_slots TO "+role)
	writes := opened(t, url, cfg)
	mustReserve(t, writes, reservation("a"))
	wantFinding(t, writes, "rights", "without DELETE", 1, "GRANT DELETE ON")
	migrate(t, writes) // there is nothing to do, so nothing that it may not

	_, err = writes.Audit(t.Context(), semel.AuditEntry{Actor: "ops", Action: semel.ActionPurge})
	wantError(t, err, "audit", nil, "the role lacks a right")
	run(t, admin, "GRANT SELECT, INSERT ON "+schema+".semel_slots_audit TO "+role)
	if _, err := writes.Audit(t.Context(), semel.AuditEntry{Actor: "ops", Action: semel.ActionPurge}); err != nil {
		t.Error(err)
	}

	run(t, admin, "GRANT DELETE ON "+schema+".semel_slots TO "+role)
	wantFinding(t, writes, "rights", "all", 0, "")
	if _, err := writes.Purge(t.Context(), 1); err != nil {
		t.Error(err)
	}
}

// Names that PostgreSQL would cut, or cannot take, are refused.
func TestNames(t *testing.T) {
	t.Parallel()
	pool := poolOf(t, "postgres://127.0.0.1:1/none")
	for _, cfg := range []pgstore.Config{
		{Table: strings.Repeat("t", 53)},
		{Schema: strings.Repeat("s", 64)},
		{Table: "a\x00b"},
		{Schema: "\xff"},
		{ExecMode: 99},
		{ExecMode: -1},
	} {
		if _, err := pgstore.New(pool, cfg); err == nil || !strings.HasPrefix(err.Error(), "pgstore: Config.") {
			t.Errorf("got %v for %+v, want it refused", err, cfg)
		}
	}
	if _, err := pgstore.New(nil, pgstore.Config{}); err == nil {
		t.Error("got a store without a pool")
	}
	longest := pgstore.Config{Schema: servertest.Name(t), Table: strings.Repeat("t", 52)}
	s := opened(t, servertest.Postgres(t).DSN(), longest)
	migrate(t, s)
	mustReserve(t, s, reservation("a"))
}

// Who migrates is told which step of how many begins.
func TestMigratingIsTold(t *testing.T) {
	t.Parallel()
	var told []string
	s := opened(t, servertest.Postgres(t).DSN(), pgstore.Config{
		Schema: servertest.Name(t), Migrating: func(version, of int) { told = append(told, fmt.Sprintf("%d/%d", version, of)) },
	})
	for range 2 {
		migrate(t, s)
		if got := strings.Join(told, " "); got != "1/3 2/3 3/3" {
			t.Errorf("got %q, want each step once", got)
		}
	}
}
