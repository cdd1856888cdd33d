package redisstore

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"
)

// sendToMasters sends steps in a cluster when they have to wait for replicas:
// script and WAIT must use one connection, which the cluster client's own
// pipeline does not promise. A step that was sent to the wrong master is
// repeated by router.do.
func (r *router) sendToMasters(ctx context.Context, steps []*step) {
	groups := make(map[*redis.Client][]*step)
	for _, p := range steps {
		master, err := r.cluster.MasterForKey(ctx, p.key)
		if err != nil {
			p.err = err
			continue
		}
		groups[master] = append(groups[master], p)
	}
	for master, group := range groups {
		s := sender{client: master, wait: r.wait}
		s.send(ctx, group)
	}
	for _, p := range steps {
		if addr, ok := redis.IsAskError(p.err); ok {
			r.ask(ctx, addr, p)
		}
	}
}

// ask sends a step to the master that its slot is just moving to.
func (r *router) ask(ctx context.Context, addr string, p *step) {
	master := r.master(ctx, addr)
	if master == nil {
		return // router.do repeats the step
	}
	wait := r.wait.command(ctx)
	run(ctx, master, []redis.Cmder{redis.NewCmd(ctx, "asking"), p.command(ctx, true), wait})
	p.err = p.cmd.Err()
	r.wait.judge(wait, []*step{p})
}

// master finds the client of a master by its address, or returns nil.
func (r *router) master(ctx context.Context, addr string) *redis.Client {
	masters, _ := mastersOf(ctx, r.client)
	for _, m := range masters {
		if m.Options().Addr == addr {
			return m
		}
	}
	return nil
}

// mastersOf returns the clients of all masters of a cluster, or of the one server.
func mastersOf(ctx context.Context, client redis.UniversalClient) ([]*redis.Client, error) {
	switch c := client.(type) {
	case *redis.Client:
		return []*redis.Client{c}, nil
	case *redis.ClusterClient:
		var mu sync.Mutex
		var all []*redis.Client
		err := c.ForEachMaster(ctx, func(_ context.Context, m *redis.Client) error {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, m)
			return nil
		})
		return all, err
	}
	return nil, errClient
}
