package redisstore_test

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/redisstore"
)

// follow makes a server the replica of another, and waits until it follows.
func follow(t *testing.T, server, master *servertest.Server) {
	t.Helper()
	host, port, err := net.SplitHostPort(master.Addr())
	must(t, "address", err)
	c := admin(t, server.Addr())
	must(t, "replicaof", c.ReplicaOf(t.Context(), host, port).Err())
	until(t, "the replica follows", func() bool {
		text, err := c.Info(t.Context(), "replication").Result()
		return err == nil && strings.Contains(text, "master_link_status:up")
	})
}

// I10: with Replicas, a reservation and a completion count only when the replica
// has them; short of that they are errors, and the reservation is given back.
func TestReplicasConfirm(t *testing.T) {
	t.Parallel()
	master, replica := servertest.NewRedis(t, "repl-diskless-sync-delay=0"), servertest.NewRedis(t)
	follow(t, replica, master)
	prefix := servertest.Name(t)
	cfg := redisstore.Config{Prefix: prefix, Replicas: 1, WaitTimeout: 200 * time.Millisecond}
	s := open(t, master.DSN(), cfg)
	cfg.Replicas = 0
	look := open(t, master.DSN(), cfg) // the same records, without waiting
	serves(t, s)

	done, kept, lapsed, begun := ask("done"), ask("kept"), ask("lapsed"), ask("begun")
	begun.Deferred = true
	for _, r := range []semel.Reservation{done, kept, lapsed, begun} {
		grant(t, s, r)
	}
	must(t, "complete", s.Complete(t.Context(), completion(kept)))
	_, err := s.Renew(t.Context(), 0, []semel.Holder{{Key: lapsed.Key, Token: lapsed.Token}})
	must(t, "abandon", err)
	if on := admin(t, replica.Addr()).Exists(t.Context(), keyOf(prefix, done), keyOf(prefix, kept)).Val(); on != 2 {
		t.Errorf("the replica has %d of 2 records", on)
	}

	replica.Stop(t)
	short := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, redisstore.ErrNotReplicated) || !strings.HasPrefix(err.Error(), "redisstore: ") {
			t.Errorf("%s: got error %v, want ErrNotReplicated", what, err)
		}
	}
	fresh, taker := ask("fresh"), another(lapsed)
	taker.TakeOver = true
	_, err = s.Reserve(t.Context(), fresh)
	short("reserve", err)
	_, err = s.Reserve(t.Context(), taker)
	short("take over", err)
	short("complete", s.Complete(t.Context(), completion(done)))
	short("complete again", s.Complete(t.Context(), completion(done)))
	elsewhere := open(t, master.DSN(), redisstore.Config{Prefix: prefix, Replicas: 1, WaitTimeout: 200 * time.Millisecond})
	short("complete again on a connection that wrote nothing", elsewhere.Complete(t.Context(), completion(done)))
	short("begin effects", s.BeginEffects(t.Context(), begun.Key, begun.Token))
	short("begin effects again", s.BeginEffects(t.Context(), begun.Key, begun.Token))
	short("begin effects again on a connection that wrote nothing", elsewhere.BeginEffects(t.Context(), begun.Key, begun.Token))
	if err := s.Complete(t.Context(), completion(another(done))); !errors.Is(err, semel.ErrLost) {
		t.Errorf("a foreign token: got error %v, want ErrLost (I4)", err)
	}
	replay(t, s, kept) // it writes nothing, so it waits for nobody
	records := make(map[string]semel.Record)
	for rec, err := range look.List(t.Context(), semel.Filter{}) {
		must(t, "list", err)
		records[rec.Key.ID] = rec
	}
	if got := records["fresh"]; got.State != semel.StateFree {
		t.Errorf("the reservation that fell short is %v, want it given back", got.State)
	}
	if got := records["lapsed"]; got.State != semel.StateReserved || !got.Lapsed || got.Lapses != 1 {
		t.Errorf("the take-over that fell short is %v, lapsed %v, %d lapses: an unknown outcome is forgotten (I7)", got.State, got.Lapsed, got.Lapses)
	}

	if got := records["begun"]; got.State != semel.StateReserved || got.Deferred {
		t.Errorf("what has begun on the master alone is %v, deferred %v, want it to count (I7)", got.State, got.Deferred)
	}

	replica.Continue(t)
	until(t, "begin effects again", func() bool { return s.BeginEffects(t.Context(), begun.Key, begun.Token) == nil })
	until(t, "complete again", func() bool { return s.Complete(t.Context(), completion(done)) == nil })
	replay(t, s, done)
	if on := admin(t, replica.Addr()).Get(t.Context(), keyOf(prefix, done)).Val(); !strings.Contains(on, string(answer(done).Body)) {
		t.Error("the completion was acknowledged, and the replica has not got it")
	}
	grant(t, s, fresh)
}

// Without any replica nothing is reserved, and Inspect says why. The store is no
// unfit one for that: it serves when they are there (L4).
func TestReplicasMissing(t *testing.T) {
	t.Parallel()
	s := open(t, servertest.Redis(t).DSN(), redisstore.Config{Replicas: 2, WaitTimeout: 50 * time.Millisecond})
	if _, err := s.Reserve(t.Context(), ask("a")); !errors.Is(err, redisstore.ErrNotReplicated) {
		t.Errorf("got error %v, want ErrNotReplicated", err)
	}
	must(t, "validate", s.Validate(t.Context()))
	found, err := s.Inspect(t.Context())
	must(t, "inspect", err)
	if f := finding(found, "connected_slaves"); f.Level != semel.Broken || f.Value != "0" {
		t.Errorf("got finding %+v, want a broken one", f)
	}
}

// SyncAOF needs a server that has WAITAOF, and a log; then it waits for both.
func TestSyncAOF(t *testing.T) {
	t.Parallel()
	server := servertest.NewRedis(t, "appendonly=yes", "appendfsync=everysec")
	cfg := redisstore.Config{SyncAOF: true, WaitTimeout: 1900 * time.Millisecond}
	s := open(t, server.DSN(), cfg)
	if err := admin(t, server.Addr()).Do(t.Context(), "WAITAOF", 0, 0, 0).Err(); err != nil { // before 7.2
		unfit(t, s, "redis_version")
		return
	}
	r := ask("a")
	grant(t, s, r)
	must(t, "complete", s.Complete(t.Context(), completion(r)))
	must(t, "complete again", s.Complete(t.Context(), completion(r)))
	replay(t, s, r)
	unfit(t, open(t, servertest.NewRedis(t).DSN(), cfg), "appendonly")
}
