package redisstore_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/redisstore"
)

// I1, I3, I10: slots move from master to master while workers reserve and
// complete. Nobody gets an error, no slot has two owners, no record is lost.
func TestSlotsMoveUnderLoad(t *testing.T) {
	t.Parallel()
	nodes := servertest.NewRedisCluster(t, 3)
	s := open(t, clusterURL(nodes), redisstore.Config{})
	serves(t, s)
	moveUnderLoad(t, nodes, s)
}

// The same when the replica of each master must confirm every step.
func TestSlotsMoveUnderLoadWaiting(t *testing.T) {
	t.Parallel()
	nodes := servertest.NewRedisCluster(t, 2, "repl-diskless-sync-delay=0")
	masters := nodes[:2]
	for _, m := range masters {
		replica := servertest.NewRedis(t, "cluster-enabled=yes", "cluster-announce-ip=127.0.0.1")
		join(t, replica, m)
		nodes = append(nodes, replica)
	}
	s := open(t, clusterURL(masters), redisstore.Config{Replicas: 1, WaitTimeout: 20 * time.Second})
	serves(t, s)
	moveUnderLoad(t, masters, s)
}

func moveUnderLoad(t *testing.T, masters []*servertest.Server, s semel.Store) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan *ledger)
	go func() { done <- loadKeys(ctx, t, s, 8, noError, hotKey) }()
	mover := newMover(t, masters)
	for slot := range 16384 {
		if hot(slot) {
			mover.move(slot)
		}
	}
	stop()
	l := <-done
	t.Logf("%d keys moved under %d pairs", mover.moved, l.pairs.Load())
	if mover.moved == 0 {
		t.Error("no key moved: the test shows nothing")
	}
	l.check(t, s)
}

// hot chooses the slots that move: 64 of them, of every master.
func hot(slot int) bool { return slot%1024 < 4 }

// hotKey is the nth key of a worker, in a hot slot.
func hotKey(worker, n int) semel.Reservation {
	for i := 0; ; i++ {
		r := ask(fmt.Sprint(worker, "/", n, "/", i))
		if hot(clusterSlot(r.Key.Slot().String())) {
			return r
		}
	}
}

