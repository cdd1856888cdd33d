package redisstore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/redisstore"
)

// unfit checks that both Validate and Reserve refuse, and name what is wrong.
func unfit(t *testing.T, s *redisstore.Store, finding string) {
	t.Helper()
	_, reserve := s.Reserve(t.Context(), ask("unfit"))
	for step, err := range map[string]error{"reserve": reserve, "validate": s.Validate(t.Context())} {
		found, ok := errors.AsType[*semel.UnfitError](err)
		if !ok || found.Findings[0].Name != finding || !strings.HasPrefix(err.Error(), "redisstore: "+step+": ") {
			t.Errorf("%s: got error %v, want one about %s", step, err, finding)
		}
	}
}

// An eviction policy that would delete records is refused until it is changed.
func TestEvictionRefused(t *testing.T) {
	t.Parallel()
	server := servertest.NewRedis(t, "maxmemory-policy=volatile-ttl")
	s, c := open(t, server.DSN(), redisstore.Config{}), admin(t, server.Addr())
	unfit(t, s, "maxmemory-policy")
	must(t, "config set", c.ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err())
	must(t, "validate", s.Validate(t.Context()))
	serves(t, s)
}

// A replica is refused at start; a master that becomes one later says so (L4).
func TestReplica(t *testing.T) {
	t.Parallel()
	master, server := servertest.NewRedis(t), servertest.NewRedis(t)
	host, port, _ := strings.Cut(master.Addr(), ":")
	c := admin(t, server.Addr())
	late, early := open(t, server.DSN(), redisstore.Config{}), open(t, server.DSN(), redisstore.Config{})
	serves(t, early)
	r := ask("a")
	must(t, "replicaof", c.ReplicaOf(t.Context(), host, port).Err())
	unfit(t, late, "role")
	if _, err := early.Reserve(t.Context(), r); !errors.Is(err, redisstore.ErrReadOnly) || !strings.HasPrefix(err.Error(), "redisstore: reserve: ") {
		t.Errorf("reserve: got error %v, want ErrReadOnly", err)
	}
	if err := early.Ping(t.Context()); !errors.Is(err, redisstore.ErrReadOnly) {
		t.Errorf("ping: got error %v, want ErrReadOnly", err)
	}
	must(t, "replicaof", c.ReplicaOf(t.Context(), "NO", "ONE").Err())
	serves(t, early)
	serves(t, late)
	must(t, "ping", early.Ping(t.Context()))
}

// A full memory refuses reservations with ErrFull; what is kept is replayed,
// and when there is room again, the store serves.
func TestMemoryFull(t *testing.T) {
	t.Parallel()
	server := servertest.NewRedis(t, "maxmemory-policy=noeviction")
	s, c := open(t, server.DSN(), redisstore.Config{}), admin(t, server.Addr())
	r, running := ask("a"), ask("b")
	grant(t, s, r)
	must(t, "complete", s.Complete(t.Context(), completion(r)))
	grant(t, s, running)
	must(t, "config set", c.ConfigSet(t.Context(), "maxmemory", "1mb").Err())
	_, reserve := s.Reserve(t.Context(), ask("c"))
	for step, err := range map[string]error{"reserve": reserve, "complete": s.Complete(t.Context(), completion(running))} {
		if !errors.Is(err, semel.ErrFull) || !strings.HasPrefix(err.Error(), "redisstore: "+step+": ") {
			t.Errorf("%s: got error %v, want ErrFull", step, err)
		}
	}
	replay(t, s, r)
	must(t, "config set", c.ConfigSet(t.Context(), "maxmemory", "0").Err())
	must(t, "complete", s.Complete(t.Context(), completion(running)))
	replay(t, s, running)
	serves(t, s)
}

// A server that cannot save refuses writes; that is said, and passes.
func TestCannotSave(t *testing.T) {
	t.Parallel()
	server := servertest.NewRedis(t, "save=3600 100000")
	s, c := open(t, server.DSN(), redisstore.Config{}), admin(t, server.Addr())
	r := ask("a")
	grant(t, s, r)
	must(t, "config set", c.ConfigSet(t.Context(), "rdbcompression", "no").Err())
	if err := c.ConfigSet(t.Context(), "dbfilename", "gone/dump.rdb").Err(); err == nil {
		t.Fatal("the name of the snapshot may have a folder: the test needs another way")
	}
	blockSnapshots(t, server)
	_ = c.Save(t.Context()).Err() // fails
	until(t, "the server notices", func() bool {
		_ = c.BgSave(t.Context()).Err()
		text, err := c.Info(t.Context(), "persistence").Result()
		return err == nil && strings.Contains(text, "rdb_last_bgsave_status:err")
	})
	err := s.Complete(t.Context(), completion(r))
	if err == nil || !strings.HasPrefix(err.Error(), "redisstore: complete: the server refuses writes because it cannot save them: MISCONF") {
		t.Errorf("got error %v, want MISCONF explained", err)
	}
	found, err := s.Inspect(t.Context())
	must(t, "inspect", err)
	if f := finding(found, "rdb_last_bgsave_status"); f.Level != semel.Weak {
		t.Errorf("got finding %+v, want a weak one", f)
	}
	must(t, "config set", c.ConfigSet(t.Context(), "stop-writes-on-bgsave-error", "no").Err())
	must(t, "complete", s.Complete(t.Context(), completion(r)))
}

