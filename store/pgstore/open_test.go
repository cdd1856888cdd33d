package pgstore_test

import (
	"strings"
	"testing"

	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/pgstore"
)

// A URL that cannot be used is refused, and the password is in no error.
func TestWrongURLs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ url, part string }{
		{"", "postgres://"},
		{"host=127.0.0.1 password=secret", "postgres://"},
		{"mysql://u:secret@h/d", "postgres://"},
		{"postgres://u:secr%et@h/d", "%"},
		{"postgres://u:sec/ret@h/d", "%2F"},
		{"postgres://u:secret#1@h/d", "%23"},
		{"postgres://u:12?secret@h/d", "%3F"},
		{"postgres://u:secret@h:port/d", "URL"},
		{"postgres://u:secret@h/d?sslmode=maybe", "sslmode"},
		{"postgres://u:secret@h/d?pool_max_conns=many", "pool_max_conns"},
		{"postgres://u:secret@h/d?connect_timeout=soon", "connect_timeout"},
		{"postgres://u:secret@h/d?target_session_attrs=secret", "cannot be used"},
		{"postgres://h/d?password=secret&sslmode=secret", "sslmode"},
		{"postgres://u@h/d?x=%zz", "options"},
	} {
		s, err := pgstore.Open(t.Context(), c.url, pgstore.Config{})
		if err == nil {
			_ = s.Close()
			t.Errorf("%s: got a store", c.url)
			continue
		}
		if text := err.Error(); !strings.HasPrefix(text, "pgstore: open: ") || !strings.Contains(text, c.part) || strings.Contains(text, "secret") {
			t.Errorf("%s: got %q, want it to say %q and no secret", c.url, text, c.part)
		}
	}
	if _, err := pgstore.Open(t.Context(), "postgres://h/d", pgstore.Config{Table: strings.Repeat("x", 99)}); err == nil {
		t.Error("got a store with a table that has no name")
	}
}

// What Open's connections have, and what the URL may say against it.
func TestOpenedConnections(t *testing.T) {
	t.Parallel()
	url := servertest.Postgres(t).DSN()
	pool := poolOf(t, url)
	const settings = `SELECT count(*) FROM pg_stat_activity WHERE application_name = $1`
	name := servertest.Name(t)
	s := fresh(t, url+"&application_name="+name)
	mustReserve(t, s, reservation("a"))
	if n := look[int](t, pool, settings, name); n == 0 {
		t.Error("got no connection of the name in the URL")
	}
	mustReserve(t, fresh(t, url), reservation("a"))
	if n := look[int](t, pool, settings, "semel"); n == 0 {
		t.Error("got no connection called semel")
	}
	role := servertest.Name(t)
	run(t, pool, "CREATE ROLE "+role+" SUPERUSER LOGIN", "ALTER ROLE "+role+" SET default_transaction_isolation = 'serializable'")
	t.Cleanup(func() { run(t, pool, "DROP ROLE "+role) })
	owned := opened(t, withUser(t, url, role), pgstore.Config{})
	wantFinding(t, owned, "default_transaction_isolation", "read committed", 0, "")
	bouncer := servertest.NewPgBouncer(t, servertest.Postgres(t))
	through := opened(t, bouncer.DSN(), pgstore.Config{})
	wantFinding(t, through, "pooler", "seen", 0, "")
	// It is not set for those who share a pooler's connection.
	if got := look[string](t, poolOf(t, bouncer.DSN()+"&default_query_exec_mode=exec"), "SELECT current_setting('enable_seqscan')"); got != "on" {
		t.Errorf("got enable_seqscan %s behind the pooler, want it left alone", got)
	}
}

// Close may be called twice, leaves a pool of its caller's open, and ends the
// store's own.
func TestClose(t *testing.T) {
	t.Parallel()
	url := servertest.Postgres(t).DSN()
	s := fresh(t, url)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	_, err := s.Reserve(t.Context(), reservation("a"))
	wantError(t, err, "reserve", nil, "closed")

	pool := poolOf(t, url)
	shared, err := pgstore.New(pool, pgstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := shared.Close(); err != nil {
		t.Error(err)
	}
	run(t, pool, "SELECT 1")
}

// No URL makes Open panic, and no error of it has a password in it.
func FuzzOpen(f *testing.F) {
	for _, url := range []string{
		"postgres://u:PASSWORD@h/d", "postgres://u:PASS%57ORD@h:99999/d?sslmode=x", "postgres://h?password=PASSWORD&x=%",
		"postgresql://[::1]:x/PASSWORD", "postgres://a,b,c:1/d?target_session_attrs=PASSWORD", "postgres://u:%PASSWORD@",
	} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		s, err := pgstore.Open(t.Context(), url, pgstore.Config{Logger: quiet})
		if err == nil {
			_ = s.Close()
			return
		}
		if strings.Contains(url, "PASSWORD@") && strings.Contains(err.Error(), "PASSWORD") {
			t.Errorf("got %q for %q", err, url)
		}
	})
}
