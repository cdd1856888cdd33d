package proof

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/semel-go/semel"
)

// worker is one client. It holds several claims at once and comes back to some
// of them too late: then it is a zombie.
type worker struct {
	tape
	load  Load
	keys  *keyring
	rng   *rand.Rand
	left  *atomic.Int64
	held  []claim
	stale []semel.Reservation
	tally *Tally
	lost  bool // the last answer was
}

// claim is a reservation and when its owner means to come back to it.
type claim struct {
	semel.Reservation
	due   time.Time
	renew int // how often to renew first
}

// run makes steps until the time or the budget is over.
func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil && w.left.Add(-1) >= 0 {
		time.Sleep(time.Duration(w.rng.Int64N(int64(w.load.Lease / 8))))
		if !w.settleDue(ctx) {
			w.act(ctx)
		}
		w.wait(ctx)
	}
}

// act makes one step that is not about a claim at hand.
func (w *worker) act(ctx context.Context) {
	key, retention, seen := w.keys.pick(w.rng.IntN(1 << 20))
	switch roll := w.rng.IntN(100); {
	case roll < 70:
		w.claim(ctx, w.ask(key, retention))
	case roll < 82:
		w.haunt()
	case roll < 92:
		w.heard(key, w.look(key))
	case seen.Fence != 0:
		w.operate(seen, retention)
	}
}

var requests = [2]semel.Fingerprint{semel.FingerprintOf([]byte("one")), semel.FingerprintOf([]byte("another"))}

// ask is a reservation by a new attempt. One in eight is for another request.
func (w *worker) ask(key semel.Key, retention time.Duration) semel.Reservation {
	r := semel.Reservation{
		Key: key, Fingerprint: requests[0], Token: semel.NewToken(), Lease: w.load.Lease,
		Retention: retention, TakeOver: w.rng.IntN(4) > 0, Owner: fmt.Sprintf("worker-%d", w.worker),
	}
	if w.rng.IntN(8) == 0 {
		r.Fingerprint = requests[1]
	}
	if w.rng.IntN(2) == 0 {
		r.Margin = w.load.Margin
	}
	return r
}

// claim reserves, repeats the reservation when its answer is lost, and decides
// what becomes of it. A repetition is a step of its own.
func (w *worker) claim(ctx context.Context, r semel.Reservation) {
	a := w.heard(r.Key, w.reserve(r))
	for try := 0; a.Unknown && try < 2; try++ {
		w.stale = append(w.stale, r) // it may be ours without our knowing
		if w.rng.IntN(3) == 0 {
			return
		}
		w.wait(ctx)
		a = w.heard(r.Key, w.reserve(r))
	}
	if !a.mine(Call{Token: r.Token}) {
		return
	}
	w.tally.grants.Add(1)
	if a.Held.Lapses > 0 {
		w.tally.takeOvers.Add(1)
	}
	lease := float64(w.load.Lease)
	c := claim{Reservation: r, due: time.Now()}
	switch roll := w.rng.IntN(100); {
	case roll < 25: // finish at once
	case roll < 55: // come back late
		c.due = c.due.Add(time.Duration(lease * (1 + 2*w.rng.Float64())))
	case roll < 70: // live on renewals
		c.due, c.renew = c.due.Add(w.load.Lease/2), 1+w.rng.IntN(3)
	case roll < 80: // give up, and say so
		w.heard(r.Key, w.tape.renew(r, 0))
		w.stale = append(w.stale, r)
		return
	default: // never come back, unless as a ghost
		w.stale = append(w.stale, r)
		return
	}
	w.held = append(w.held, c)
}

// settleDue ends, or renews, one claim whose time has come.
func (w *worker) settleDue(ctx context.Context) bool {
	for i, c := range w.held {
		if time.Now().Before(c.due) {
			continue
		}
		w.held = append(w.held[:i], w.held[i+1:]...)
		if c.renew > 0 {
			c.renew--
			c.due = time.Now().Add(w.load.Lease / 2)
			if a := w.heard(c.Key, w.tape.renew(c.Reservation, w.load.Lease)); a.Refusal == nil {
				w.held = append(w.held, c)
			}
			return true
		}
		w.settle(ctx, c.Reservation)
		return true
	}
	return false
}

// settle completes, or now and then releases, and repeats what was lost.
func (w *worker) settle(ctx context.Context, r semel.Reservation) {
	w.stale = append(w.stale, r)
	end := w.complete
	if w.rng.IntN(4) == 0 {
		end = func(r semel.Reservation, _ semel.Response) Answer { return w.release(r) }
	}
	with := w.answer(r)
	a := w.heard(r.Key, end(r, with))
	if a.Refusal != nil {
		w.tally.zombies.Add(1)
	}
	for try := 0; a.Unknown && try < 2; try++ {
		w.wait(ctx)
		a = w.heard(r.Key, end(r, with))
	}
}

// haunt repeats a step of an attempt that is long over.
func (w *worker) haunt() {
	if len(w.stale) == 0 {
		return
	}
	// The newest are the ones whose keys are still hot.
	i := len(w.stale) - 1 - w.rng.IntN(min(len(w.stale), 6))
	r := w.stale[i]
	switch roll := w.rng.IntN(10); {
	case roll < 4:
		w.heard(r.Key, w.complete(r, w.answer(r)))
	case roll < 6:
		w.heard(r.Key, w.release(r))
	case roll < 8:
		w.heard(r.Key, w.tape.renew(r, w.load.Lease))
	default:
		w.heard(r.Key, w.reserve(r))
	}
}

// operate resolves what was seen: mostly lapsed, sometimes running.
func (w *worker) operate(seen semel.Record, retention time.Duration) {
	r := semel.Resolution{Key: seen.Key, Fence: seen.Fence, Retention: retention}
	if w.rng.IntN(2) == 0 {
		with := w.answer(semel.Reservation{Token: seen.Token})
		r.Response = &with
	}
	if a := w.heard(seen.Key, w.resolve(r)); !a.Unknown && a.Refusal == nil {
		w.tally.resolved.Add(1)
	}
}

// answer is a response that nobody else gives, of up to 6 KiB.
func (w *worker) answer(r semel.Reservation) semel.Response {
	said := fmt.Sprintf("%v said by %d, %d; ", r.Token, w.worker, w.rng.Uint64())
	return semel.Response{
		Status: 200 + w.rng.IntN(100), Header: []byte(said),
		Body: []byte(strings.Repeat(said, w.rng.IntN(100))),
	}
}

// heard notes an answer.
func (w *worker) heard(key semel.Key, a Answer) Answer {
	w.keys.note(key, a)
	w.tally.steps.Add(1)
	w.tally.repeated.Add(int64(a.again))
	if a.Unknown {
		w.tally.unknown.Add(1)
		w.lost = true
	}
	if a.Held.State == semel.StateCompleted {
		w.tally.replays.Add(1)
	}
	return a
}

// wait returns when the store can be reached again, so that an outage does not
// fill the history with answers that say nothing.
func (w *worker) wait(ctx context.Context) {
	for w.lost && ctx.Err() == nil {
		try, cancel := context.WithTimeout(ctx, time.Second)
		_, err := within(w.patience, func() (struct{}, error) { return struct{}{}, w.store.Ping(try) })
		cancel()
		w.lost = err != nil
		if w.lost {
			time.Sleep(w.load.Lease / 2)
		}
	}
}