func finding(found semel.Inspection, name string) semel.Finding {
	for _, f := range found.Findings {
		if f.Name == name {
			return f
		}
	}
	return semel.Finding{}
}

// A wrong password is said without either password. When the server knows it,
// and when it has changed under a store and is changed back, the same store
// serves (L4).
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	server := servertest.NewRedis(t)
	c := admin(t, server.Addr())
	config := func(password string) {
		t.Helper()
		must(t, "config set", c.ConfigSet(t.Context(), "requirepass", password).Err())
	}
	must(t, "the administrator's connection", c.Ping(t.Context()).Err())
	config("right-secret")
	refused := func(s *redisstore.Store) {
		t.Helper()
		_, err := s.Reserve(t.Context(), ask("a"))
		if err == nil || !strings.HasPrefix(err.Error(), "redisstore: reserve: ") || strings.Contains(err.Error(), "secret") ||
			!strings.Contains(err.Error(), "WRONGPASS") && !strings.Contains(err.Error(), "NOAUTH") {
			t.Errorf("got error %v, want one that names the step and hides the password", err)
		}
	}
	wrong, none := open(t, "redis://:wrong-secret@"+server.Addr(), redisstore.Config{}), open(t, server.DSN(), redisstore.Config{})
	refused(wrong)
	refused(none)
	right := open(t, "redis://:right-secret@"+server.Addr(), redisstore.Config{})
	r := ask("kept")
	grant(t, right, r)
	must(t, "complete", right.Complete(t.Context(), completion(r)))

	config("wrong-secret")
	serves(t, wrong)
	must(t, "connections", c.ClientKillByFilter(t.Context(), "TYPE", "normal", "SKIPME", "yes").Err())
	refused(right)
	config("right-secret")
	serves(t, right)
	replay(t, right, r)
	config("")
	serves(t, none)
}

// The same for a user of an access list, who is made, disabled and permitted
// while the store is there.
func TestUserComesLater(t *testing.T) {
	t.Parallel()
	server := servertest.NewRedis(t)
	c := admin(t, server.Addr())
	acl := func(rules ...any) {
		t.Helper()
		must(t, "acl", c.Do(t.Context(), append([]any{"ACL", "SETUSER", "late"}, rules...)...).Err())
	}
	s := open(t, "redis://late:secret@"+server.Addr(), redisstore.Config{})
	fails := func(text string) {
		t.Helper()
		_, err := s.Reserve(t.Context(), ask("a"))
		if err == nil || !strings.HasPrefix(err.Error(), "redisstore: reserve: ") || !strings.Contains(err.Error(), text) {
			t.Errorf("got error %v, want one of the step with %s", err, text)
		}
	}
	fails("WRONGPASS")
	acl("on", ">secret", "~*", "+@all")
	serves(t, s)
	acl("-evalsha", "-eval")
	fails("NOPERM")
	acl("+@all")
	serves(t, s)
	acl("resetkeys")
	fails("NOPERM")
	acl("~*")
	serves(t, s)
}

// A user who may only run scripts on the prefix serves; what cannot be checked
// is weak, not broken. One who may not run them is told.
func TestNarrowUser(t *testing.T) {
	t.Parallel()
	server := servertest.NewRedis(t)
	c := admin(t, server.Addr())
	prefix := servertest.Name(t)
	user := func(name string, rules ...any) *redisstore.Store {
		t.Helper()
		must(t, "acl", c.Do(t.Context(), append([]any{"ACL", "SETUSER", name, "on", ">secret", "~" + prefix + "*"}, rules...)...).Err())
		return open(t, fmt.Sprintf("redis://%s:secret@%s", name, server.Addr()), redisstore.Config{Prefix: prefix})
	}
	s := user("narrow", "+evalsha", "+eval", "+get", "+set", "+time", "+ping")
	r := ask("a")
	grant(t, s, r)
	must(t, "complete", s.Complete(t.Context(), completion(r)))
	replay(t, s, r)
	must(t, "ping", s.Ping(t.Context()))
	found, err := s.Inspect(t.Context())
	must(t, "inspect", err)
	for _, name := range []string{"INFO", "maxmemory-policy"} {
		if f := finding(found, name); f.Level != semel.Weak || f.Advice == "" {
			t.Errorf("got finding %+v, want a weak one with advice", f)
		}
	}
	if g := s.Grade(); g.Letter != "C" {
		t.Errorf("got grade %q, want C: nobody knows", g)
	}
	_, err = user("none", "+ping").Reserve(t.Context(), ask("b"))
	if !redis.IsPermissionError(err) || !strings.HasPrefix(err.Error(), "redisstore: reserve: ") {
		t.Errorf("got error %v, want NOPERM", err)
	}
}

