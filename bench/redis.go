//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/redisstore"
)

// redisKind is a server under test, by what it keeps on the disk.
type redisKind struct {
	*rig
	name    string
	server  *servertest.Server
	admin   *redis.Client
	bench   redisBench
	perSlot sample // bytes of memory a record
}

func redisGroup(ctx context.Context, r *rig) (section, error) {
	program := r.need("redis-benchmark")
	found := section{method: redisMethod}
	kinds := []struct {
		name     string
		settings []string
	}{
		{"nothing on the disk", nil},
		{"appendfsync always", []string{"appendonly=yes", "appendfsync=always", "auto-aof-rewrite-percentage=0"}},
	}
	for _, kind := range kinds {
		k := &redisKind{rig: r, name: kind.name, server: servertest.NewRedis(r, kind.settings...)}
		k.admin = redis.NewClient(&redis.Options{Addr: k.server.Addr()})
		r.Cleanup(func() { _ = k.admin.Close() })
		settings, err := k.prepare(ctx, program)
		if err != nil {
			return section{}, err
		}
		found.method += fmt.Sprintf("\n%s: %s.", k.name, settings)
		if err := k.pairs(ctx, &found); err != nil {
			return section{}, fmt.Errorf("%s: %w", k.name, err)
		}
		if kind.settings == nil {
			if err := errors.Join(k.replays(ctx, &found), k.renewal(ctx, &found)); err != nil {
				return section{}, err
			}
		}
	}
	return found, nil
}

const redisMethod = `Servers started for this group, over loopback TCP on the same cores, empty before each row. A pair is as above. redis-benchmark
has as many connections as callers and no pipeline. It runs the script that the store was seen to send, with the same values
but for zero bytes: first reservations of random keys, then completions of keys that are reserved, ten times as many as it
completes; the rate of pairs is that of one of each after the other. It checks no answer, so the records are counted.
A replay reserves one of 1,024 completed keys; redis-benchmark does the same with the same script and one key. Memory
is what used_memory grew by, with the response, for each record of the store's row with 64 callers. A call of
Renew is pipelines with one script for each of up to 1,000 leases.`

func (k *redisKind) open(ctx context.Context) (*redisstore.Store, error) {
	return redisstore.Open(ctx, k.server.DSN(), redisstore.Config{Logger: quiet})
}

func (k *redisKind) fresh(ctx context.Context) error { return k.admin.FlushAll(ctx).Err() }

// prepare looks at the server and at what the store sends it.
func (k *redisKind) prepare(ctx context.Context, program string) (settings string, err error) {
	s, err := k.open(ctx)
	if err != nil {
		return "", err
	}
	defer closeInto(&err, s)
	if err := s.Migrate(ctx); err != nil {
		return "", err
	}
	if k.bench, err = newRedisBench(ctx, program, k.server.Addr()); err != nil {
		return "", err
	}
	return settingsOf(ctx, s, "appendonly", "appendfsync", "save", "maxmemory-policy", "maxmemory_policy", "aof_enabled", "persistence")
}

func (k *redisKind) pairs(ctx context.Context, found *section) error {
	c := &contest{env: k.env, what: "pairs, " + k.name, callers: []int{1, 8, 64}, fresh: k.fresh, all: []contender{
		{"Semel redisstore", k.store},
		{"redis-benchmark", func(ctx context.Context, callers int) (pairs, error) {
			return k.bench.pairs(ctx, k.admin, callers, k.size.serving)
		}},
	}}
	if err := c.run(ctx); err != nil {
		return err
	}
	t := c.table("Pairs per second, " + k.name)
	t.columns = append(t.columns, "bytes a record")
	for i := range t.rows {
		t.rows[i].cells = append(t.rows[i].cells, cell{})
	}
	t.rows[len(t.rows)-1].cells[len(t.columns)-1] = cell{k.perSlot, 0}
	found.tables = append(found.tables, t)
	found.goals = append(found.goals, atLeast("Redis pairs, "+k.name+", 64 callers ≥ 0.90 of redis-benchmark", c.ratio(1, 64), 0.9))
	return nil
}

// store loads the store and weighs its records.
func (k *redisKind) store(ctx context.Context, callers int) (pairs, error) {
	before, err := k.memory(ctx)
	if err != nil {
		return pairs{}, err
	}
	got, err := k.loadStore(ctx, callers, func() (closer, error) { return k.open(ctx) })
	if err != nil || callers != 64 {
		return got, err
	}
	after, err := k.memory(ctx)
	if err != nil {
		return got, err
	}
	n, err := k.admin.DBSize(ctx).Result()
	k.perSlot = append(k.perSlot, (after-before)/float64(n))
	return got, err
}

func (k *redisKind) memory(ctx context.Context) (float64, error) {
	info, err := k.admin.InfoMap(ctx, "memory").Result()
	if err != nil {
		return 0, err
	}
	var bytes float64
	_, err = fmt.Sscan(info["Memory"]["used_memory"], &bytes)
	return bytes, err
}

func (k *redisKind) replays(ctx context.Context, found *section) (err error) {
	if err := k.fresh(ctx); err != nil {
		return err
	}
	s, err := k.open(ctx)
	if err != nil {
		return err
	}
	defer closeInto(&err, s)
	keys, err := keepSome(ctx, s)
	if err != nil {
		return err
	}
	c := &contest{env: k.env, what: "replays", callers: []int{1, 8, 64}, all: []contender{
		{"Semel redisstore", func(ctx context.Context, callers int) (pairs, error) { return k.loadReplays(ctx, callers, s, keys) }},
		{"redis-benchmark", func(ctx context.Context, callers int) (pairs, error) {
			return k.bench.replays(ctx, k.admin, callers, k.size.serving/2)
		}},
	}}
	if err := c.run(ctx); err != nil {
		return err
	}
	found.tables = append(found.tables, c.table("Replays per second, "+k.name))
	return nil
}

func (k *redisKind) renewal(ctx context.Context, found *section) (err error) {
	if err := k.fresh(ctx); err != nil {
		return err
	}
	s, err := k.open(ctx)
	if err != nil {
		return err
	}
	defer closeInto(&err, s)
	t, goals, err := k.renewServed(ctx, "Redis", s)
	found.tables, found.goals = append(found.tables, t), append(found.goals, goals...)
	return err
}
