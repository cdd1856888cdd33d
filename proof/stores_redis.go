//go:build unix

package proof

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/redisstore"
)

// Redis starts a Redis that syncs every write.
func Redis(t *testing.T) *Rig {
	t.Helper()
	s := servertest.NewRedis(t, "appendonly=yes", "appendfsync=always", "maxmemory-policy=noeviction")
	link := servertest.NewLink(t, s.Addr())
	store, err := redisstore.Open(t.Context(), through(link, s)+"?max_retries=-1", redisstore.Config{})
	return &Rig{
		Name: "redisstore", Store: ready(t, store, err), Link: link, Server: serverOf[servertest.TB](t, s),
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