// No error carries a key, a scope, a response or a token, not even when the
// server quotes what it does not understand.
func TestErrorsHideTheirArguments(t *testing.T) {
	t.Parallel()
	server := servertest.NewRedis(t, `rename-command=EVALSHA ""`)
	s := open(t, server.DSN(), redisstore.Config{})
	r := ask("secret-id")
	r.Key.Scope = "secret-scope"
	c := completion(r)
	c.Response.Header = []byte("secret-header")
	_, reserve := s.Reserve(t.Context(), r)
	for _, err := range []error{reserve, s.Complete(t.Context(), c)} {
		if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "args beginning") ||
			!strings.Contains(err.Error(), "unknown command") {
			t.Errorf("got error %v, want one that says no more than the command", err)
		}
	}
}

// A node of a cluster is not taken for a whole server, nor a server for a cluster.
func TestClusterMistaken(t *testing.T) {
	t.Parallel()
	node := servertest.NewRedis(t, "cluster-enabled=yes")
	unfit(t, open(t, node.DSN(), redisstore.Config{}), "cluster_enabled")
	single := open(t, "redis+cluster://"+servertest.Redis(t).Addr(), redisstore.Config{})
	if _, err := single.Reserve(t.Context(), ask("a")); err == nil || !strings.HasPrefix(err.Error(), "redisstore: reserve: ") {
		t.Errorf("got error %v, want a refusal", err)
	}
}

// New refuses what cannot be right.
func TestNewRefuses(t *testing.T) {
	t.Parallel()
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer client.Close()
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"one": "127.0.0.1:1"}})
	defer ring.Close()
	if _, err := redisstore.New(ring, redisstore.Config{}); err == nil {
		t.Error("a ring was accepted")
	}
	for name, o := range map[string]redis.Options{"read": {ReadTimeout: -1}, "deadline": {ReadTimeout: -2}, "write": {WriteTimeout: -1}} {
		endless := redis.NewClient(&o)
		defer endless.Close()
		cluster := redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: []string{"127.0.0.1:1"}, ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout,
		})
		defer cluster.Close()
		for _, c := range []redis.UniversalClient{endless, cluster} {
			if _, err := redisstore.New(c, redisstore.Config{}); err == nil || !strings.Contains(err.Error(), "Timeout") {
				t.Errorf("%s: got error %v, want a client that waits for ever refused", name, err)
			}
		}
	}
	for name, cfg := range map[string]redisstore.Config{
		"braces": {Prefix: "{a}"}, "long": {Prefix: strings.Repeat("p", 129)}, "replicas": {Replicas: -1},
		"too many": {Replicas: 17}, "wait": {WaitTimeout: -1}, "longer than the read timeout": {Replicas: 1, WaitTimeout: 3e11},
	} {
		if _, err := redisstore.New(client, cfg); err == nil || !strings.HasPrefix(err.Error(), "redisstore: Config.") {
			t.Errorf("%s: got error %v, want one about the field", name, err)
		}
	}
}

// A response that Redis would refuse by closing the connection is not sent.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	s := open(t, servertest.Redis(t).DSN(), redisstore.Config{})
	r := ask("a")
	held := grant(t, s, r)
	huge := semel.Response{Body: make([]byte, 256<<20), Header: []byte("h")}
	c := completion(r)
	c.Response = huge
	for step, err := range map[string]error{
		"complete": s.Complete(t.Context(), c),
		"resolve":  s.Resolve(t.Context(), semel.Resolution{Key: r.Key, Fence: held.Fence, Response: &huge}),
	} {
		if !errors.Is(err, semel.ErrTooLarge) {
			t.Errorf("%s: got error %v, want ErrTooLarge", step, err)
		}
	}
	must(t, "complete", s.Complete(t.Context(), completion(r)))
}

// After Close every step says so, and a client of the caller's stays open.
func TestClosed(t *testing.T) {
	t.Parallel()
	client := admin(t, servertest.Redis(t).Addr())
	s, err := redisstore.New(client, redisstore.Config{Prefix: servertest.Name(t)})
	must(t, "new", err)
	r := ask("a")
	grant(t, s, r)
	must(t, "close", s.Close())
	must(t, "close again", s.Close())
	_, reserve := s.Reserve(t.Context(), r)
	_, renew := s.Renew(t.Context(), 0, []semel.Holder{{Key: r.Key, Token: r.Token}})
	_, purge := s.Purge(t.Context(), 1)
	_, inspect := s.Inspect(t.Context())
	for _, err := range []error{
		reserve, renew, purge, inspect, s.Complete(t.Context(), completion(r)), s.Release(t.Context(), r.Key, r.Token),
		s.Resolve(t.Context(), semel.Resolution{Key: r.Key}), s.Ping(t.Context()), s.Validate(t.Context()), s.Migrate(t.Context()),
	} {
		if !errors.Is(err, redisstore.ErrClosed) {
			t.Errorf("got error %v, want ErrClosed", err)
		}
	}
	must(t, "the client", client.Ping(t.Context()).Err())
}
