package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/sqlitestore"
)

// millionGroup measures how a store bears many records, half of which are over,
// and what their purge costs those who call.
func millionGroup(ctx context.Context, e *env) (section, error) {
	m := million{env: e, rate: series{}, p99: series{}}
	if err := m.prepare(ctx); err != nil {
		return section{}, err
	}
	defer func() { _ = m.large.Close() }()
	for round := range e.rounds {
		e.progress("round %d of %d", round+1, e.rounds)
		for _, callers := range millionCallers {
			if err := m.flat(ctx, callers); err != nil {
				return section{}, err
			}
		}
	}
	for round := range e.rounds {
		e.progress("purge, round %d of %d", round+1, e.rounds)
		if err := m.purge(ctx); err != nil {
			return section{}, err
		}
	}
	return m.section(), nil
}

// million has a store of few records, as a file to copy, and one of many.
type million struct {
	*env
	small  string // a closed database
	large  *sqlitestore.Store
	keys   keyMaker // of the large store
	rate   series
	p99    series
	purged sample // rows a second
	filled float64
}

var millionCallers = []int{8, 64}

const (
	smallName = "small"
	largeName = "large"
	offName   = "no purge"
	onName    = "purge"
)

func (m *million) prepare(ctx context.Context) error {
	m.small = filepath.Join(m.dir, "small.db")
	m.progress("fills %d records", m.size.small)
	small, err := sqlitestore.Open(m.small, sqlitestore.Config{})
	if err != nil {
		return err
	}
	var keys keyMaker
	if err := errors.Join(fillHalves(ctx, small, &keys, m.size.small), small.Close()); err != nil {
		return err
	}
	m.progress("fills %d records", m.size.large)
	if m.large, err = sqlitestore.Open(filepath.Join(m.dir, "large.db"), sqlitestore.Config{}); err != nil {
		return err
	}
	start := time.Now()
	if err := fillHalves(ctx, m.large, &m.keys, m.size.large); err != nil {
		return errors.Join(err, m.large.Close())
	}
	m.filled = float64(m.size.large) / time.Since(start).Seconds()
	return nil
}

// shortRetention is over by the time that anybody looks.
const shortRetention = time.Millisecond

// fillHalves makes n records. The older half is over, so records expire in the
// order in which they came, as with one retention for all.
func fillHalves(ctx context.Context, s pairer, keys *keyMaker, n int) error {
	if err := fill(ctx, s, keys, n/2, shortRetention); err != nil {
		return err
	}
	return fill(ctx, s, keys, n-n/2, semel.DefaultRetention)
}

// flat loads a fresh copy of the small store and then the large one.
func (m *million) flat(ctx context.Context, callers int) (err error) {
	path := filepath.Join(m.dir, "copy.db")
	defer func() { err = errors.Join(err, removeDatabase(path)) }()
	if err := copyFile(path, m.small); err != nil {
		return err
	}
	small, err := sqlitestore.Open(path, sqlitestore.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, small.Close()) }()
	var keys keyMaker
	keys.used.Store(int64(m.size.small))
	if err := m.load(ctx, smallName, small, &keys, callers); err != nil {
		return err
	}
	return m.load(ctx, largeName, m.large, &m.keys, callers)
}

func (m *million) load(ctx context.Context, name string, s pairer, keys *keyMaker, callers int) error {
	if _, err := loadPairs(ctx, s, keys, callers, m.size.window/5); err != nil {
		return err
	}
	got, err := loadPairs(ctx, s, keys, callers, m.size.window)
	m.rate.add(rowName(name, callers), got.perSecond)
	m.p99.add(rowName(name, callers), got.p99)
	return err
}

// purge loads the large store without and with an engine that purges it.
func (m *million) purge(ctx context.Context) error {
	const callers = 8
	got, err := loadPairs(ctx, m.large, &m.keys, callers, m.size.purging)
	if err != nil {
		return err
	}
	m.rate.add(offName, got.perSecond)
	m.p99.add(offName, got.p99)

	var rows atomic.Int64
	eng, err := semel.New(m.large, semel.Config{Observe: func(ctx context.Context, op semel.Op) (context.Context, func(semel.Event)) {
		return ctx, func(ev semel.Event) {
			if op.Step == semel.StepPurge {
				rows.Add(int64(ev.Count))
			}
		}
	}})
	if err != nil {
		return err
	}
	purging, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	start := time.Now()
	go func() { ended <- eng.RunPurge(purging, semel.Purging{Every: time.Millisecond}) }()
	got, err = loadPairs(ctx, m.large, &m.keys, callers, m.size.purging)
	took := time.Since(start)
	stop()
	if perr := <-ended; !errors.Is(perr, context.Canceled) {
		err = errors.Join(err, perr)
	}
	m.rate.add(onName, got.perSecond)
	m.p99.add(onName, got.p99)
	m.purged = append(m.purged, float64(rows.Load())/took.Seconds())
	return errors.Join(err, eng.Close(ctx))
}

func (m *million) section() section {
	flat := table{
		title:   "Pairs per second, few and many records",
		columns: []string{number(float64(m.size.small), 0) + " records", number(float64(m.size.large), 0) + " records", "many ÷ few", "p99 ms, few", "p99 ms, many"},
	}
	var goals []goal
	for _, callers := range millionCallers {
		small, large := rowName(smallName, callers), rowName(largeName, callers)
		ratio := m.rate[large].over(m.rate[small])
		flat.rows = append(flat.rows, row{callersName(callers), []cell{
			{m.rate[small], 0}, {m.rate[large], 0}, {ratio, 2}, {m.p99[small], 1}, {m.p99[large], 1},
		}})
		goals = append(goals, atLeast(fmt.Sprintf("SQLite pairs at %s records, %d callers ≥ 0.80 of %s records",
			number(float64(m.size.large), 0), callers, number(float64(m.size.small), 0)), ratio, 0.8))
	}
	share := m.rate[onName].over(m.rate[offName])
	purge := table{
		title:   "Purge under 8 callers",
		columns: []string{"pairs/s alone", "pairs/s beside the purge", "beside ÷ alone", "rows purged/s", "p99 ms alone", "p99 ms beside"},
		rows: []row{{"8 callers", []cell{
			{m.rate[offName], 0}, {m.rate[onName], 0}, {share, 2}, {m.purged, 0}, {m.p99[offName], 1}, {m.p99[onName], 1},
		}}},
	}
	goals = append(goals, atLeast("traffic beside a purge > 0.80 of the traffic alone", share, 0.8))
	return section{
		title: "SQLite: a million records",
		method: fmt.Sprintf(millionMethod, number(float64(m.size.large), 0), number(m.filled, 0), m.size.window,
			m.size.purging, number(float64(m.size.large/2), 0), number(float64(m.size.large/2)/m.purged.median(), 0)),
		tables: []table{flat, purge},
		goals:  goals,
	}
}

const millionMethod = `The older half of the records is over, and nothing has purged it. The store of %s records was filled through itself by 256
callers at %s pairs per second. Each round loads a fresh copy of the small file and then the large one for %s. The purge is
Engine.RunPurge with its own pace (50 rows a step, a fifth of the time) and no rest between rounds, loaded for %s at a time, with and without it; the backlog is
%s rows, and at the rate below it takes %s s.`

func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Sync()
}

// removeDatabase removes a closed database and what SQLite and the store have
// beside it.
func removeDatabase(path string) error {
	files, err := filepath.Glob(path + "*")
	if err != nil {
		return err
	}
	for _, f := range files {
		err = errors.Join(err, os.Remove(f))
	}
	return err
}
