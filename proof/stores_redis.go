//go:build unix

package proof

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/redisstore"
)

// Redis starts a Redis that syncs every write, for a driver that repeats nothing.
func Redis(t *testing.T) *Rig {
	t.Helper()
	s, link := startRedis(t)
	store, err := redisstore.Open(t.Context(), through(link, s)+"?max_retries=-1", redisstore.Config{})
	return redisRig(t, "redisstore", s, link, ready(t, store, err))
}

// RedisRepeating is the same under a client as go-redis makes it, which sends up
// to three times again what it has heard no answer to.
func RedisRepeating(t *testing.T) *Rig {
	t.Helper()
	s, link := startRedis(t)
	options, err := redis.ParseURL(through(link, s))
	if err != nil {
		t.Fatal(err)
	}
	repeats := &Repeats{}
	options.Dialer = repeats.dial
	client := redis.NewClient(options)
	repeats.Most = client.Options().MaxRetries
	t.Cleanup(func() { _ = client.Close() })
	store, err := redisstore.New(client, redisstore.Config{})
	rig := redisRig(t, "redisstore, default retries", s, link, ready(t, store, err))
	rig.Repeats = repeats
	return rig
}

func startRedis(t *testing.T) (*servertest.Server, *servertest.Link) {
	t.Helper()
	s := servertest.NewRedis(t, "appendonly=yes", "appendfsync=always", "maxmemory-policy=noeviction")
	return s, servertest.NewLink(t, s.Addr())
}

func redisRig(t *testing.T, name string, s *servertest.Server, link *servertest.Link, store Store) *Rig {
	t.Helper()
	return &Rig{
		Name: name, Store: store, Link: link, Server: serverOf[servertest.TB](t, s),
		Sever: func() error { return clientKill(s.Addr()) },
		Trips: Trips{Fresh: 1, InFlight: 1, Replay: 1, TakeOver: 1},
	}
}

// clientKill ends every connection but its own.
func clientKill(addr string) error {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprint(c, "CLIENT KILL TYPE normal SKIPME yes\r\n"); err != nil {
		return err
	}
	answer := make([]byte, 64)
	n, err := c.Read(answer)
	if err == nil && answer[0] != ':' {
		return fmt.Errorf("CLIENT KILL: %q", answer[:n])
	}
	return err
}
