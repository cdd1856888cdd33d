package semel_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/semel-go/semel"
)

// begin sends one request and judges the answer.
func (w *world) begin(p *proc, h *history) {
	c := h.call
	c.Fingerprint = semel.Fingerprint{1}
	if w.rand.IntN(5) == 0 {
		c.Fingerprint = semel.Fingerprint{2}
	}
	before, sent := h.last(), time.Now()
	out, err := p.engine.Begin(w.t.Context(), c)
	w.tell("%s begins %s, request %d: %v lapsed=%v %v", p.name, c.Key.ID, c.Fingerprint[0], out.Kind, out.Lapsed, err)
	if err != nil {
		w.seen["failed"]++
		if !p.faulty {
			w.broken("a healthy store failed: %v", err)
		}
		h.ghosts[c.Fingerprint] = time.Now()
		return
	}
	if out.Lapsed {
		w.seen["in-flight lapsed"]++
	} else {
		w.seen[out.Kind.String()]++
	}
	kept := h.stillKept()
	if kept && c.Fingerprint != h.keptFor && out.Kind != semel.Conflict {
		w.broken("I5: another request got %v from a kept slot, want conflict", out.Kind)
	}
	if before.mayRun() {
		want := semel.InFlight
		if before.print != c.Fingerprint {
			want = semel.Conflict
		}
		if out.Kind != want || out.Lapsed {
			w.broken("I1, I5: beside an attempt that runs: got %v, lapsed %v, want %v", out.Kind, out.Lapsed, want)
		}
	}
	switch out.Kind {
	case semel.Reserved:
		w.granted(p, h, c, sent, out.Claim)
	case semel.Replay:
		w.replayed(h, c.Fingerprint, out.Record.Response)
	case semel.InFlight:
		if kept {
			w.broken("I2: a kept response is not replayed")
		}
		if out.Lapsed && c.Lapsed == semel.Rerun {
			w.broken("L1: a lapsed attempt is not run again")
		}
	case semel.Conflict:
		if !h.knowsAnother(c.Fingerprint) {
			w.broken("I5: a conflict with nobody")
		}
	}
}

// knowsAnother reports whether another request was ever granted or may hold the slot.
func (h *history) knowsAnother(print semel.Fingerprint) bool {
	for _, g := range h.grants {
		if g.print != print {
			return true
		}
	}
	for ghost := range h.ghosts {
		if ghost != print {
			return true
		}
	}
	return false
}

// granted judges that an attempt may run: nothing is kept, and what came before
// is neither forgotten nor repeated.
func (w *world) granted(p *proc, h *history, c semel.Call, sent time.Time, claim *semel.Claim) {
	before := h.last()
	switch {
	case h.stillKept():
		w.broken("I2: a kept slot runs again")
	case before != nil && claim.Fence() <= before.claim.Fence():
		w.broken("I6: fence %d after %d", claim.Fence(), before.claim.Fence())
	case h.over():
		h.effects = 0
	case c.Lapsed == semel.Hold:
		w.broken("I7: a silent rerun under hold")
	case c.Lapsed == semel.Recover && h.effects > 0:
		w.broken("I7: an effect is repeated under recover")
	default:
		w.seen["rerun"]++
	}
	h.kept = nil
	h.grants = append(h.grants, &grant{proc: p, claim: claim, ctx: claim.Attach(w.t.Context()), print: c.Fingerprint, began: sent})
	for print, at := range h.ghosts {
		if time.Since(at) > 10*time.Second { // no wire is that slow
			delete(h.ghosts, print)
		}
	}
}

// replayed judges the bytes: those of the one completion, if it is known, and
// otherwise of one whose client could not be told whether it is stored (I3).
func (w *world) replayed(h *history, print semel.Fingerprint, r semel.Response) {
	if h.kept != nil {
		if !sameResponse(r, *h.kept) || print != h.keptFor {
			w.broken("I3: got a replay of %s, want %s", show(r), show(*h.kept))
		}
		return
	}
	for _, g := range h.grants {
		if g.effect != nil && sameResponse(r, *g.effect) && g.print == print {
			h.keep(g, r)
			return
		}
	}
	w.broken("I3: a replay of %s, which no attempt of this request has tried to keep", show(r))
}

