package semel_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// The property test drives three processes with random commands and random
// faults of their wires, in virtual time, and holds every answer against a
// specification that knows nothing of the engine: it only remembers what the
// clients were told and which effects have happened.
const (
	propertyRuns     = 200
	propertyCommands = 80
	shortRetention   = 3 * time.Minute
)

func TestRandomCommandsKeepTheInvariants(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(propertyRuns) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed)
			for range propertyCommands {
				w.step()
			}
			w.settleDown()
			if t.Failed() {
				t.Logf("seed %d:\n%s", seed, strings.Join(w.story, "\n"))
			}
			for what, n := range w.seen {
				seen[what] += n
			}
		})
		if t.Failed() {
			return
		}
	}
	// A run in which nothing happens proves nothing.
	for _, what := range []string{
		"reserved", "replay", "in-flight", "in-flight lapsed", "conflict", "failed",
		"stored", "not stored", "lost", "resolved", "rerun", "recovered",
	} {
		if seen[what] < propertyRuns/30 {
			t.Errorf("%q was seen %d times in %d runs, want it often", what, seen[what], propertyRuns)
		}
	}
}

// world is the processes, the slots they fight for, and what was seen so far.
type world struct {
	t     *testing.T
	rand  *rand.Rand
	start time.Time
	store *memstore.Store
	procs []*proc
	slots []*history
	seen  map[string]int
	story []string
}

type proc struct {
	name   string
	engine *semel.Engine
	wire   *wire
	faulty bool
}

// history is the specification's memory of one slot.
type history struct {
	call    semel.Call
	grants  []*grant
	ghosts  map[semel.Fingerprint]time.Time // of requests that failed, but may hold the slot unseen
	effects int                             // in this life of the slot

	kept    *semel.Response // what every replay must say, once it is known
	keptFor semel.Fingerprint
	until   time.Time // kept is replayed at least until then
}

// grant is one attempt that a client was told to run.
type grant struct {
	proc     *proc
	claim    *semel.Claim
	ctx      context.Context //nolint:containedctx // what the attempt runs under
	print    semel.Fingerprint
	began    time.Time
	effect   *semel.Response // what it did, and tried to keep
	settled  bool
	released bool
	gone     bool // an operator took the slot from it
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{
		t: t, rand: rand.New(rand.NewPCG(seed, 1)), start: time.Now(),
		store: memstore.New(memstore.Config{}), seen: map[string]int{},
	}
	for i, policy := range []semel.Policy{semel.Hold, semel.Hold, semel.Rerun, semel.Recover} {
		h := &history{call: call(fmt.Sprintf("order-%d", i), ""), ghosts: map[semel.Fingerprint]time.Time{}}
		h.call.Lapsed = policy
		if policy == semel.Recover {
			h.call.Recover = func(context.Context, semel.Record) (semel.Recovery, error) {
				w.seen["recovered"]++
				return h.ledger(), nil
			}
		}
		w.slots = append(w.slots, h)
	}
	for i := range 3 {
		e, wire := process(t, w.store, semel.Config{MaxRun: time.Minute, Retention: shortRetention})
		w.procs = append(w.procs, &proc{name: fmt.Sprintf("process %d", i), engine: e, wire: wire})
	}
	return w
}

// ledger knows the effects, as a provider would.
func (h *history) ledger() semel.Recovery {
	if h.effects == 0 || h.over() {
		return semel.Recovery{Verdict: semel.NotExecuted}
	}
	for _, g := range slices.Backward(h.grants) {
		if g.effect != nil {
			return semel.Recovery{Verdict: semel.Executed, Response: *g.effect}
		}
	}
	return semel.Recovery{}
}

func (h *history) last() *grant {
	if len(h.grants) == 0 {
		return nil
	}
	return h.grants[len(h.grants)-1]
}

// mayRun reports whether an attempt has neither ended nor been told to stop.
func (g *grant) mayRun() bool { return g != nil && !g.settled && g.ctx.Err() == nil }

// over reports whether the slot may forget what came before.
func (h *history) over() bool {
	g := h.last()
	return g == nil || g.released || g.gone ||
		(g.effect != nil || h.kept != nil) && !time.Now().Before(g.began.Add(shortRetention))
}

func (h *history) stillKept() bool { return h.kept != nil && time.Now().Before(h.until) }

func (h *history) keep(g *grant, r semel.Response) {
	h.kept, h.keptFor, h.until = &r, g.print, g.began.Add(shortRetention)
}

func (w *world) tell(format string, args ...any) {
	w.story = append(w.story, fmt.Sprintf("%10v ", time.Since(w.start).Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

func (w *world) broken(format string, args ...any) {
	w.t.Helper()
	w.tell("BROKEN: "+format, args...)
	w.t.Errorf(format, args...)
}

func (w *world) step() {
	p, h := w.procs[w.rand.IntN(len(w.procs))], w.slots[w.rand.IntN(len(w.slots))]
	switch n := w.rand.IntN(100); {
	case n < 45:
		w.begin(p, h)
	case n < 68:
		if len(h.grants) > 0 { // the last attempt, or one before
			w.end(h, h.grants[max(0, len(h.grants)-1-w.rand.IntN(2))])
		}
	case n < 74:
		if g := h.last(); g != nil {
			w.confirm(h, g)
		}
	case n < 81:
		w.changeWire(p)
	case n < 86:
		w.resolve(h)
	case n < 88:
		n, err := w.store.Purge(w.t.Context(), 10)
		w.tell("purge: %d, %v", n, err)
	default:
		pauses := []time.Duration{time.Millisecond, time.Second, 9 * time.Second, lapse, time.Minute, shortRetention}
		d := pauses[w.rand.IntN(len(pauses))]
		w.tell("sleep %v", d)
		time.Sleep(d)
	}
}

// changeWire gives a process another kind of network.
func (w *world) changeWire(p *proc) {
	kind, seed := w.rand.IntN(6), w.rand.Uint64()
	dice := func(s semel.Step) *rand.Rand {
		return rand.New(rand.NewPCG(seed, uint64(p.wire.count(s))<<8|uint64(s)))
	}
	wait := func(s semel.Step) error {
		time.Sleep(time.Duration(dice(s).Int64N(int64(4 * time.Second))))
		return nil
	}
	fail := func(side int) func(semel.Step) error {
		return func(s semel.Step) error {
			if dice(s).IntN(3) == side {
				return errCut
			}
			return nil
		}
	}
	p.faulty = true
	switch kind {
	case 0, 1, 2:
		p.faulty = false
		p.wire.heal()
	case 3:
		p.wire.cut()
	case 4: // every third step is refused, every third answer is lost
		p.wire.set(fail(0), fail(1))
	case 5: // up to four seconds on either way
		p.wire.set(wait, wait)
	}
	w.tell("%s has wire %d", p.name, kind)
}
