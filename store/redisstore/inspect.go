package redisstore

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/semel-go/semel"
)

// Inspect implements [semel.Inspector]. In a cluster it asks every master and
// reports what is wrong with any; Clock is that of the first.
func (s *Store) Inspect(ctx context.Context) (semel.Inspection, error) {
	found, err := s.inspect(ctx)
	return found, explain("inspect", semel.Slot{}, err)
}

func (s *Store) inspect(ctx context.Context) (semel.Inspection, error) {
	all, err := s.look(ctx)
	if err != nil {
		return semel.Inspection{}, err
	}
	_, cluster := s.client.(*redis.ClusterClient)
	grade := gradeOf(all, cluster)
	s.grade.Store(&grade)
	return semel.Inspection{Server: all[0].server(), Clock: all[0].clock, Findings: judge(all, s.cfg, cluster)}, nil
}

// Validate changes nothing. It returns an error that wraps [*semel.UnfitError] when
// the store must not serve from this server: a replica, an eviction policy that
// would delete records, a version that is too old, a cluster's node that was
// opened as a single server. Too few replicas are no such reason, because they may
// come: the steps fail until then. The first Reserve does the same.
func (s *Store) Validate(ctx context.Context) error {
	return explain("validate", semel.Slot{}, s.validate(ctx))
}

func (s *Store) validate(ctx context.Context) error {
	found, err := s.inspect(ctx)
	if err != nil {
		return err
	}
	if err := semel.Unfit(lasting(found.Findings)); err != nil {
		return err
	}
	s.told.Do(func() { found.Announce(ctx, s.cfg.Logger.With("store", "redis"), s.Grade()) })
	return nil
}

// Migrate loads the scripts into every master and validates it. There is no
// schema: each record carries the version of its layout. Any number of
// processes may run it at once, and none has to.
func (s *Store) Migrate(ctx context.Context) error {
	_, err := within(ctx, s, func(ctx context.Context) (struct{}, error) {
		masters, err := mastersOf(ctx, s.client)
		for _, m := range masters {
			for _, script := range scripts {
				err = errors.Join(err, m.ScriptLoad(ctx, script.source).Err())
			}
		}
		return struct{}{}, err
	})
	if err != nil {
		return explain("migrate", semel.Slot{}, err)
	}
	return s.Validate(ctx)
}

// Ping implements [semel.Pinger]: the server answers and is no replica, or the
// cluster says that it serves.
func (s *Store) Ping(ctx context.Context) error {
	_, err := within(ctx, s, func(ctx context.Context) (struct{}, error) { return struct{}{}, s.ping(ctx) })
	return explain("ping", semel.Slot{}, err)
}

func (s *Store) ping(ctx context.Context) error {
	if err := s.client.Ping(ctx).Err(); err != nil {
		return err
	}
	if c, ok := s.client.(*redis.ClusterClient); ok {
		text, err := c.ClusterInfo(ctx).Result()
		if err == nil && parseInfo(text)["cluster_state"] == "fail" {
			err = errors.New("cluster_state is fail")
		}
		return permitted(err)
	}
	text, err := s.client.Info(ctx, "replication").Result()
	if err == nil && parseInfo(text)["role"] == "slave" {
		err = ErrReadOnly
	}
	return permitted(err)
}

// permitted forgets an error that says that the user may not ask.
func permitted(err error) error {
	if redis.IsPermissionError(err) || redis.HasErrorPrefix(err, "ERR unknown command") {
		return nil
	}
	return err
}

// Grade implements [semel.Grader]. It is what the last Validate or Inspect
// found, and before the first one C.
func (s *Store) Grade() semel.Grade {
	if g := s.grade.Load(); g != nil {
		return *g
	}
	return semel.Grade{Letter: "C", Survives: "Not known yet: the server has not been asked for its settings."}
}

// look asks every master.
func (s *Store) look(ctx context.Context) ([]facts, error) {
	return within(ctx, s, func(ctx context.Context) ([]facts, error) {
		masters, err := mastersOf(ctx, s.client)
		if err != nil {
			return nil, err
		}
		var all []facts
		for _, m := range masters {
			f, err := ask(ctx, m)
			if err != nil {
				return nil, err
			}
			all = append(all, f)
		}
		if len(all) == 0 {
			return nil, errors.New("the cluster has no master")
		}
		return all, nil
	})
}

// ask reads the facts of one server. What its user may not ask stays unknown.
func ask(ctx context.Context, m *redis.Client) (facts, error) {
	f := facts{addr: m.Options().Addr}
	clock, err := m.Time(ctx).Result()
	if permitted(err) != nil {
		return f, err
	}
	if err == nil {
		f.clock = clock.In(time.UTC)
	}
	text, err := m.Info(ctx).Result()
	if permitted(err) != nil {
		return f, err
	}
	f.info = parseInfo(text)
	f.config = make(map[string]string)
	for _, name := range []string{"maxmemory-policy", "appendfsync", "min-replicas-to-write"} {
		values, err := m.ConfigGet(ctx, name).Result()
		if permitted(err) != nil {
			return f, err
		}
		if v, ok := values[name]; ok {
			f.config[name] = v
		}
	}
	if f.info["cluster_enabled"] == "1" {
		text, err := m.ClusterInfo(ctx).Result()
		if permitted(err) != nil {
			return f, err
		}
		f.cluster = parseInfo(text)
	}
	watchers, err := m.PubSubNumSub(ctx, sentinelChannel).Result()
	if permitted(err) != nil {
		return f, err
	}
	f.sentinels = watchers[sentinelChannel]
	return f, nil
}

// sentinelChannel is where sentinels meet, on every server that they watch.
const sentinelChannel = "__sentinel__:hello"
