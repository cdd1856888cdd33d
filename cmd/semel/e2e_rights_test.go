//go:build unix

package main

import (
	"database/sql"
	"os"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/semel-go/semel/internal/servertest"
)

// grantsOf returns the GRANT lines in a section of docs/stores.md.
func grantsOf(t *testing.T, section string) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/stores.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n## "+section+"\n")
	rest, _, _ = strings.Cut(rest, "\n## ")
	var grants []string
	for line := range strings.Lines(rest) {
		if strings.HasPrefix(line, "GRANT ") {
			grants = append(grants, strings.TrimSuffix(strings.TrimSpace(line), ";"))
		}
	}
	if len(grants) == 0 {
		t.Fatalf("%s has no GRANT line", section)
	}
	return grants
}

// granting is a database whose owner makes the tables, and whose user semel_app
// has no right yet.
type granting struct {
	section, driver, dsn string   // of docs/stores.md; of the owner
	prepare              []string // statements of the owner
	owner, user          string   // URLs of the store
	migrate              string   // the service's --migrate
}

// What docs/stores.md says to grant is enough to serve and to purge, and what is
// missing without it is said.
func TestGrants(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) granting{
		"postgres": func(t *testing.T) granting {
			t.Helper()
			s := servertest.NewPostgres(t)
			return granting{
				section: "PostgreSQL", driver: "pgx", dsn: s.DSN(), owner: s.DSN(), migrate: "true",
				prepare: []string{"CREATE ROLE semel_app LOGIN PASSWORD 'right'", "REVOKE ALL ON SCHEMA public FROM PUBLIC"},
				user:    "postgres://semel_app:right@" + s.Addr() + "/postgres?sslmode=disable",
			}
		},
		"mysql": func(t *testing.T) granting {
			t.Helper()
			s := servertest.NewMariaDB(t)
			return granting{
				section: "MySQL and MariaDB", driver: "mysql", dsn: s.DSN() + "shop", owner: "mysql://root@" + s.Addr() + "/shop", migrate: "false",
				prepare: []string{"CREATE USER semel_app IDENTIFIED BY 'right'"},
				user:    "mysql://semel_app:right@" + s.Addr() + "/shop",
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			if s.driver == "mysql" {
				execAll(t, s.driver, strings.TrimSuffix(s.dsn, "shop"), "CREATE DATABASE shop")
			}
			execAll(t, s.driver, s.dsn, s.prepare...)
			for _, args := range [][]string{{"schema", "apply"}, {"records", "list"}} {
				if out := runSemel(t, 3, append(args, "--store", s.user)...); !strings.Contains(out, "hint: semel schema apply") {
					t.Errorf("semel %s: got no hint:\n%s", args[0], out)
				}
			}
			runSemel(t, 0, "schema", "apply", "--store", s.owner)
			execAll(t, s.driver, s.dsn, grantsOf(t, s.section)...)
			url, _ := shop(t)
			proxy := startSidecar(t, url, "--migrate="+s.migrate, "--store", s.user)
			if a := proxy.order(t, "a"); a.status != 201 {
				t.Errorf("got %+v, want 201", a)
			}
			if a := proxy.order(t, "a"); a.status != 201 || !a.replayed {
				t.Errorf("got %+v, want the replay", a)
			}
			runSemel(t, 0, "schema", "check", "--store", s.user)
			runSemel(t, 0, "doctor", "--probe", "--store", s.user)
			runSemel(t, 0, "records", "purge", "--yes", "--store", s.user)
		})
	}
}

func execAll(t *testing.T, driver, dsn string, statements ...string) {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, text := range statements {
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}
