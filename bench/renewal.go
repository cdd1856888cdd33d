package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
	"github.com/semel-go/semel/store/sqlitestore"
)

// renewalGroup measures what it costs to keep many attempts alive.
func renewalGroup(ctx context.Context, e *env) (section, error) {
	t := table{columns: renewalColumns}
	var goals []goal
	sqlite, err := sqlitestore.Open(filepath.Join(e.dir, "renewal.db"), sqlitestore.Config{})
	if err != nil {
		return section{}, err
	}
	for _, s := range []struct {
		kind  string
		store semel.Store
	}{{"memory", memstore.New(memstore.Config{})}, {"SQLite", sqlite}} {
		e.progress("%d attempts on the %s store, for %s", e.size.attempts, s.kind, e.size.lease*4/3)
		got, err := measureRenewal(ctx, s.store, e.size.attempts, e.size.lease)
		if err != nil {
			return section{}, errors.Join(fmt.Errorf("%s: %w", s.kind, err), sqlite.Close())
		}
		t.rows = append(t.rows, got.row(s.kind+" store"))
		goals = append(goals, got.goals(s.kind+" store", e.size.attempts)...)
	}
	if err := sqlite.Close(); err != nil {
		return section{}, err
	}
	return section{
		title:  "Leases of attempts in flight",
		method: fmt.Sprintf(renewalMethod, number(float64(e.size.attempts), 0), e.size.lease, e.size.lease/3),
		tables: []table{t},
		goals:  goals,
	}, nil
}

const renewalMethod = `%s attempts begin on one engine with a lease of %s and do nothing, so what the process takes is the renewal. Its CPU time
is counted over one whole lease, which begins %s after the attempts; the calls are counted between the engine and the store.
Measured once, whatever the number of rounds.`

// renewal is the cost of keeping attempts alive.
type renewal struct {
	share sample // CPU, of one core
	all   sample // CPU to renew everything once, in milliseconds
	calls sample // of the store in the busiest tick
	took  sample // wall time of a call, in milliseconds
}

var renewalColumns = []string{
	"CPU, % of one core", "calls of Renew a tick, at most", "ms of CPU to renew all once", "ms a call",
}

func (r renewal) row(name string) row {
	return row{name, []cell{{r.share.scale(100), 2}, {r.calls, 0}, {r.all, 1}, {r.took, 2}}}
}

func (r renewal) goals(name string, attempts int) []goal {
	return []goal{
		atMost(fmt.Sprintf("renewing %d attempts, %s: ≤ 1 %% of one core", attempts, name), r.share.scale(100), 1, 2),
		atMost(fmt.Sprintf("renewing %d attempts, %s: ≤ 10 calls a tick", attempts, name), r.calls, 10, 0),
	}
}

func measureRenewal(ctx context.Context, inner semel.Store, attempts int, lease time.Duration) (got renewal, err error) {
	store, err := newRenewCounter(inner)
	if err != nil {
		return got, err
	}
	engine, err := semel.New(store, semel.Config{Lease: lease, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, engine.Close(ctx)) }()
	start := time.Now()
	claims, err := beginMany(ctx, engine, attempts)
	if err != nil {
		return got, err
	}
	// The first renewals come a third of a lease after the start.
	if err := sleepUntil(ctx, start.Add(lease/3)); err != nil {
		return got, err
	}
	store.take()
	before, began := ownTime(), time.Now()
	if err := sleepUntil(ctx, began.Add(lease)); err != nil {
		return got, err
	}
	took, cpu := time.Since(began).Seconds(), (ownTime() - before).Seconds()
	calls := store.take()
	renewed, err := calls.renewed(len(claims))
	return renewal{
		share: sample{cpu / took},
		all:   sample{1000 * cpu * float64(len(claims)) / float64(renewed)},
		calls: sample{float64(calls.busiest(lease / 12))},
		took:  sample{calls.took()},
	}, err
}

// beginMany starts attempts that never end by themselves.
func beginMany(ctx context.Context, engine *semel.Engine, n int) ([]*semel.Claim, error) {
	var keys keyMaker
	claims := make([]*semel.Claim, n)
	_, err := spreadOut(n, 256, func(i int) error {
		key := keys.next()
		out, err := engine.Begin(ctx, semel.Call{Key: key, Fingerprint: semel.FingerprintOf([]byte(key.ID))})
		if err == nil {
			err = out.Err()
		}
		claims[i] = out.Claim
		return err
	})
	return claims, err
}

func sleepUntil(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// renewCounter counts the calls of Renew on their way to a store.
type renewCounter struct {
	semel.Store
	renewer semel.Renewer

	mu    sync.Mutex
	calls renewCalls
}

type renewCalls []renewCall

type renewCall struct {
	at      time.Time
	took    time.Duration
	holders int
	lost    int
}

func newRenewCounter(s semel.Store) (*renewCounter, error) {
	renewer, ok := semel.As[semel.Renewer](s)
	if !ok {
		return nil, errors.New("the store cannot renew")
	}
	return &renewCounter{Store: s, renewer: renewer}, nil
}

// Unwrap lets the engine find the store's other capabilities.
func (c *renewCounter) Unwrap() semel.Store { return c.Store }

// Renew implements [semel.Renewer].
func (c *renewCounter) Renew(ctx context.Context, lease time.Duration, holders []semel.Holder) ([]semel.Token, error) {
	at := time.Now()
	lost, err := c.renewer.Renew(ctx, lease, holders)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, renewCall{at, time.Since(at), len(holders), len(lost)})
	return lost, err
}

// take returns the calls since it was called last.
func (c *renewCounter) take() renewCalls {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := c.calls
	c.calls = nil
	return calls
}

// renewed counts leases. Each must have been renewed, and none lost.
func (c renewCalls) renewed(attempts int) (int, error) {
	renewed, lost := 0, 0
	for _, call := range c {
		renewed, lost = renewed+call.holders, lost+call.lost
	}
	if renewed < attempts || lost != 0 {
		return renewed, fmt.Errorf("%d leases of %d attempts were renewed, and %d were lost", renewed, attempts, lost)
	}
	return renewed, nil
}

// busiest returns the most calls that follow one another within a gap.
func (c renewCalls) busiest(gap time.Duration) int {
	most, run := 0, 0
	for i, call := range c {
		if i > 0 && call.at.Sub(c[i-1].at) > gap {
			run = 0
		}
		run++
		most = max(most, run)
	}
	return most
}

// took returns the median of the calls' times in milliseconds.
func (c renewCalls) took() float64 {
	var all sample
	for _, call := range c {
		all = append(all, call.took.Seconds()*1000)
	}
	return all.median()
}
