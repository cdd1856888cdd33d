package natstest

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Cluster is a NATS cluster inside the test's process.
type Cluster struct {
	opts []*server.Options

	mu      sync.Mutex
	servers []*server.Server // nil: stopped
}

// StartCluster starts so many servers and waits until they have a leader. They
// end with the test. Of the options only SyncAlways and MaxPayload count.
func StartCluster(tb testing.TB, n int, opts Options) *Cluster {
	tb.Helper()
	var routes []*url.URL
	var ports []int
	for range n {
		port := freePort(tb)
		ports = append(ports, port)
		routes = append(routes, &url.URL{Scheme: "nats", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))})
	}
	c := &Cluster{servers: make([]*server.Server, n)}
	dir := tb.TempDir()
	payload := int32(opts.MaxPayload)
	if payload == 0 {
		payload = 8 << 20
	}
	for i := range n {
		c.opts = append(c.opts, &server.Options{
			ServerName: fmt.Sprintf("s%d", i+1), Host: "127.0.0.1", Port: freePort(tb), NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: filepath.Join(dir, fmt.Sprintf("s%d", i+1)), JetStreamMaxMemory: 256 << 20, JetStreamMaxStore: 4 << 30,
			SyncAlways: opts.SyncAlways, MaxPayload: payload, MaxPending: 128 << 20,
			Cluster: server.ClusterOpts{Name: "semel", Host: "127.0.0.1", Port: ports[i]}, Routes: routes,
		})
	}
	tb.Cleanup(func() {
		for i := range n {
			c.Stop(tb, i)
		}
	})
	for i := range n {
		c.Start(tb, i)
	}
	c.WaitReady(tb)
	probe(tb, c.URL(), n)
	return c
}

// probe waits until a stream on n servers can be had: the leader places none
// before it has heard of them.
func probe(tb testing.TB, url string, n int) {
	tb.Helper()
	var nc *nats.Conn
	Poll(tb, "the cluster takes a client", func() (err error) {
		nc, err = nats.Connect(url)
		return err
	})
	defer nc.Close()
	js, err := nc.JetStream()
	if err != nil {
		tb.Fatal(err)
	}
	Poll(tb, "the cluster places streams", func() error {
		_, err := js.AddStream(&nats.StreamConfig{Name: "PROBE", Replicas: n})
		return err
	})
	Poll(tb, "the cluster deletes a stream", func() error {
		if err := js.DeleteStream("PROBE"); !errors.Is(err, nats.ErrStreamNotFound) {
			return err
		}
		return nil
	})
}

// Start starts server i again, on the same ports and data. It does not wait for
// anything.
func (c *Cluster) Start(tb testing.TB, i int) {
	tb.Helper()
	s, err := server.NewServer(c.opts[i].Clone())
	if err != nil {
		tb.Fatal(err)
	}
	s.Start()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.servers[i] = s
}

// Stop shuts server i down and waits until it is gone. An orderly shutdown is
// all that a process can do to a part of itself.
func (c *Cluster) Stop(tb testing.TB, i int) {
	tb.Helper()
	c.mu.Lock()
	s := c.servers[i]
	c.servers[i] = nil
	c.mu.Unlock()
	if s == nil {
		return
	}
	ended := make(chan struct{})
	go func() { // as long as the server: one whose disk is full may never end
		s.Shutdown()
		s.WaitForShutdown()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(shutdownPatience):
		tb.Logf("natstest: server %d does not end", i)
	}
}

// shutdownPatience bounds the wait for a server to end. One whose disk is full was seen to
// hang in its shutdown (NATS 2.15.2).
const shutdownPatience = 10 * time.Second

// running returns the servers that run, and their numbers.
func (c *Cluster) running() map[int]*server.Server {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make(map[int]*server.Server)
	for i, s := range c.servers {
		if s != nil {
			all[i] = s
		}
	}
	return all
}

// WaitReady waits until the servers that run have a leader for JetStream and
// take clients.
func (c *Cluster) WaitReady(tb testing.TB) {
	tb.Helper()
	Poll(tb, "the cluster has a leader", func() error {
		led := false
		for _, s := range c.running() {
			if !s.ReadyForConnections(time.Millisecond) {
				return errors.New("a server takes no clients")
			}
			led = led || s.JetStreamIsLeader()
		}
		if !led {
			return errors.New("no leader")
		}
		return nil
	})
}

// Leader waits for the leader of a stream in the default account and returns
// its number.
func (c *Cluster) Leader(tb testing.TB, stream string) int {
	tb.Helper()
	leader := -1
	Poll(tb, "the stream has a leader", func() error {
		for i, s := range c.running() {
			if s.JetStreamIsStreamLeader("$G", stream) {
				leader = i
				return nil
			}
		}
		return errors.New("no leader")
	})
	return leader
}

// URL is the list of all servers for a client.
func (c *Cluster) URL() string {
	var hosts []string
	for _, o := range c.opts {
		hosts = append(hosts, net.JoinHostPort(o.Host, strconv.Itoa(o.Port)))
	}
	return "nats://" + strings.Join(hosts, ",")
}
