package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
	"github.com/semel-go/semel/store/sqlitestore"
)

// tracedStore is a store under requests that are observed.
type tracedStore struct {
	name  string
	block int  // requests between two changes of the subject
	share int  // of size.traced requests, one in so many
	cpu   bool // a request does not wait: what it costs is CPU
	open  func(dir string) (semel.Store, func() error, error)
}

func tracedStores() []tracedStore {
	return []tracedStore{
		{"memory", 50, 1, true, func(string) (semel.Store, func() error, error) {
			return memstore.New(memstore.Config{}), func() error { return nil }, nil
		}},
		{"SQLite", 10, 10, false, func(dir string) (semel.Store, func() error, error) {
			s, err := sqlitestore.Open(filepath.Join(dir, "db"), sqlitestore.Config{})
			if err != nil {
				return nil, nil, err
			}
			return s, s.Close, nil
		}},
	}
}

// tracingGroup measures what metrics and traces cost of a guarded request.
func tracingGroup(ctx context.Context, e *env) (section, error) {
	s := section{title: "Metrics and traces", method: fmt.Sprintf(tracingMethod, number(float64(e.size.traced), 0), number(float64(e.size.direct), 0))}
	direct, goals, err := tracingDirect(ctx, e)
	if err != nil {
		return section{}, err
	}
	for _, store := range tracedStores() {
		wall, slower, cpu := series{}, series{}, series{}
		for round := range e.rounds {
			e.progress("%s, round %d of %d", store.name, round+1, e.rounds)
			if err := store.round(ctx, e, wall, slower, cpu); err != nil {
				return section{}, fmt.Errorf("%s: %w", store.name, err)
			}
		}
		t := table{
			title:   fmt.Sprintf("Over loopback, on the store %s", store.name),
			columns: []string{"µs a request", "÷ not observed", "CPU µs a request", "CPU ÷ not observed"},
		}
		for _, w := range watches() {
			t.rows = append(t.rows, row{w.name, []cell{
				{wall[w.name], 1},
				{slower[w.name], 3},
				{cpu[w.name], 1},
				{cpu[w.name].over(cpu[notObserved]), 3},
			}})
		}
		s.tables = append(s.tables, t)
		for _, name := range []string{withMetrics, notSampled, tenthSampled, allSampled} {
			ratio, what := slower[name], "time"
			if store.cpu {
				ratio, what = cpu[name].over(cpu[notObserved]), "CPU"
			}
			s.goals = append(s.goals, atMost(fmt.Sprintf("%s, %s: ≤ 1.05 of the %s of a request that is not observed", store.name, name, what), ratio, 1.05, 3))
		}
	}
	s.tables = append(s.tables, direct)
	s.goals = append(s.goals, goals...)
	return s, nil
}

const tracingMethod = `A guarded first request (1 KiB in and out) over one kept-alive loopback connection, client and server in this process, %s of each row
and round on the memory store and a tenth of that on SQLite, which is durable before it answers. Blocks of 50 (SQLite: 10) requests of all
rows follow one another, each row first as often. The time is the median block, and its ratio the median of those to the block without an
observer of the same turn. CPU is the sum over all blocks, of the whole process, with collections and exports. CPU decides where a request
does nothing else, on the memory store, and time where it waits for a disk. The last table has the same without a network, %s requests straight into ServeHTTP on
one core, which shows what a row adds. Traced rows have a span of the request around the middleware, as an instrumentation of net/http makes
it, and adapter/semelotel as the observer; spans go through the SDK's batch processor, with its defaults, into an exporter that discards
them. The raw limit is that span with the same attributes and events, written by hand, and no observer: what the SDK takes for it whoever
asks. With Steps each step of the store has a span too, as all had before.`

// round measures every row once on fresh stores.
func (t tracedStore) round(ctx context.Context, e *env, wall, slower, cpu series) (err error) {
	dir, err := os.MkdirTemp(e.dir, "traced-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	all := make([]*observed, len(watches()))
	for i, w := range watches() {
		own := filepath.Join(dir, fmt.Sprint(i))
		if err := os.Mkdir(own, 0o755); err != nil {
			return err
		}
		o, err := t.serve(ctx, own, w)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		defer func() { err = errors.Join(err, o.close()) }()
		all[i] = o
	}
	n := max(e.size.traced/t.share/t.block, 1)
	for pass := range n + 1 {
		for i := range all { // each goes first as often
			if err := all[(pass+i)%len(all)].send(ctx, t.block, pass > 0); err != nil {
				return err
			}
		}
	}
	for i, w := range watches() {
		requests := float64(n * t.block)
		wall.add(w.name, all[i].wall.median()/float64(t.block))
		slower.add(w.name, all[i].wall.over(all[0].wall).median())
		cpu.add(w.name, all[i].cpu.Seconds()*1e6/requests)
	}
	return nil
}

// observed is a server whose requests are observed in some way, and a client of it.
type observed struct {
	pay     payments
	conn    net.Conn
	addr    string
	sent    int64
	wall    sample // µs of each block
	cpu     time.Duration
	closers []func() error
}

func (t tracedStore) serve(ctx context.Context, dir string, w watch) (o *observed, err error) {
	o = new(observed)
	defer func() {
		if err != nil {
			err = errors.Join(err, o.close())
		}
	}()
	store, closeStore, err := t.open(dir)
	if err != nil {
		return o, err
	}
	o.closers = append(o.closers, closeStore)
	h, end, err := w.handler(store, &o.pay)
	if err != nil {
		return o, err
	}
	o.closers = append(o.closers, func() error { return end(ctx) })
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return o, err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: loadTimeout}
	go func() { _ = server.Serve(l) }()
	o.closers = append(o.closers, server.Close)
	o.addr = l.Addr().String()
	o.conn, err = new(net.Dialer).DialContext(ctx, "tcp", o.addr)
	if err != nil {
		return o, err
	}
	o.closers = append(o.closers, o.conn.Close)
	return o, nil
}

