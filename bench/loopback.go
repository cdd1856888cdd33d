package main

import (
	"context"
	"fmt"
	"math/bits"
	"os"
	"runtime"
)

// loopbackGroup measures whole requests over a socket. The server has one core
// and the load another.
func loopbackGroup(ctx context.Context, e *env) (section, error) {
	core, restore := splitCores()
	defer restore()
	rate, cpu := series{}, series{}
	for round := range e.rounds {
		e.progress("round %d of %d", round+1, e.rounds)
		for _, s := range turned(round, subjects()) {
			if err := s.loopback(ctx, e.size, core, rate, cpu); err != nil {
				return section{}, fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	t := table{columns: []string{"requests/s", "of its bare server", "server CPU µs a request"}}
	base := ""
	for _, s := range subjects() {
		if !s.replays {
			base = s.name
			t.rows = append(t.rows, row{s.name, []cell{{rate[base], 0}, {}, {cpu[base], 1}}})
			continue
		}
		for _, name := range []string{s.name + ", first", s.name + ", replay"} {
			t.rows = append(t.rows, row{name, []cell{{rate[name], 0}, {rate[name].over(rate[base]), 2}, {cpu[name], 1}}})
		}
	}
	where := "The server has core 0 to itself and the load another."
	if core == 0 {
		where = "The cores could not be divided between server and load."
	}
	bare := rate["net/http bare"]
	return section{
		title:  "Over loopback",
		method: fmt.Sprintf(loopbackMethod, where, connections, number(float64(e.size.loopback), 0)),
		tables: []table{t},
		goals: []goal{
			atLeast("loopback, first ≥ 0.80 of the bare handler", rate["Semel, first"].over(bare), 0.80),
			atLeast("loopback, replay ≥ 0.90 of the bare handler", rate["Semel, replay"].over(bare), 0.90),
		},
	}, nil
}

const loopbackMethod = `The same workload over kept-alive HTTP/1.1 connections to a server in a process of its own, with GOMAXPROCS=1. %s
The load comes from sockets without an HTTP client, %d connections, %s requests of each row in a round after a warm-up, a
fresh server for each. Every answer is checked, and the server tells how often its handler ran: once for every first
request, never for a replay. A ratio is to the bare server of the same kind. The CPU time is the server process's.`

// splitCores keeps the first core for servers and puts this process on the
// others. It returns 0 when that cannot be done.
func splitCores() (server cpuSet, restore func()) {
	all, err := affinity()
	if err != nil || bits.OnesCount64(uint64(all)) < 2 {
		return 0, func() {}
	}
	procs := runtime.GOMAXPROCS(1)
	restore = func() {
		_ = pin(os.Getpid(), all) // it could be done once, so it can again
		runtime.GOMAXPROCS(procs)
	}
	server = all & -all
	if pin(os.Getpid(), all&^server) != nil {
		restore()
		return 0, func() {}
	}
	return server, restore
}

// loopback measures one subject once, on a fresh server.
func (s subject) loopback(ctx context.Context, n size, core cpuSet, rate, cpu series) error {
	p, err := startChild(ctx, "subject "+s.name, 1)
	if err != nil {
		return err
	}
	defer p.stop()
	if core != 0 {
		if err := pin(p.pid(), core); err != nil {
			return err
		}
	}
	d := driver{server: p, counter: p.addr, warmup: n.warmup, rate: rate, cpu: cpu}
	if !s.replays {
		return d.first(ctx, s.name, n.loopback)
	}
	if err := d.replay(ctx, s.name+", replay", n.loopback, s.http != nil); err != nil {
		return err
	}
	return d.first(ctx, s.name+", first", n.loopback)
}

// driver measures one server with first requests and replays.
type driver struct {
	server    *process // whose CPU time is counted
	counter   string   // the address that tells how often the handler ran
	warmup    int
	used      int64 // keys
	rate, cpu series
}

// first measures requests with new keys.
func (d *driver) first(ctx context.Context, name string, n int) error {
	if _, err := d.load(ctx, load{requests: d.warmup}, d.warmup); err != nil {
		return err
	}
	return d.measure(ctx, name, load{requests: n}, n)
}

// replay measures requests with keys that were answered before. marked says
// that the server marks its replays.
func (d *driver) replay(ctx context.Context, name string, n int, marked bool) error {
	kept := d.used
	if _, err := d.load(ctx, load{requests: keptKeys}, keptKeys); err != nil {
		return err
	}
	again := load{requests: d.warmup, first: kept, keys: keptKeys, replayed: marked}
	if _, err := d.load(ctx, again, 0); err != nil {
		return err
	}
	again.requests = n
	return d.measure(ctx, name, again, 0)
}

func (d *driver) measure(ctx context.Context, name string, l load, runs int) error {
	before, err := cpuTime(d.server.pid())
	if err != nil {
		return err
	}
	perSecond, err := d.load(ctx, l, runs)
	if err != nil {
		return err
	}
	after, err := cpuTime(d.server.pid())
	if err != nil {
		return err
	}
	d.rate.add(name, perSecond)
	d.cpu.add(name, (after-before).Seconds()*1e6/float64(l.requests))
	return nil
}

// load sends the requests, during which the handler must run so many times.
func (d *driver) load(ctx context.Context, l load, runs int) (perSecond float64, err error) {
	before, err := runsOf(ctx, d.counter)
	if err != nil {
		return 0, err
	}
	l.addr, l.conns = d.server.addr, connections
	if l.keys == 0 {
		l.first = d.used
		d.used += int64(l.requests)
	}
	if perSecond, err = l.run(ctx); err != nil {
		return 0, err
	}
	after, err := runsOf(ctx, d.counter)
	if err != nil {
		return 0, err
	}
	if got := after - before; got != int64(runs) {
		return 0, fmt.Errorf("the handler ran %d times in %d requests, want %d", got, l.requests, runs)
	}
	return perSecond, nil
}
