//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/semel-go/semel"
)

// backlog is a store on a server with many records that are over. Each round
// loads it without a purge, and then with one that goes on until its part of
// the backlog is gone.
type backlog struct {
	*env
	store  pairer
	rate   series
	p99    series
	purged sample // rows a second
	left   int
}

// backlogCallers make traffic beside the purge.
const backlogCallers = 8

// backlogPatience bounds the purge of all rounds together. The report says how
// much was left by then.
const backlogPatience = 2 * time.Minute

// run measures. left counts what is over and not purged.
func (b *backlog) run(ctx context.Context, left func(context.Context) (int, error)) error {
	store, ok := b.store.(semel.Store)
	if !ok {
		return errors.New("not a whole store")
	}
	b.rate, b.p99 = series{}, series{}
	var keys keyMaker
	var rows atomic.Int64
	eng, err := semel.New(store, semel.Config{Observe: func(ctx context.Context, op semel.Op) (context.Context, func(semel.Event)) {
		return ctx, func(ev semel.Event) {
			if op.Step == semel.StepPurge {
				rows.Add(int64(ev.Count))
			}
		}
	}})
	if err != nil {
		return err
	}
	for round := range b.rounds {
		b.progress("purge, round %d of %d, %d rows purged", round+1, b.rounds, rows.Load())
		if err := b.load(ctx, offName, &keys, func(since time.Duration) bool { return since < b.size.serving }); err != nil {
			return err
		}
		purging, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		start, before := time.Now(), rows.Load()
		go func() {
			ended <- eng.RunPurge(purging, semel.Purging{Every: time.Millisecond, Batch: 1000})
		}()
		part := int64(b.size.backlog * (round + 1) / b.rounds)
		patience := backlogPatience / time.Duration(b.rounds)
		err := b.load(ctx, onName, &keys, func(since time.Duration) bool {
			return rows.Load() < part && since < patience && ctx.Err() == nil
		})
		took := time.Since(start)
		stop()
		if perr := <-ended; !errors.Is(perr, context.Canceled) {
			err = errors.Join(err, perr)
		}
		if err != nil {
			return fmt.Errorf("after %d rows: %w", rows.Load(), err)
		}
		b.purged = append(b.purged, float64(rows.Load()-before)/took.Seconds())
	}
	if b.left, err = left(ctx); err == nil && b.left+int(rows.Load()) != b.size.backlog {
		err = fmt.Errorf("%d rows were purged and %d are left of %d", rows.Load(), b.left, b.size.backlog)
	}
	return errors.Join(err, eng.Close(ctx))
}

func (b *backlog) load(ctx context.Context, name string, keys *keyMaker, more func(time.Duration) bool) error {
	got, err := repeat(ctx, backlogCallers, more, func() error { return pair(ctx, b.store, keys.next(), semel.DefaultRetention) })
	b.rate.add(name, got.perSecond)
	b.p99.add(name, got.p99)
	return err
}

// report adds the table and the goal to a section.
func (b *backlog) report(server string, found *section) {
	share := b.rate[onName].over(b.rate[offName])
	end := "to the last"
	if b.left > 0 {
		end = number(float64(b.left), 0) + " left after " + backlogPatience.String()
	}
	found.tables = append(found.tables, table{
		title:   "Purge of " + number(float64(b.size.backlog), 0) + " records under 8 callers, " + end,
		columns: []string{"pairs/s alone", "pairs/s beside the purge", "beside ÷ alone", "rows purged/s", "p99 ms alone", "p99 ms beside"},
		rows: []row{{"8 callers", []cell{
			{b.rate[offName], 0}, {b.rate[onName], 0}, {share, 2}, {b.purged, 0}, {b.p99[offName], 1}, {b.p99[onName], 1},
		}}},
	})
	found.goals = append(found.goals, atLeast(server+" traffic beside a purge > 0.80 of the traffic alone", share, 0.8))
}