// close ends everything, the last first.
func (o *observed) close() error {
	var errs []error
	for _, f := range slices.Backward(o.closers) {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

// send sends n requests with new keys. Those that do not count warm up.
func (o *observed) send(ctx context.Context, n int, counts bool) error {
	if err := o.conn.SetDeadline(time.Now().Add(loadTimeout)); err != nil {
		return err
	}
	var next atomic.Int64
	cpu, start := ownTime(), time.Now()
	err := load{addr: o.addr, requests: n, first: o.sent}.drive(ctx, o.conn, &next)
	wall := time.Since(start)
	cpu = ownTime() - cpu
	o.sent += int64(n)
	if counts {
		o.wall, o.cpu = append(o.wall, wall.Seconds()*1e6), o.cpu+cpu
	}
	if ran := o.pay.runs.Load(); err == nil && ran != o.sent {
		return fmt.Errorf("the handler ran %d times in %d requests", ran, o.sent)
	}
	return err
}

// tracingDirect measures the rows in this process, without a network, and judges what Semel
// adds by what the SDK takes.
func tracingDirect(ctx context.Context, e *env) (table, []goal, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	ns, allocs, bytes := series{}, series{}, series{}
	for round := range e.rounds {
		e.progress("without a network, round %d of %d", round+1, e.rounds)
		for _, w := range turned(round, watches()) {
			if err := ctx.Err(); err != nil {
				return table{}, nil, err
			}
			got, err := w.direct(ctx, e.size.direct)
			if err != nil {
				return table{}, nil, fmt.Errorf("%s: %w", w.name, err)
			}
			ns.add(w.name, got.cpu)
			allocs.add(w.name, got.allocs)
			bytes.add(w.name, got.bytes)
		}
	}
	t := table{title: "Without a network, on the store memory", columns: []string{"CPU ns a request", "allocations", "bytes"}}
	for _, w := range watches() {
		t.rows = append(t.rows, row{w.name, []cell{{ns[w.name], 0}, {whole(allocs[w.name]), 0}, {bytes[w.name], 0}}})
	}
	ratio := ns[allSampled].over(ns[rawSpan])
	extra := make(sample, len(whole(allocs[allSampled])))
	for i, n := range whole(allocs[allSampled]) {
		extra[i] = n - whole(allocs[rawSpan])[i]
	}
	return t, []goal{
		atMost("a traced request ≤ 1.10 of one with the bare span of the SDK", ratio, 1.10, 2),
		atMost("a traced request: ≤ 6 allocations beside those of the bare span", extra, 6, 0),
	}, nil
}

// direct measures first requests straight into ServeHTTP.
func (w watch) direct(ctx context.Context, n int) (c cost, err error) {
	var pay payments
	h, end, err := w.handler(memstore.New(memstore.Config{}), &pay)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, end(ctx)) }()
	d := &direct{pay: &pay, key: []byte(keyTemplate), serve: serveHTTP(h)}
	if err := d.check(d.nextKey(), 1); err != nil {
		return c, err
	}
	before := pay.runs.Load()
	c = measure(n, d.first)
	if got := pay.runs.Load() - before; got != int64(n) {
		return c, fmt.Errorf("the handler ran %d times in %d requests", got, n)
	}
	return c, nil
}

// handler guards pay and observes it. end must be called.
func (w watch) handler(store semel.Store, pay *payments) (h http.Handler, end func(context.Context) error, err error) {
	tools, err := w.open()
	if err != nil {
		return nil, nil, err
	}
	engine, err := semel.New(store, semel.Config{Observe: tools.observe, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, err
	}
	mw, err := semelhttp.New(engine, semelhttp.ByHeader("Authorization"), semelhttp.Config{Route: payRoute})
	if err != nil {
		return nil, nil, err
	}
	return tools.around(mw.Wrap(tools.within(pay))), func(ctx context.Context) error {
		return errors.Join(engine.Close(ctx), tools.end(ctx))
	}, nil
}

// requestSpan is what an instrumentation of net/http does, as little as it may.
func requestSpan(tracer trace.Tracer, next http.Handler) http.Handler {
	options := []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attribute.String("http.request.method", http.MethodPost)),
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, span := tracer.Start(r.Context(), payRoute, options...)
		next.ServeHTTP(w, r.WithContext(ctx))
		span.End()
	})
}

// byHand gives the span of the request what Semel does, in the same order.
func byHand(next http.Handler) http.Handler {
	about := []attribute.KeyValue{
		attribute.String("semel.outcome", "executed"), attribute.Bool("semel.replayed", false), attribute.String("semel.route", payRoute),
	}
	size := []attribute.KeyValue{attribute.Int("semel.bytes", jsonSize)}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		span := trace.SpanFromContext(r.Context())
		span.SetAttributes(about...)
		span.AddEvent("semel.claim")
		next.ServeHTTP(w, r)
		span.SetAttributes(size...)
		span.AddEvent("semel.commit")
	})
}

// nowhere is an exporter that discards.
type nowhere struct{}

func (nowhere) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (nowhere) Shutdown(context.Context) error                             { return nil }
