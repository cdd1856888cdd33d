package mysqlstore_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/mysqlstore"
)

// L2, I12: a fresh key is one statement, which delivers the verdict itself, and
// so is a completion; a replay is two, and taking a slot three.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	server := servertest.MariaDB(t)
	link := servertest.NewLink(t, server.Addr())
	dsn := strings.Replace(database(t, server, ""), server.Addr(), link.Addr(), 1)
	s := open(t, dsn, mysqlstore.Config{MaxConns: 1})
	r := reservation("k")
	// Each statement is prepared on the connection when it is first used.
	warm := reservation("warm")
	warm.Lease = time.Microsecond
	mustReserve(t, s, warm)
	warm = anew(warm)
	warm.TakeOver = true
	waitFor(t, func() bool {
		held, err := s.Reserve(t.Context(), warm)
		return err == nil && held.Token == warm.Token
	})
	if err := s.Release(t.Context(), warm.Key, warm.Token); err != nil {
		t.Fatal(err)
	}
	works(t, s)

	trips := func(what string, want int, f func() error) {
		t.Helper()
		before := link.Asked()
		if err := f(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got := link.Asked() - before; got != want {
			t.Errorf("%s: got %d round trips, want %d", what, got, want)
		}
	}
	reserve := func(r semel.Reservation) func() error {
		return func() error { _, err := s.Reserve(t.Context(), r); return err }
	}
	trips("fresh key", 1, reserve(r))
	trips("in flight", 2, reserve(anew(r)))
	trips("repeated", 2, reserve(r))
	trips("complete", 1, func() error { return s.Complete(t.Context(), completion(r, "body")) })
	trips("replay", 2, reserve(anew(r)))
	trips("released slot", 3, reserve(warm))
	trips("release", 1, func() error { return s.Release(t.Context(), warm.Key, warm.Token) })
	trips("complete again", 2, func() error { return s.Complete(t.Context(), completion(r, "body")) })
}

// I11, I12: the driver never sees the context of the caller. A step whose caller
// is gone takes effect and says so.
func TestCanceledCaller(t *testing.T) {
	t.Parallel()
	s := open(t, database(t, servertest.MariaDB(t), ""), mysqlstore.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 10 { // database/sql looks at the context in more than one place
		r := reservation(semel.NewToken().String())
		held, err := s.Reserve(ctx, r)
		if err != nil || held.Token != r.Token {
			t.Fatalf("reserve: got %v", err)
		}
		if _, err := s.Renew(ctx, time.Hour, []semel.Holder{{Key: r.Key, Token: r.Token}}); err != nil {
			t.Errorf("renew: got %v", err)
		}
		if err := s.Complete(ctx, completion(r, "body")); err != nil {
			t.Errorf("complete: got %v", err)
		}
		if _, err := s.Purge(ctx, 10); err != nil {
			t.Errorf("purge: got %v", err)
		}
		mustReplay(t, s, r, "body")
	}
}
