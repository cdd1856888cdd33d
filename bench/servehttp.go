package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"time"

	"github.com/valyala/fasthttp"
)

// direct calls a subject in this process, without a network: what is measured is
// the subject and as little else as possible.
type direct struct {
	pay   *payments
	serve func(key string) (status, size int)
	close func()
	key   []byte
	used  int64
	kept  []string // keys that were answered, for replays
}

// keptKeys is how many keys a replay goes through.
const keptKeys = 1024

// newDirect opens a subject and proves that it does what it says.
func newDirect(s subject) (*direct, error) {
	d := &direct{pay: new(payments), close: func() {}, key: []byte(keyTemplate)}
	if s.fiber != nil {
		d.serve = serveFiber(s.newFiber(d.pay).Handler())
	} else {
		h, closeFn, err := s.http(d.pay)
		if err != nil {
			return nil, err
		}
		d.close, d.serve = closeFn, serveHTTP(h)
	}
	for range keptKeys {
		d.kept = append(d.kept, d.nextKey())
		if err := d.check(d.kept[len(d.kept)-1], 1); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	if s.replays {
		for _, key := range d.kept {
			if err := d.check(key, 0); err != nil {
				return nil, fmt.Errorf("%s, again: %w", s.name, err)
			}
		}
	}
	return d, nil
}

// check serves one request, which must run the handler so many times.
func (d *direct) check(key string, runs int64) error {
	before := d.pay.runs.Load()
	if status, size := d.serve(key); status != http.StatusCreated || size != jsonSize {
		return fmt.Errorf("got status %d and %d bytes, want %d and %d", status, size, http.StatusCreated, jsonSize)
	}
	if got := d.pay.runs.Load() - before; got != runs {
		return fmt.Errorf("the handler ran %d times, want %d", got, runs)
	}
	return nil
}

// nextKey makes a key that was not used before. Its one allocation of 48 bytes
// is the harness's part of a first request.
func (d *direct) nextKey() string {
	d.used++
	putKey(d.key, d.used)
	return string(d.key)
}

func (d *direct) first() { d.serve(d.nextKey()) }

func (d *direct) replay() {
	d.used++
	d.serve(d.kept[d.used%keptKeys])
}

// serveHTTP calls h with one request and one writer, used again and again.
func serveHTTP(h http.Handler) func(key string) (status, size int) {
	r := httptest.NewRequest(http.MethodPost, payPath, nil)
	keys := []string{""}
	r.Header = http.Header{
		"Authorization":  {payScope},
		"Content-Type":   jsonTypes,
		"Content-Length": {fmt.Sprint(jsonSize)},
		"User-Agent":     {"bench/1"},
		keyHeader:        keys,
	}
	var body memoryBody
	w := &discard{header: make(http.Header)}
	return func(key string) (int, int) {
		keys[0] = key
		body.rest = payRequest
		r.Body, r.ContentLength = &body, jsonSize
		clear(w.header)
		w.status, w.size = 0, 0
		h.ServeHTTP(w, r)
		return w.status, w.size
	}
}

// memoryBody has no method but Read, as the body of a real request.
type memoryBody struct{ rest []byte }

func (b *memoryBody) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *memoryBody) Close() error { return nil }

// discard counts what a handler writes.
type discard struct {
	header       http.Header
	status, size int
}

func (w *discard) Header() http.Header { return w.header }
func (w *discard) WriteHeader(s int)   { w.status = s }
func (w *discard) Write(p []byte) (int, error) {
	w.size += len(p)
	return len(p), nil
}

func serveFiber(h fasthttp.RequestHandler) func(key string) (status, size int) {
	var ctx fasthttp.RequestCtx
	ctx.Init(&fasthttp.Request{}, nil, nil)
	ctx.Request.Header.SetMethod(http.MethodPost)
	ctx.Request.Header.Set("Authorization", payScope)
	ctx.Request.Header.SetContentType(jsonType)
	ctx.Request.Header.SetUserAgent("bench/1")
	ctx.Request.SetRequestURI(payPath)
	ctx.Request.SetBody(payRequest)
	return func(key string) (int, int) {
		ctx.Request.Header.Set(keyHeader, key)
		ctx.Response.Reset()
		ctx.ResetUserValues()
		h(&ctx)
		return ctx.Response.StatusCode(), len(ctx.Response.Body())
	}
}

