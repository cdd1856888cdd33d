package pgstore_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/pgstore"
)

// reservation is a first attempt on the key of that name.
func reservation(id string) semel.Reservation {
	return semel.Reservation{
		Key: semel.Key{Scope: "tenant-1", ID: id}, Fingerprint: semel.FingerprintOf([]byte("request")),
		Token: semel.NewToken(), Lease: time.Hour, Retention: 24 * time.Hour, Owner: "host/1",
	}
}

// again is the same request in another attempt.
func again(r semel.Reservation) semel.Reservation {
	r.Token = semel.NewToken()
	return r
}

// taker is the same request in an attempt that takes a lapsed one over.
func taker(r semel.Reservation) semel.Reservation {
	r = again(r)
	r.TakeOver = true
	return r
}

func completion(r semel.Reservation, body string) semel.Completion {
	return semel.Completion{
		Key: r.Key, Token: r.Token, Retention: r.Retention,
		Response: semel.Response{Status: 201, Header: []byte("header"), Body: []byte(body)},
	}
}

// mustReserve takes a slot that must be had.
func mustReserve(tb testing.TB, s semel.Store, r semel.Reservation) semel.Record {
	tb.Helper()
	held, err := s.Reserve(tb.Context(), r)
	if err != nil || held.Token != r.Token {
		tb.Fatalf("reserve: got a %v slot held by %v (%v), want it held by %v", held.State, held.Token, err, r.Token)
	}
	return held
}

func mustComplete(tb testing.TB, s semel.Store, r semel.Reservation, body string) {
	tb.Helper()
	if err := s.Complete(tb.Context(), completion(r, body)); err != nil {
		tb.Fatalf("complete: %v", err)
	}
}

// mustReplay wants the kept response.
func mustReplay(tb testing.TB, s semel.Store, r semel.Reservation, body string) {
	tb.Helper()
	held, err := s.Reserve(tb.Context(), again(r))
	if err != nil || held.State != semel.StateCompleted || string(held.Response.Body) != body {
		tb.Fatalf("replay: got a %v slot with %d bytes (%v), want the kept response", held.State, len(held.Response.Body), err)
	}
}

// lapse makes a lapsed reservation.
func lapse(tb testing.TB, s interface {
	semel.Store
	semel.Renewer
}, id string,
) (semel.Reservation, semel.Record) {
	tb.Helper()
	r := reservation(id)
	held := mustReserve(tb, s, r)
	if lost, err := s.Renew(tb.Context(), 0, []semel.Holder{{Key: r.Key, Token: r.Token}}); err != nil || len(lost) > 0 {
		tb.Fatalf("renew: got %d lost (%v)", len(lost), err)
	}
	return r, held
}

// eventually polls until ok, and fails the test when that takes a minute.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("it never came to pass: %s", what)
		}
	}
}

// wantError checks that err is a failure of a step as callers are to see it: it
// names the package and the step, contains all of parts, and wraps target.
func wantError(tb testing.TB, err error, step string, target error, parts ...string) {
	tb.Helper()
	if err == nil {
		tb.Fatalf("%s: got no error", step)
	}
	if target != nil && !errors.Is(err, target) {
		tb.Errorf("%s: got %v, want it to wrap %v", step, err, target)
	}
	text := err.Error()
	for _, part := range append(parts, "pgstore: "+step+": ") {
		if !strings.Contains(text, part) {
			tb.Errorf("%s: got %q, want it to contain %q", step, text, part)
		}
	}
	for _, secret := range []string{"tenant-1", "secret"} {
		if strings.Contains(text, secret) {
			tb.Errorf("%s: the error contains %q: %s", step, secret, text)
		}
	}
}

func asPgError(err error, target **pgconn.PgError) bool { return errors.As(err, target) }

// withUser is the URL for another role.
func withUser(tb testing.TB, raw, user string) string {
	tb.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		tb.Fatal(err)
	}
	u.User = url.User(user)
	return u.String()
}

// withAddr is the URL for another way to the server.
func withAddr(tb testing.TB, raw, addr string) string {
	tb.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		tb.Fatal(err)
	}
	u.Host = addr
	return u.String()
}

// withDatabase is the URL for another database.
func withDatabase(tb testing.TB, raw, name string) string {
	tb.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		tb.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// newWith is a migrated store over a pool made with cfg.
func newWith(tb testing.TB, cfg *pgxpool.Config) (*pgstore.Store, *pgxpool.Pool) {
	tb.Helper()
	pool, err := pgxpool.NewWithConfig(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(pool.Close)
	s, err := pgstore.New(pool, pgstore.Config{Schema: servertest.Name(tb), Logger: quiet})
	if err != nil {
		tb.Fatal(err)
	}
	migrate(tb, s)
	return s, pool
}
