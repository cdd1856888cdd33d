package redisstore

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// router knows the lane of every key.
type router struct {
	client  redis.UniversalClient
	cluster *redis.ClusterClient // nil: there is one server
	wait    waiting

	mu    sync.Mutex
	lanes map[string]*lane // by the address of the master; "" when it is not known
}

func newRouter(client redis.UniversalClient, wait waiting) *router {
	r := &router{client: client, wait: wait, lanes: make(map[string]*lane)}
	r.cluster, _ = client.(*redis.ClusterClient)
	return r
}

// Repetitions of a step that a cluster refused for a passing reason: about a
// second, all together.
const (
	maxTries   = 7
	firstPause = 10 * time.Millisecond
)

// do runs one step. What the server refused without doing anything, for a
// reason that passes, it runs again.
func (r *router) do(ctx context.Context, s *step) error {
	pause := firstPause
	for try := 1; ; try++ {
		r.lane(ctx, s.key).do(s)
		if try == maxTries || !transient(s.err) {
			return s.err
		}
		r.rest(ctx, &pause)
	}
}

// doAll runs the steps of one caller, those of each lane after one another. What
// do would run again, it runs again too, all at a time. The error of each is in
// it.
func (r *router) doAll(ctx context.Context, steps []*step) {
	pause := firstPause
	for try := 1; ; try++ {
		r.doOnce(ctx, steps)
		steps = slices.DeleteFunc(slices.Clone(steps), func(s *step) bool { return !transient(s.err) })
		if try == maxTries || len(steps) == 0 {
			return
		}
		r.rest(ctx, &pause)
	}
}

func (r *router) doOnce(ctx context.Context, steps []*step) {
	groups := make(map[*lane][]*step)
	for _, s := range steps {
		l := r.lane(ctx, s.key)
		groups[l] = append(groups[l], s)
	}
	var others sync.WaitGroup
	for l, group := range groups {
		others.Go(func() { l.doAll(group) })
	}
	others.Wait()
}

// rest waits before another try, longer each time, and lets the client look
// where the slots are by now.
func (r *router) rest(ctx context.Context, pause *time.Duration) {
	if r.cluster != nil {
		r.cluster.ReloadState(ctx)
	}
	time.Sleep(*pause)
	*pause *= 2
}

// lane returns the lane of a key.
func (r *router) lane(ctx context.Context, key string) *lane {
	addr := ""
	if r.cluster != nil {
		if master, err := r.cluster.MasterForKey(ctx, key); err == nil {
			addr = master.Options().Addr
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.lanes[addr]
	if l == nil {
		l = &lane{send: r.send}
		r.lanes[addr] = l
	}
	return l
}

// send carries a batch. The context of the steps is not theirs: it is shared,
// and it cannot end.
func (r *router) send(steps []*step) {
	ctx := uncancelled()
	if r.cluster == nil || !r.wait.wanted(steps) {
		s := sender{client: r.client, wait: r.wait}
		s.send(ctx, steps)
		return
	}
	r.sendToMasters(ctx, steps)
}

// uncancelled is the context of what a pipeline carries for many callers.
func uncancelled() context.Context {
	return context.Background() //nolint:forbidigo // a step outlives every caller's context
}