// cost is what one operation takes.
type cost struct{ ns, cpu, allocs, bytes float64 }

// measure runs f n times. Garbage that was there before is collected first; the
// collections that f causes are f's own.
func measure(n int, f func()) cost {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start, cpu := time.Now(), ownTime()
	for range n {
		f()
	}
	ns, cpuNS := time.Since(start).Nanoseconds(), (ownTime() - cpu).Nanoseconds()
	runtime.ReadMemStats(&after)
	return cost{
		ns:     float64(ns) / float64(n),
		cpu:    float64(cpuNS) / float64(n),
		allocs: float64(after.Mallocs-before.Mallocs) / float64(n),
		bytes:  float64(after.TotalAlloc-before.TotalAlloc) / float64(n),
	}
}

// serveHTTPGroup measures requests inside one process, on one core.
func serveHTTPGroup(ctx context.Context, e *env) (section, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	ns, cpu, allocs, bytes := series{}, series{}, series{}, series{}
	add := func(name string, c cost) {
		ns.add(name, c.ns)
		cpu.add(name, c.cpu)
		allocs.add(name, c.allocs)
		bytes.add(name, c.bytes)
	}
	for round := range e.rounds {
		e.progress("round %d of %d", round+1, e.rounds)
		for _, s := range turned(round, subjects()) {
			if err := ctx.Err(); err != nil {
				return section{}, err
			}
			first, replay, err := s.costs(e.size.direct)
			if err != nil {
				return section{}, err
			}
			add(s.name+", first", first)
			add(s.name+", replay", replay)
		}
	}
	t := table{columns: []string{"ns a request", "CPU ns a request", "allocations", "bytes"}}
	for _, s := range subjects() {
		for _, name := range []string{s.name + ", first", s.name + ", replay"} {
			t.rows = append(t.rows, row{name, []cell{{ns[name], 0}, {cpu[name], 0}, {whole(allocs[name]), 0}, {bytes[name], 0}}})
		}
	}
	first, replay := "Semel, first", "Semel, replay"
	return section{
		title:  "ServeHTTP in memory",
		method: fmt.Sprintf(serveHTTPMethod, number(float64(e.size.direct), 0)),
		tables: []table{t},
		goals: []goal{
			atMost("`ServeHTTP` first ≤ 3.0 µs", ns[first].scale(1e-3), 3.0, 2),
			atMost("`ServeHTTP` first ≤ 8 allocations", whole(allocs[first]), 8, 0),
			atMost("`ServeHTTP` replay ≤ 1.6 µs", ns[replay].scale(1e-3), 1.6, 2),
			atMost("`ServeHTTP` replay ≤ 3 allocations", whole(allocs[replay]), 3, 0),
		},
	}, nil
}

const serveHTTPMethod = `POST of 1 KiB of JSON, answered with 1 KiB, straight into ServeHTTP (fiber: app.Handler() with a fasthttp.RequestCtx),
with a request and a writer that are used again. One core, %s requests of each row in a round, a fresh store for each. Semel
has its defaults: scope by Authorization, fingerprint over method, path, media type and body, lease, memory store. The naive
middleware and fiber's have neither scope nor fingerprint nor lease. In a *first* row the harness makes a new key string: its
time, its one allocation and its 48 bytes are in every *first* row, and the bare handler's rows show what they are. *Replay*
goes through 1,024 kept keys; a bare handler has nothing to replay and runs again. Allocations are rounded down, as go test does. The CPU time is the process's, collections included; it is less than the
wall time only when something else wanted the core.`

// costs measures a subject on a fresh store: replays before first requests, so
// that the records of those are not in the way.
func (s subject) costs(n int) (first, replay cost, err error) {
	d, err := newDirect(s)
	if err != nil {
		return first, replay, err
	}
	defer d.close()
	runs := d.pay.runs.Load()
	replay = measure(n, d.replay)
	if got := d.pay.runs.Load() - runs; s.replays && got != 0 {
		return first, replay, fmt.Errorf("%s: the handler ran %d times in replays", s.name, got)
	}
	runs = d.pay.runs.Load()
	first = measure(n, d.first)
	if got := d.pay.runs.Load() - runs; got != int64(n) {
		return first, replay, fmt.Errorf("%s: the handler ran %d times in %d first requests", s.name, got, n)
	}
	return first, replay, nil
}