// end lets an attempt end as a handler does: it stops when it is told to, except
// under hold, where it may come late.
func (w *world) end(h *history, g *grant) {
	n := w.rand.IntN(10)
	late := g.ctx.Err() != nil && h.call.Lapsed != semel.Hold
	switch {
	case g.settled: // a bug in the handler
		wantError(w.t, g.claim.Complete(w.t.Context(), answer("twice")), semel.ErrSettled)
	case n < 7 && !late:
		w.complete(h, g)
	case n < 8 && !late:
		g.settled, g.released = true, true
		err := g.claim.Release(w.t.Context())
		w.tell("%s releases %s: %v", g.proc.name, h.call.Key.ID, err)
		if err == nil && (g != h.last() || g.gone) {
			w.broken("I4: a stale release worked")
		}
	default:
		g.settled = true
		g.claim.Abandon(w.t.Context())
		w.tell("%s abandons %s", g.proc.name, h.call.Key.ID)
	}
}

func (w *world) complete(h *history, g *grant) {
	r := answer(fmt.Sprintf("%s by fence %d", h.call.Key.ID, g.claim.Fence()))
	stale := g != h.last() || g.gone
	g.settled = true
	if !stale {
		h.effects++
		g.effect = &r
	}
	err := g.claim.Complete(w.t.Context(), r)
	w.tell("%s completes %s: %v", g.proc.name, h.call.Key.ID, err)
	switch {
	case err == nil && stale:
		w.broken("I4: a stale completion worked")
	case err == nil:
		w.seen["stored"]++
		h.keep(g, r)
	case errors.Is(err, semel.ErrLost):
		w.seen["lost"]++
		if !stale && len(h.ghosts) == 0 {
			w.broken("an attempt whose slot nobody has taken lost it")
		}
	case errors.Is(err, semel.ErrNotStored):
		w.seen["not stored"]++
		if !g.proc.faulty {
			w.broken("a healthy store failed: %v", err)
		}
	default:
		w.broken("got %v, want ErrLost or ErrNotStored", err)
	}
}

// confirm asks for an attempt what became of its slot, and judges the answer.
func (w *world) confirm(h *history, g *grant) {
	out, err := g.claim.Confirm(w.t.Context())
	w.tell("%s confirms %s: %v lapsed=%v %v", g.proc.name, h.call.Key.ID, out.Kind, out.Lapsed, err)
	if err != nil || out.Kind == semel.InFlight {
		h.ghosts[g.print] = time.Now() // the question may have reserved an empty slot
	}
	switch {
	case err != nil:
		if !g.proc.faulty {
			w.broken("a healthy store failed: %v", err)
		}
	case out.Kind == semel.Replay:
		w.replayed(h, g.print, out.Record.Response)
	case h.stillKept() && g.print == h.keptFor:
		w.broken("I2: got %v of a kept slot, want the response", out.Kind)
	case out.Kind == semel.Reserved && g.gone:
		w.broken("I4: a claim that was taken away says that it holds its slot")
	case out.Kind != semel.Reserved && g.mayRun():
		w.broken("I1: got %v of an attempt that runs, want reserved", out.Kind)
	}
}

// resolve lets an operator end a lapsed attempt. He knows the ledger.
func (w *world) resolve(h *history) {
	g := h.last()
	if g == nil || h.call.Lapsed != semel.Hold {
		return
	}
	r := semel.Resolution{Key: h.call.Key, Fence: g.claim.Fence(), Margin: semel.DefaultMargin, Retention: shortRetention}
	if g.effect != nil {
		r.Response = g.effect
	}
	err := w.store.Resolve(w.t.Context(), r)
	w.tell("operator resolves %s, effect %v: %v", h.call.Key.ID, g.effect != nil, err)
	if err != nil {
		return
	}
	w.seen["resolved"]++
	if g.mayRun() {
		w.broken("an attempt that runs was resolved")
	}
	g.gone = r.Response == nil
	if r.Response != nil {
		h.keep(g, *r.Response)
		h.until = time.Now().Add(shortRetention)
	}
}

// settleDown heals every wire, lets the background finish, and asks once more.
func (w *world) settleDown() {
	for _, p := range w.procs {
		p.wire.heal()
		p.faulty = false
	}
	w.tell("all wires are healed")
	time.Sleep(time.Minute)
	for _, h := range w.slots {
		for _, p := range w.procs { // L4
			w.begin(p, h)
		}
	}
}
