package pgstore_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/pgstore"
)

// L4: a wrong password is an error of each step, without the password; the store
// serves when the role has it.
func TestPasswordIsCorrected(t *testing.T) {
	t.Parallel()
	server := servertest.NewPostgres(t)
	admin := poolOf(t, server.DSN())
	run(t, admin, "CREATE ROLE alice LOGIN PASSWORD 'right'", "GRANT CREATE ON DATABASE postgres TO alice")
	refuseTrust(t, server)
	s := opened(t, strings.Replace(server.DSN(), "semel@", "alice:secret@", 1), pgstore.Config{Schema: servertest.Name(t)})
	allFail(t, s, nil, "28P01")
	wantError(t, s.Migrate(t.Context()), "migrate", nil, "28P01")
	run(t, admin, "ALTER ROLE alice PASSWORD 'secret'")
	migrate(t, s)
	r := reservation("a")
	mustReserve(t, s, r)
	mustComplete(t, s, r, "body")
	mustReplay(t, s, r, "body")
}

// allFail wants target and part from every step.
func allFail(t *testing.T, s *pgstore.Store, target error, part string) {
	t.Helper()
	r := reservation("all fail")
	_, err := s.Reserve(t.Context(), r)
	wantError(t, err, "reserve", target, part)
	wantError(t, s.Complete(t.Context(), completion(r, "body")), "complete", target, part)
	wantError(t, s.Release(t.Context(), r.Key, r.Token), "release", target, part)
	_, err = s.Renew(t.Context(), r.Lease, []semel.Holder{{Key: r.Key, Token: r.Token}})
	wantError(t, err, "renew", target, part)
	wantError(t, s.Resolve(t.Context(), semel.Resolution{Key: r.Key, Fence: 1}), "resolve", target, part)
	_, err = s.Purge(t.Context(), 1)
	wantError(t, err, "purge", target, part)
	wantError(t, s.Ping(t.Context()), "ping", target, "")
	wantError(t, s.Validate(t.Context()), "validate", target, "")
}

// I10, L4: a server that was made read-only refuses every step with ErrReadOnly,
// and a fresh store does not begin there. Both serve when it takes writes again,
// and nothing that was acknowledged is lost.
func TestReadOnlyForAWhile(t *testing.T) {
	t.Parallel()
	server := servertest.NewPostgres(t)
	admin := poolOf(t, server.DSN())
	cfg := pgstore.Config{Schema: servertest.Name(t)}
	s := opened(t, server.DSN(), cfg)
	migrate(t, s)
	done, open := reservation("done"), reservation("open")
	mustReserve(t, s, done)
	mustComplete(t, s, done, "body")
	mustReserve(t, s, open)

	setReadOnly(t, admin, "on")
	fresh := opened(t, server.DSN(), cfg)
	eventually(t, "the connections of the store are read-only", func() bool { return s.Ping(t.Context()) != nil })
	allFail(t, s, pgstore.ErrReadOnly, "25006")
	_, err := fresh.Reserve(t.Context(), again(done))
	wantError(t, err, "reserve", pgstore.ErrReadOnly, "default_transaction_read_only")

	setReadOnly(t, admin, "off")
	for _, s := range []*pgstore.Store{s, fresh} {
		eventually(t, "the connections of the store take writes", func() bool { return s.Ping(t.Context()) == nil })
		mustReplay(t, s, done, "body")
		mustReserve(t, s, open)
		mustComplete(t, s, open, "late")
		mustReplay(t, s, open, "late")
	}
}

// setReadOnly sets default_transaction_read_only for all sessions, and waits until
// the server knows.
func setReadOnly(t *testing.T, admin *pgxpool.Pool, value string) {
	t.Helper()
	run(t, admin, "ALTER SYSTEM SET default_transaction_read_only = "+value, "SELECT pg_reload_conf()")
	eventually(t, "the setting is loaded", func() bool {
		return look[string](t, admin, "SELECT current_setting('default_transaction_read_only')") == value
	})
}
