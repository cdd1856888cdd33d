package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

// framework is a way by which requests come in, and Semel's adapter for it.
type framework struct {
	name string
	// open starts it, guarded in some way, and returns what does one request under a key.
	open func(ctx context.Context, w guarding) (do func(key string) error, end func() error, err error)
}

// guarding is how a framework's requests are guarded.
type guarding uint8

const (
	notGuarded guarding = iota
	byCore              // the core, or semelhttp, put into one handler by hand
	byAdapter
)

func (w guarding) String() string {
	return [...]string{notGuarded: "bare", byCore: "the core by hand", byAdapter: "the adapter"}[w]
}

func frameworks() []framework {
	return []framework{
		{"gin", openGin}, {"echo v5", openEcho}, {"echo v4", openEchoV4}, {"gRPC", openGRPC}, {"Watermill", openWatermill},
	}
}

// adaptersGroup measures what an adapter adds to the core's guarded request in its framework.
func adaptersGroup(ctx context.Context, e *env) (section, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	s := section{title: "Adapters", method: fmt.Sprintf(adaptersMethod, number(float64(e.size.traced), 0), adapterBlock)}
	cpu, ratio := series{}, series{}
	for round := range e.rounds {
		for _, f := range turned(round, frameworks()) {
			e.progress("%s, round %d of %d", f.name, round+1, e.rounds)
			if err := f.round(ctx, e.size.traced, cpu, ratio); err != nil {
				return section{}, fmt.Errorf("%s: %w", f.name, err)
			}
		}
	}
	t := table{columns: []string{"bare, CPU µs", "the core by hand, first", "the adapter, first", "÷ the core", "the core by hand, replay", "the adapter, replay", "÷ the core"}}
	for _, f := range frameworks() {
		t.rows = append(t.rows, row{f.name, []cell{
			{cpu[f.name+notGuarded.String()], 2},
			{cpu[f.name+byCore.String()], 2},
			{cpu[f.name+byAdapter.String()], 2},
			{ratio[f.name], 3},
			{cpu[f.name+byCore.String()+again], 2},
			{cpu[f.name+byAdapter.String()+again], 2},
			{ratio[f.name+again], 3},
		}})
		s.goals = append(s.goals, atMost(fmt.Sprintf("the adapter of %s: a first request < 1.10 of the core's in it", f.name), ratio[f.name], 1.10, 3))
	}
	s.tables = []table{t}
	return s, nil
}

// again ends the names of series of replays.
const again = ", replay"

// adapterBlock is how many requests follow one another before the next subject has its turn.
const adapterBlock = 200

const adaptersMethod = `A request of 1 KiB, answered with 1 KiB, on the memory store, on one core. Each framework has it three times: bare; with the core put
into its handler by hand, in the least code that guards and replays (gin and echo: semelhttp around the handler of one route; gRPC: an
interceptor that calls Engine.Begin and Claim.Complete with the marshalled message; Watermill: a middleware that does so with the payload); and with
Semel's adapter. gin and echo are called straight, without a network; gRPC over one loopback connection, client and server in this
process; Watermill by a router whose broker is a channel. The figures are CPU time of the process, collections included, %s requests of each
in a round. Blocks of %d follow one another, each subject first as often; a ratio is the sum of a round's blocks over the sum of the
other's. The adapters do what the code by hand does not: sizes, settling, refusals in the form of the framework, a stated fingerprint.`

// round measures all ways at once, on fresh stores.
func (f framework) round(ctx context.Context, n int, cpu, ratio series) (err error) {
	ways := []guarding{notGuarded, byCore, byAdapter}
	first, replay := make([]float64, len(ways)), make([]float64, len(ways))
	do := make([]func(string) error, len(ways))
	for i, w := range ways {
		one, end, err := f.open(ctx, w)
		if err != nil {
			return fmt.Errorf("%v: %w", w, err)
		}
		defer func() { err = errors.Join(err, end()) }()
		do[i] = one
	}
	key, used := []byte(keyTemplate), int64(0)
	block := func(i int, fresh bool) (float64, error) {
		before := ownTime()
		for range adapterBlock {
			if fresh {
				used++
				putKey(key, used)
			}
			if err := do[i](string(key)); err != nil {
				return 0, fmt.Errorf("%v: %w", ways[i], err)
			}
		}
		return float64((ownTime() - before).Microseconds()), nil
	}
	blocks := max(n/adapterBlock, 1)
	for pass := range blocks + 1 {
		for turn := range ways {
			i := (pass + turn) % len(ways)
			fresh, err := block(i, true)
			if err != nil {
				return err
			}
			same, err := block(i, false) // of the last key
			if err != nil {
				return err
			}
			if pass > 0 { // else it warms up
				first[i], replay[i] = first[i]+fresh, replay[i]+same
			}
		}
	}
	for i, w := range ways {
		cpu.add(f.name+w.String(), first[i]/float64(blocks*adapterBlock))
		cpu.add(f.name+w.String()+again, replay[i]/float64(blocks*adapterBlock))
	}
	ratio.add(f.name, first[byAdapter]/first[byCore])
	ratio.add(f.name+again, replay[byAdapter]/replay[byCore])
	return nil
}
