package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/semel-go/semel/store/sqlitestore"
)

// engine is one way to make a pair durable.
type engine struct {
	name string
	open func(ctx context.Context, path string) (closer, error)
}

// The names of the engines in the table and the plot.
const (
	rawName   = "raw group-commit log"
	storeName = "Semel sqlitestore"
	plainName = "plain SQLite"
)

func engines() []engine {
	return []engine{
		{rawName, func(_ context.Context, path string) (closer, error) { return openRawLog(path) }},
		{storeName, func(_ context.Context, path string) (closer, error) {
			return sqlitestore.Open(path, sqlitestore.Config{})
		}},
		{plainName, func(ctx context.Context, path string) (closer, error) { return openPlainSQLite(ctx, path) }},
	}
}

// rowName names a sample of so many callers.
func rowName(name string, callers int) string { return fmt.Sprintf("%s, %d", name, callers) }

// sqliteGroup measures durable pairs against the number of callers.
func sqliteGroup(ctx context.Context, e *env) (section, error) {
	rate, p50, p99 := series{}, series{}, series{}
	for round := range e.rounds {
		e.progress("round %d of %d", round+1, e.rounds)
		for _, callers := range e.size.callers {
			for _, eng := range turned(round, engines()) {
				got, err := eng.measure(ctx, e, callers)
				if err != nil {
					return section{}, fmt.Errorf("%s, %d callers: %w", eng.name, callers, err)
				}
				name := rowName(eng.name, callers)
				rate.add(name, got.perSecond)
				p50.add(name, got.p50)
				p99.add(name, got.p99)
			}
		}
	}
	s := section{
		title:  "SQLite: durable pairs",
		method: fmt.Sprintf(sqliteMethod, e.size.window),
		goals: []goal{
			pairGoal(rate, 1, 0.9),
			pairGoal(rate, 8, 0.8),
			pairGoal(rate, 64, 0.45),
		},
	}
	s.tables = append(s.tables, rateTable(rate, e.size.callers), delayTable(p50, p99, e.size.callers))
	for _, eng := range engines() {
		c := curve{name: eng.name}
		for _, callers := range e.size.callers {
			c.points = append(c.points, point{callers, rate[rowName(eng.name, callers)]})
		}
		s.curves = append(s.curves, c)
	}
	return s, nil
}

func pairGoal(rate series, callers int, limit float64) goal {
	ratio := rate[rowName(storeName, callers)].over(rate[rowName(rawName, callers)])
	return atLeast(fmt.Sprintf("SQLite pairs, %s ≥ %.2f of the raw log", callersName(callers), limit), ratio, limit)
}

const sqliteMethod = `A pair is a reserve and a complete (64 + 36 characters of key, 200 bytes of header, 1,024 of body), each durable before it is
answered; callers call the store and nothing else, one pair after the other. All files are on the same disk and grow from
nothing; a window is %s after a fifth of that as warm-up, on a fresh file. The raw log is no store but the ceiling: append,
CRC-32C, fdatasync, a map, and one writer that makes whatever is queued durable at once. Plain SQLite is the same driver with
the same durability, one connection and one transaction a step.`

// measure opens a fresh file and loads it.
func (eng engine) measure(ctx context.Context, e *env, callers int) (got pairs, err error) {
	dir, err := os.MkdirTemp(e.dir, "pairs-")
	if err != nil {
		return pairs{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := eng.open(ctx, filepath.Join(dir, "db"))
	if err != nil {
		return pairs{}, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var keys keyMaker
	if _, err := loadPairs(ctx, s, &keys, callers, max(e.size.window/5, time.Millisecond)); err != nil {
		return pairs{}, err
	}
	return loadPairs(ctx, s, &keys, callers, e.size.window)
}

func rateTable(rate series, callers []int) table {
	t := table{title: "Pairs per second", columns: []string{rawName, storeName, plainName, "Semel ÷ raw log", "Semel ÷ plain"}}
	for _, n := range callers {
		raw, store, plain := rate[rowName(rawName, n)], rate[rowName(storeName, n)], rate[rowName(plainName, n)]
		t.rows = append(t.rows, row{
			name:  callersName(n),
			cells: []cell{{raw, 0}, {store, 0}, {plain, 0}, {store.over(raw), 2}, {store.over(plain), 2}},
		})
	}
	return t
}

func delayTable(p50, p99 series, callers []int) table {
	t := table{title: "Milliseconds a pair, median and 99th percentile"}
	for _, eng := range engines() {
		t.columns = append(t.columns, eng.name+", p50", "p99")
	}
	for _, n := range callers {
		r := row{name: callersName(n)}
		for _, eng := range engines() {
			name := rowName(eng.name, n)
			r.cells = append(r.cells, cell{p50[name], 2}, cell{p99[name], 2})
		}
		t.rows = append(t.rows, r)
	}
	return t
}

func callersName(n int) string {
	if n == 1 {
		return "1 caller"
	}
	return fmt.Sprintf("%d callers", n)
}
