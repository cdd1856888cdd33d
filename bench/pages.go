package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/console"
	"github.com/semel-go/semel/operator"
	"github.com/semel-go/semel/store/sqlitestore"
)

// consoleGroup measures how long the pages of the console take over a file with many
// records, in which what they look for lies furthest back.
func consoleGroup(ctx context.Context, e *env) (section, error) {
	store, err := sqlitestore.Open(filepath.Join(e.dir, "console.db"), sqlitestore.Config{})
	if err != nil {
		return section{}, err
	}
	defer func() { _ = store.Close() }()
	p := pages{env: e, store: store, p50: series{}, p99: series{}}
	e.progress("fills %d records", e.size.large)
	if err := p.fill(ctx); err != nil {
		return section{}, err
	}
	if err := p.open(); err != nil {
		return section{}, err
	}
	for round := range e.rounds {
		e.progress("round %d of %d", round+1, e.rounds)
		worst := 0.0
		for _, one := range turned(round, p.all()) {
			took, err := p.measure(ctx, one)
			if err != nil {
				return section{}, fmt.Errorf("%s: %w", one.name, err)
			}
			p.p50.add(one.name, quantile(took, 0.5))
			p.p99.add(one.name, quantile(took, 0.99))
			worst = max(worst, quantile(took, 0.99))
		}
		p.worst = append(p.worst, worst)
	}
	return p.section(), errors.Join(p.engine.Close(ctx), store.Close())
}

type pages struct {
	*env
	store    *sqlitestore.Store
	engine   *semel.Engine
	desk     *operator.Desk
	console  http.Handler
	oldest   semel.Record // of the scope and route that are rare
	p50, p99 series       // ms
	worst    sample       // p99 of the slowest page
}

// onePage is a page that is measured.
type onePage struct {
	name, path string
	cold       bool // in a console that has just started
	form       url.Values
}

const (
	rareName = "rare"
	lapsedAs = 60 // attempts that lapsed, and as many slots that are free
)

// fill writes what is rare, then all others.
func (p *pages) fill(ctx context.Context) (err error) {
	var keys keyMaker
	for i := range 2 * lapsedAs {
		r := reservation(keys.next(), semel.DefaultRetention)
		r.Lease = time.Millisecond
		if i == 0 {
			r.Key.Scope, r.Route = rareName, rareName
		}
		held, err := p.store.Reserve(ctx, r)
		if err == nil && i >= lapsedAs {
			err = p.store.Release(ctx, r.Key, r.Token)
		}
		if err != nil {
			return err
		}
		if i == 0 {
			p.oldest = held
		}
	}
	return fill(ctx, p.store, &keys, p.size.large, semel.DefaultRetention)
}

func (p *pages) open() (err error) {
	log := slog.New(slog.DiscardHandler)
	if p.engine, err = semel.New(p.store, semel.Config{Logger: log}); err != nil {
		return err
	}
	if p.desk, err = operator.New(p.engine, operator.Config{Actor: "bench"}); err != nil {
		return err
	}
	p.console, err = p.fresh()
	return err
}

func (p *pages) fresh() (http.Handler, error) {
	return console.New(p.desk, console.Config{Open: true, Meter: console.NewMeter(), Logger: slog.New(slog.DiscardHandler), Timeout: time.Minute})
}

func (p *pages) all() []onePage {
	slot := p.oldest.Key.Slot().String()
	return []onePage{
		{name: "overview of a console that has just started", path: "/", cold: true},
		{name: "overview", path: "/"},
		{name: "in flight", path: "/inflight"},
		{name: "in flight, older than 5 minutes", path: "/inflight?older=5m"},
		{name: "needs a decision", path: "/lapsed"},
		{name: "records", path: "/records"},
		{name: "records, completed", path: "/records?state=completed"},
		{name: "records, lapsed", path: "/records?state=lapsed"},
		{name: "records, free", path: "/records?state=free"},
		{name: "records, older than 10 seconds", path: "/records?older=10s"},
		{name: "records, of a scope that has few", path: "/records?scope=" + rareName},
		{name: "records, of a scope that has none", path: "/records?scope=none"},
		{name: "records, of a route that has few", path: "/records?route=" + rareName},
		{name: "find, 12 digits of a slot", path: "/search?q=" + slot[:12]},
		{name: "find, 2 digits of a slot", path: "/search?q=" + slot[:2]},
		{name: "find, reference", path: "/search?q=" + p.engine.Ref(p.oldest.Key)},
		{name: "find, scope and key", form: url.Values{"scope": {rareName}, "key": {p.oldest.Key.ID}}},
		{name: "find, key alone", form: url.Values{"key": {p.oldest.Key.ID}}},
		{name: "one record", path: "/records/" + slot},
		{name: "audit trail", path: "/audit"},
		{name: "store", path: "/store"},
	}
}

// measure asks for a page again and again and returns the milliseconds, sorted.
func (p *pages) measure(ctx context.Context, one onePage) (took []float64, err error) {
	handler := p.console
	for range p.size.pages {
		if one.cold {
			if handler, err = p.fresh(); err != nil {
				return nil, err
			}
		}
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1"+one.path, nil)
		if one.form != nil {
			r = httptest.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1/search", strings.NewReader(one.form.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		w := httptest.NewRecorder()
		start := time.Now()
		handler.ServeHTTP(w, r)
		took = append(took, time.Since(start).Seconds()*1000)
		if w.Code >= http.StatusBadRequest {
			return nil, fmt.Errorf("got status %d", w.Code)
		}
	}
	slices.Sort(took)
	return took, nil
}

func (p *pages) section() section {
	t := table{columns: []string{"p50 ms", "p99 ms"}}
	for _, one := range p.all() {
		t.rows = append(t.rows, row{one.name, []cell{{p.p50[one.name], 2}, {p.p99[one.name], 2}}})
	}
	records := number(float64(p.size.large), 0)
	return section{
		title:  "The console over many records",
		method: fmt.Sprintf(consoleMethod, records, 2*lapsedAs, p.size.pages),
		tables: []table{t},
		goals:  []goal{atMost("console over "+records+" SQLite records: p99 of the slowest page ≤ 50 ms", p.worst, 50, 1)},
	}
}

const consoleMethod = `A file of %s completed records, and before them %d older ones that lapsed or are free, of which one has a scope and a route
that no other has. Each page is asked for %d times in a round, straight from the handler, one after the other. A page that has not looked
through all records says so, and leads on.`
