package pgstore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/pgstore"
)

// wantFinding inspects and checks one fact.
func wantFinding(tb testing.TB, s *pgstore.Store, name, value string, level semel.Level, advice string) {
	tb.Helper()
	in, err := s.Inspect(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range in.Findings {
		if f.Name != name {
			continue
		}
		if f.Value != value || f.Level != level || !strings.Contains(f.Advice, advice) || (f.Advice == "") != (level == semel.Fine) {
			tb.Errorf("got %+v, want %s to be %q, %v, with advice on %q", f, name, value, level, advice)
		}
		return
	}
	tb.Errorf("got no finding %s", name)
}

// On a server as it comes nothing is broken, and the store knows its grade.
func TestInspect(t *testing.T) {
	t.Parallel()
	s := fresh(t, servertest.Postgres(t).DSN())
	if g := s.Grade(); g.Letter != "C" {
		t.Errorf("got grade %s before anything is known, want the worst", g.Letter)
	}
	in, err := s.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(in.Server, "PostgreSQL 1") {
		t.Errorf("got server %q", in.Server)
	}
	if off := time.Since(in.Clock).Abs(); off > time.Hour {
		t.Errorf("got a clock that is %v off", off)
	}
	for _, f := range in.Findings {
		if f.Level == semel.Broken {
			t.Errorf("got %+v, want nothing broken", f)
		}
	}
	if g := s.Grade(); g.Letter != "B" {
		t.Errorf("got grade %s, want B", g.Letter)
	}
	wantFinding(t, s, "schema", "3", semel.Fine, "")
	wantFinding(t, s, "pooler", "none seen", semel.Fine, "")
	wantFinding(t, s, "role", "primary", semel.Fine, "")

	missing := opened(t, servertest.Postgres(t).DSN(), pgstore.Config{Schema: servertest.Name(t)})
	wantFinding(t, missing, "schema", "0", semel.Broken, "Store.Migrate")
}

// Settings that weaken the promise lower the grade and are named, one by one.
func TestGrades(t *testing.T) {
	t.Parallel()
	server := servertest.NewPostgres(t)
	admin := poolOf(t, server.DSN())
	schema := servertest.Name(t)
	migrate(t, opened(t, server.DSN(), pgstore.Config{Schema: schema}))
	for _, c := range []struct {
		name, value, grade string
		level              semel.Level
		advice             string
	}{
		{"fsync", "off", "C", semel.Weak, "power loss"},
		{"full_page_writes", "off", "C", semel.Weak, "power loss"},
		{"synchronous_commit", "off", "C", semel.Weak, "forgets"},
		{"synchronous_commit", "local", "B", semel.Fine, ""},
		{"autovacuum", "off", "B", semel.Weak, "not used again"},
		{"statement_timeout", "5s", "B", semel.Fine, ""},
		{"lock_timeout", "5s", "B", semel.Fine, ""},
	} {
		set := func(value string) {
			run(t, admin, "ALTER SYSTEM SET "+c.name+" = "+value, "SELECT pg_reload_conf()")
		}
		set("'" + c.value + "'")
		s := opened(t, server.DSN(), pgstore.Config{Schema: schema})
		eventually(t, c.name+" is set", func() bool {
			return look[string](t, admin, "SELECT current_setting($1)", c.name) == c.value
		})
		wantFinding(t, s, c.name, c.value, c.level, c.advice)
		if g := s.Grade(); g.Letter != c.grade || g.Survives == "" {
			t.Errorf("%s = %s: got grade %s, want %s", c.name, c.value, g.Letter, c.grade)
		}
		set("DEFAULT")
		eventually(t, c.name+" is as it was", func() bool {
			return look[string](t, admin, "SELECT current_setting($1)", c.name) != c.value
		})
	}
}

// Where a standby is configured, what does not wait for it is named.
func TestGradesWithStandby(t *testing.T) {
	t.Parallel()
	server := servertest.NewPostgres(t)
	schema := servertest.Name(t)
	migrate(t, opened(t, server.DSN(), pgstore.Config{Schema: schema}))
	run(t, poolOf(t, server.DSN()), "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
	for _, c := range []struct {
		option, name, grade string
		level               semel.Level
		advice              string
	}{
		{"synchronous_commit=on", "synchronous_commit", "A", semel.Fine, ""},
		{"synchronous_commit=remote_apply", "synchronous_commit", "A", semel.Fine, ""},
		{"synchronous_commit=remote_write", "synchronous_commit", "B", semel.Weak, "standby"},
		{"synchronous_commit=local", "synchronous_commit", "B", semel.Weak, "standby"},
		{"synchronous_commit=off", "synchronous_commit", "C", semel.Weak, "forgets"},
	} {
		s := opened(t, server.DSN()+"&"+c.option, pgstore.Config{Schema: schema})
		_, value, _ := strings.Cut(c.option, "=")
		eventually(t, "the standby is configured", func() bool {
			in, err := s.Inspect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range in.Findings {
				if f.Name == "synchronous_standby_names" {
					return f.Value == "nobody"
				}
			}
			return false
		})
		wantFinding(t, s, c.name, value, c.level, c.advice)
		if g := s.Grade(); g.Letter != c.grade {
			t.Errorf("%s: got grade %s, want %s", c.option, g.Letter, c.grade)
		}
	}
}
