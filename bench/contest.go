//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/semel-go/semel"
)

// contender is one way to have the same work done by the same server.
type contender struct {
	name    string
	measure func(ctx context.Context, callers int) (pairs, error)
}

// contest lets contenders work one after the other, in rounds.
type contest struct {
	*env
	what     string // "pairs" or "replays"
	callers  []int
	fresh    func(ctx context.Context) error // before each measurement; nil: nothing is done
	all      []contender                     // the store first
	rate     series
	p50, p99 series
}

func (c *contest) run(ctx context.Context) error {
	c.rate, c.p50, c.p99 = series{}, series{}, series{}
	for round := range c.rounds {
		c.progress("%s, round %d of %d", c.what, round+1, c.rounds)
		for _, callers := range c.callers {
			for _, one := range turned(round, slices.Clone(c.all)) {
				if c.fresh != nil {
					if err := c.fresh(ctx); err != nil {
						return err
					}
				}
				got, err := one.measure(ctx, callers)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", one.name, callersName(callers), err)
				}
				name := rowName(one.name, callers)
				c.rate.add(name, got.perSecond)
				c.p50.add(name, got.p50)
				c.p99.add(name, got.p99)
			}
		}
	}
	return nil
}

// ratio is the store's rate over another contender's.
func (c *contest) ratio(other, callers int) sample {
	return c.rate[rowName(c.all[0].name, callers)].over(c.rate[rowName(c.all[other].name, callers)])
}

// table has the rate of each contender, the store's over the others', and the
// store's delays.
func (c *contest) table(title string) table {
	t := table{title: title}
	for _, one := range c.all {
		t.columns = append(t.columns, one.name)
	}
	for _, one := range c.all[1:] {
		t.columns = append(t.columns, "Semel ÷ "+one.name)
	}
	t.columns = append(t.columns, "Semel, p50 ms", "p99 ms")
	for _, callers := range c.callers {
		r := row{name: callersName(callers)}
		for _, one := range c.all {
			r.cells = append(r.cells, cell{c.rate[rowName(one.name, callers)], 0})
		}
		for i := range c.all[1:] {
			r.cells = append(r.cells, cell{c.ratio(i+1, callers), 2})
		}
		name := rowName(c.all[0].name, callers)
		r.cells = append(r.cells, cell{c.p50[name], 2}, cell{c.p99[name], 2})
		t.rows = append(t.rows, r)
	}
	return t
}

// warmup is the share of a window that goes before it and does not count.
const warmup = 5

// loadStore opens a store, warms it up, loads it with pairs and closes it.
func (e *env) loadStore(ctx context.Context, callers int, open func() (closer, error)) (got pairs, err error) {
	s, err := open()
	if err != nil {
		return pairs{}, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var keys keyMaker
	if _, err := loadPairs(ctx, s, &keys, callers, e.size.serving/warmup); err != nil {
		return pairs{}, err
	}
	return loadPairs(ctx, s, &keys, callers, e.size.serving)
}

// loadReplays reserves completed keys again and again.
func (e *env) loadReplays(ctx context.Context, callers int, s pairer, keys []semel.Key) (pairs, error) {
	next := make(chan semel.Key, len(keys))
	for _, key := range keys {
		next <- key
	}
	one := func() error {
		key := <-next
		defer func() { next <- key }()
		return replay(ctx, s, key)
	}
	load := func(window time.Duration) (pairs, error) {
		return repeat(ctx, callers, func(since time.Duration) bool { return since < window }, one)
	}
	if _, err := load(e.size.serving / 2 / warmup); err != nil {
		return pairs{}, err
	}
	return load(e.size.serving / 2)
}

// keepSome completes new keys for replays.
func keepSome(ctx context.Context, s pairer) ([]semel.Key, error) {
	keys := textKeys(keptKeys)
	_, err := spreadOut(len(keys), 8, func(i int) error { return pair(ctx, s, keys[i], semel.DefaultRetention) })
	return keys, err
}

// renewServed measures the renewal of many attempts on a store on a server.
func (e *env) renewServed(ctx context.Context, name string, s semel.Store) (table, []goal, error) {
	e.progress("%d attempts, for %s", e.size.leases, e.size.leaseFor*4/3)
	got, err := measureRenewal(ctx, s, e.size.leases, e.size.leaseFor)
	t := table{
		title:   fmt.Sprintf("%s attempts in flight, lease %s, measured once", number(float64(e.size.leases), 0), e.size.leaseFor),
		columns: renewalColumns,
		rows:    []row{got.row(name)},
	}
	return t, got.goals(name, e.size.leases), err
}
