package redisstore_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/redisstore"
)

// watch tells of every command and pipeline of a client whose context can end.
type watch struct {
	t    *testing.T
	seen *atomic.Int64 // commands
}

func (w watch) look(ctx context.Context, cmds ...redis.Cmder) {
	switch cmds[0].Name() {
	case "hello", "client", "command":
		return // the client's own, about a connection or the server
	}
	w.seen.Add(int64(len(cmds)))
	if _, timed := ctx.Deadline(); timed || ctx.Done() != nil {
		w.t.Errorf("%s was sent under a context that can end: whether it happened nobody would know", cmds[0].Name())
	}
}

func (w watch) DialHook(next redis.DialHook) redis.DialHook { return next }

func (w watch) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		w.look(ctx, cmd)
		return next(ctx, cmd)
	}
}

func (w watch) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		w.look(ctx, cmds...)
		return next(ctx, cmds)
	}
}

// I11: no context of a caller reaches the client in a step, where it would cut
// the connection with the step under way. One that has ended does not stop it,
// also when the client looks at contexts by itself.
func TestNoContextReachesTheClient(t *testing.T) {
	t.Parallel()
	server, nodes := servertest.NewRedis(t), servertest.NewRedisCluster(t, 2)
	for name, connect := range map[string]func(watch) redis.UniversalClient{
		"single": func(w watch) redis.UniversalClient {
			c := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true})
			c.AddHook(w)
			return c
		},
		"cluster": func(w watch) redis.UniversalClient {
			c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{nodes[0].Addr()}, ContextTimeoutEnabled: true})
			c.OnNewNode(func(node *redis.Client) { node.AddHook(w) })
			return c
		},
	} {
		for _, first := range []string{"renew", "release"} { // it finds out where the slots are
			t.Run(name+"/"+first, func(t *testing.T) {
				var seen atomic.Int64
				client := connect(watch{t, &seen})
				t.Cleanup(func() { _ = client.Close() })
				s, err := redisstore.New(client, redisstore.Config{Prefix: servertest.Name(t)})
				must(t, "new", err)
				allSteps(t, s, first)
				if seen.Load() < 10 {
					t.Errorf("got %d commands: the test shows nothing", seen.Load())
				}
			})
		}
	}
}

// allSteps runs every step under a context that has ended.
func allSteps(t *testing.T, s *redisstore.Store, first string) {
	t.Helper()
	ended, cancel := context.WithTimeout(t.Context(), time.Hour)
	cancel()
	r := ask("somebody's")
	if first == "release" {
		if err := s.Release(ended, r.Key, r.Token); !errors.Is(err, semel.ErrLost) {
			t.Errorf("release: got error %v, want ErrLost", err)
		}
	}
	lost, err := s.Renew(ended, time.Hour, []semel.Holder{{Key: r.Key, Token: r.Token}})
	if err != nil || len(lost) != 1 {
		t.Errorf("renew: got %d lost, error %v, want one", len(lost), err)
	}
	reserve := func(id string) semel.Reservation {
		t.Helper()
		r := ask(id)
		held, err := s.Reserve(ended, r) // the first one also validates
		if err != nil || held.Token != r.Token {
			t.Fatalf("got a %v slot, error %v, want a reservation", held.State, err)
		}
		return r
	}
	r = reserve("complete")
	must(t, "begin effects", s.BeginEffects(ended, r.Key, r.Token))
	lost, err = s.Renew(ended, time.Hour, []semel.Holder{{Key: r.Key, Token: r.Token}})
	if err != nil || len(lost) > 0 {
		t.Errorf("renew: got %d lost, error %v, want none", len(lost), err)
	}
	must(t, "complete", s.Complete(ended, completion(r)))
	replay(t, s, r)
	r = reserve("release")
	must(t, "release", s.Release(ended, r.Key, r.Token))
	r = ask("resolve")
	held := grant(t, s, r)
	_, err = s.Renew(ended, 0, []semel.Holder{{Key: r.Key, Token: r.Token}})
	must(t, "abandon", err)
	must(t, "resolve", s.Resolve(ended, semel.Resolution{Key: r.Key, Fence: held.Fence, Retention: time.Hour}))
}