// clusterSlot is the slot of a cluster that a key belongs to: CRC-16/XMODEM of
// what its braces hold.
func clusterSlot(tag string) int {
	crc := uint16(0)
	for _, c := range []byte(tag) {
		crc ^= uint16(c) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return int(crc % 16384)
}

// mover moves slots between masters, as redis-cli --cluster reshard does.
type mover struct {
	t       *testing.T
	masters []*servertest.Server
	clients []*redis.Client
	ids     []string
	moved   int
}

func newMover(t *testing.T, masters []*servertest.Server) *mover {
	t.Helper()
	m := &mover{t: t, masters: masters}
	for _, n := range masters {
		c := admin(t, n.Addr())
		id, err := c.ClusterMyID(t.Context()).Result()
		must(t, "cluster myid", err)
		m.clients, m.ids = append(m.clients, c), append(m.ids, id)
	}
	return m
}

// owner is the index of the master of a slot.
func (m *mover) owner(slot int) int {
	m.t.Helper()
	shards, err := m.clients[0].ClusterShards(m.t.Context()).Result()
	must(m.t, "cluster shards", err)
	for _, shard := range shards {
		for _, r := range shard.Slots {
			if int64(slot) < r.Start || r.End < int64(slot) {
				continue
			}
			for _, n := range shard.Nodes {
				if i := slices.Index(m.ids, n.ID); i >= 0 {
					return i
				}
			}
		}
	}
	m.t.Fatalf("slot %d has no master", slot)
	return 0
}

func (m *mover) move(slot int) {
	m.t.Helper()
	ctx := m.t.Context()
	from := m.owner(slot)
	to := (from + 1) % len(m.masters)
	must(m.t, "importing", m.clients[to].Do(ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", m.ids[from]).Err())
	must(m.t, "migrating", m.clients[from].Do(ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", m.ids[to]).Err())
	time.Sleep(5 * time.Millisecond) // for keys to come to a slot under way
	host, port, _ := strings.Cut(m.masters[to].Addr(), ":")
	for {
		keys, err := m.clients[from].ClusterGetKeysInSlot(ctx, slot, 10).Result()
		must(m.t, "getkeysinslot", err)
		if len(keys) == 0 {
			break
		}
		for _, key := range keys {
			must(m.t, "migrate", m.clients[from].Migrate(ctx, host, port, key, 0, 5*time.Second).Err())
			m.moved++
		}
	}
	for _, i := range []int{to, from} {
		must(m.t, "node", m.clients[i].Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", m.ids[to]).Err())
	}
}

// join makes a node the replica of a cluster's master.
func join(t *testing.T, node, master *servertest.Server) {
	t.Helper()
	c, m := admin(t, node.Addr()), admin(t, master.Addr())
	host, port, _ := strings.Cut(master.Addr(), ":")
	id, err := m.ClusterMyID(t.Context()).Result()
	must(t, "cluster myid", err)
	bus, err := m.ConfigGet(t.Context(), "cluster-port").Result()
	must(t, "cluster-port", err)
	must(t, "cluster meet", c.Do(t.Context(), "CLUSTER", "MEET", host, port, bus["cluster-port"]).Err())
	until(t, "the node knows the master", func() bool { return c.Do(t.Context(), "CLUSTER", "REPLICATE", id).Err() == nil })
	until(t, "the replica follows", func() bool {
		text, err := c.Info(t.Context(), "replication").Result()
		return err == nil && strings.Contains(text, "master_link_status:up")
	})
}

// One master that stands still holds up its own slots and no others.
func TestMasterStandsStill(t *testing.T) {
	t.Parallel()
	nodes := servertest.NewRedisCluster(t, 3)
	s := open(t, clusterURL(nodes)+"?read_timeout=300ms&dial_timeout=300ms&max_redirects=1&max_retries=-1", redisstore.Config{})
	serves(t, s)
	mover := newMover(t, nodes)
	of := func(r semel.Reservation) int {
		return mover.owner(clusterSlot(r.Key.Slot().String()))
	}
	var still, others []semel.Reservation
	for i := range 60 {
		if r := ask(fmt.Sprint(i)); of(r) == 2 {
			still = append(still, r)
		} else {
			others = append(others, r)
		}
	}
	nodes[2].Stop(t)
	failed := make(chan error)
	go func() {
		_, err := s.Reserve(t.Context(), still[0])
		failed <- err
	}()
	for _, r := range others {
		grant(t, s, r)
	}
	if err := <-failed; err == nil {
		t.Error("a slot of the master that stands still was reserved")
	}
	nodes[2].Continue(t)
	serves(t, s)
	until(t, "the slots of the master are served again", func() bool {
		held, err := s.Reserve(t.Context(), still[1])
		return err == nil && held.Token == still[1].Token
	})
}

// Inspect asks every master, and the grade of a cluster is C.
func TestClusterInspect(t *testing.T) {
	t.Parallel()
	nodes := servertest.NewRedisCluster(t, 3, "appendonly=yes", "appendfsync=always")
	s := open(t, clusterURL(nodes), redisstore.Config{})
	must(t, "migrate", s.Migrate(t.Context()))
	must(t, "ping", s.Ping(t.Context()))
	found, err := s.Inspect(t.Context())
	must(t, "inspect", err)
	for _, n := range nodes {
		seen := false
		for _, f := range found.Findings {
			seen = seen || f.Name == "cluster_state" && f.Value == "ok at "+n.Addr()
		}
		if !seen {
			t.Errorf("got no cluster_state of %s", n.Addr())
		}
	}
	if g := s.Grade(); g.Letter != "C" || !strings.Contains(g.Survives, "failover") {
		t.Errorf("got grade %q, want C and why", g)
	}
	must(t, "config set", admin(t, nodes[1].Addr()).ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err())
	unfit(t, open(t, clusterURL(nodes), redisstore.Config{}), "maxmemory-policy")
}
