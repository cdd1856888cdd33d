package semel

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// MaxWait is the longest [Call.Wait]: load balancers and clients give up not much later,
// and a request that waits is an open connection.
const MaxWait = 10 * time.Second

// A room's pauses between two questions to the store, before their jitter.
const (
	firstPoll = 25 * time.Millisecond
	lastPoll  = 500 * time.Millisecond
)

// waiters are the calls that wait for the attempts of others to end. A call that waits holds
// no connection of the store.
type waiters struct {
	n     atomic.Int64
	mu    sync.Mutex
	rooms map[Slot]*room
	marks map[mark]*room // of those that hints may reach
}

// room is where the calls for one slot wait. One of them at a time asks the store, and tells
// all.
type room struct {
	n      int                  // of calls; guarded by the mutex of waiters
	turn   chan struct{}        // holds one token: who has it asks
	hurry  chan struct{}        // told when an attempt of this process has ended; of room for one
	latest atomic.Pointer[news] // what the store has said last

	mark   mark          // how hints name the slot; zero without them
	hinted chan struct{} // told that another process hints that it has ended; of room for one

	// What follows is of who has the turn.
	pause time.Duration // until the store is asked again
	asked time.Time     // when it was last
	heed  time.Duration // since then, before a hint is heeded
	told  time.Time     // when the other processes were last told that somebody waits
}

// news is an answer of the store.
type news struct {
	held  Record
	asked time.Time     // before the question was sent
	woke  Wake          // why it was
	next  chan struct{} // closed when there is a newer one
}

// enter counts a call in, unless too many wait.
func (w *waiters) enter(slot Slot, most, perKey int) *room {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.rooms[slot]
	if w.n.Load() >= int64(most) || r != nil && r.n >= perKey {
		return nil
	}
	if r == nil {
		r = &room{
			turn: make(chan struct{}, 1), hurry: make(chan struct{}, 1), hinted: make(chan struct{}, 1),
			pause: firstPoll, heed: firstPoll,
		}
		r.turn <- struct{}{}
		r.latest.Store(&news{next: make(chan struct{})})
		if w.rooms == nil {
			w.rooms = make(map[Slot]*room)
		}
		w.rooms[slot] = r
	}
	r.n++
	w.n.Add(1)
	return r
}

func (w *waiters) leave(slot Slot, r *room) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n.Add(-1)
	if r.n--; r.n == 0 {
		delete(w.rooms, slot)
		if w.marks[r.mark] == r {
			delete(w.marks, r.mark)
		}
	}
}

// named lets hints that name m reach r.
func (w *waiters) named(r *room, m mark) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.marks == nil {
		w.marks = make(map[mark]*room)
	}
	if r.mark != m { // or who has the turn is just reading it
		r.mark, w.marks[m] = m, r
	}
}

// wake lets the calls that wait for key ask at once: its attempt has ended here.
func (w *waiters) wake(key Key) {
	if w.n.Load() == 0 {
		return
	}
	slot := key.Slot()
	w.mu.Lock()
	defer w.mu.Unlock()
	if r := w.rooms[slot]; r != nil {
		nudge(r.hurry)
	}
}

// hint lets the calls that wait in the room of m ask soon: another process says that an
// attempt has ended.
func (w *waiters) hint(m mark) {
	if w.n.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if r := w.marks[m]; r != nil {
		nudge(r.hinted)
	}
}

func nudge(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // it has been told, and has not asked
	}
}

// tell publishes what the store has answered.
func (r *room) tell(held Record, asked time.Time, woke Wake) {
	before := r.latest.Swap(&news{held: held, asked: asked, woke: woke, next: make(chan struct{})})
	close(before.next)
}

// Waiting reports how many calls wait in this engine now, see [Call.Wait].
func (e *Engine) Waiting() int { return int(e.waiting.n.Load()) }

// vigil is one call that waits.
type vigil struct {
	asked  Reservation
	policy Policy
	// poll asks the store. After an error it is not called again: what was asked for may be
	// taken back.
	poll  func(context.Context) (Record, error)
	gives bool // back what a poll has reserved, so that the call has to ask for it

	room  *room
	hints *hinting // nil without them
	stop  <-chan struct{}
	end   <-chan time.Time
	held  Record    // what is known of the slot
	since time.Time // when held was known
	start time.Time // before the last question of its own
	polls int
	woke  Wake // why the store was asked for held
}

// wait waits, for no longer than d, for the end of the attempt that v.held shows, which
// is in flight. v.held is then what the slot holds, or what it held last: whatever ends the
// wait, the attempt is in flight as far as anybody knows. A store that fails ends it too,
// and that is no failure of the call, which a transport might let through unguarded.
func (e *Engine) wait(ctx context.Context, v *vigil, d time.Duration) {
	r := v.asked
	v.since, v.stop = time.Now(), e.stop
	ctx, end := e.observe(ctx, Op{Step: StepWait, Route: r.Route, key: r.Key})
	defer func() {
		ev := reserved(&v.held, r, false, nil)
		ev.Count, ev.Waits = v.polls, v.gives && ev.Kind == Reserved
		if ev.Woke = v.woke; !v.over() {
			ev.Woke = 0
		}
		end(ev)
	}()
	if own := FromContext(ctx); d <= 0 || own != nil && own.token == v.held.Token { // who waits for himself waits in vain
		return
	}
	slot := r.Key.Slot()
	v.room = e.waiting.enter(slot, e.cfg.MaxWaiters, e.cfg.MaxWaitersPerKey)
	if v.room == nil {
		return
	}
	defer e.waiting.leave(slot, v.room)
	if v.hints = e.hints; v.hints != nil {
		e.waiting.named(v.room, v.hints.mark(r.Key))
	}
	timer := time.NewTimer(min(d, MaxWait))
	defer timer.Stop()
	v.end = timer.C
	if err := v.keep(ctx); err != nil {
		e.cfg.Logger.WarnContext(ctx, "a call waits no longer because the store failed", "ref", e.Ref(r.Key), "err", err)
	}
}

// keep listens to what others hear from the store, and asks when it is its turn, until the
// slot is not in flight any more or the time is over. An error is the store's.
func (v *vigil) keep(ctx context.Context) error {
	for {
		seen := v.room.latest.Load()
		// An answer to what was asked before this call knew more may be older than that.
		if !seen.asked.Before(v.since) {
			if v.held, v.woke = seen.held, seen.woke; v.over() {
				return nil
			}
		}
		select {
		case <-v.room.turn:
			defer func() { v.room.turn <- struct{}{} }()
			return v.ask(ctx)
		case <-seen.next:
		case <-v.end:
			return nil
		case <-v.stop:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// isForAll reports whether what is held is what others would have been told too. Of a
// slot that a transaction works on without a row to be seen, a store tells everybody that it
// is in flight for the very request that he asks for, and without a token; and what a poll
// has reserved and given back is nobody's.
func (v *vigil) isForAll() bool {
	return v.held.Token != (Token{}) && !(v.gives && v.held.Token == v.asked.Token)
}

// over reports whether there is nothing more to wait for.
func (v *vigil) over() bool { return decide(v.held, v.asked, v.policy) != waits }

// ask asks the store until the slot is not in flight any more, at growing intervals, and at
// once when an attempt of this process has ended or another one hints that it has. It has the
// turn.
func (v *vigil) ask(ctx context.Context) error {
	for v.pause(ctx) {
		v.polls++
		v.start = time.Now()
		v.room.asked = v.start
		held, err := v.poll(ctx)
		if err != nil {
			return err
		}
		switch {
		case held.Token != v.held.Token: // another attempt, which may be as short as any
			v.room.pause, v.room.heed = firstPoll, firstPoll
		case v.woke == WakeHint: // it was false: the next one has to wait, or a storm of them is one of polls
			v.room.heed = min(2*v.room.heed, lastPoll)
		}
		v.held = held
		if v.isForAll() {
			v.room.tell(held, v.start, v.woke)
		}
		if v.over() {
			return nil
		}
	}
	return nil
}

// pause waits for the next question, and reports whether it is to be asked: nobody asks whose
// wait is over, as he might get the slot.
func (v *vigil) pause(ctx context.Context) bool {
	if v.hints != nil {
		v.hints.ask(v.room)
	}
	pause := v.room.pause/2 + rand.N(v.room.pause/2) //nolint:gosec // jitter
	due := time.Now().Add(pause)
	timer := time.NewTimer(pause)
	defer timer.Stop()
	woke, hinted := WakeTimer, v.room.hinted
	for v.woke = 0; v.woke == 0; {
		select {
		case <-hinted: // it makes the pause shorter, and no more
			woke, hinted = WakeHint, nil
			timer.Reset(min(time.Until(due), time.Until(v.room.asked.Add(v.room.heed))))
		case <-timer.C:
			v.room.pause = min(v.room.pause*3/2, lastPoll)
			v.woke = woke
		case <-v.room.hurry:
			v.woke = WakeLocal
		case <-v.end:
			return false
		case <-v.stop:
			return false
		case <-ctx.Done():
			return false
		}
	}
	select { // what came at the same time
	case <-v.end:
		return false
	case <-v.stop:
		return false
	case <-ctx.Done():
		return false
	default:
		return true
	}
}

// waitFor waits by reserves outside of any transaction. It returns what the slot holds then,
// and when that was asked for.
func (e *Engine) waitFor(ctx context.Context, r Reservation, policy Policy, d time.Duration, held Record) (Record, time.Time) {
	v := &vigil{asked: r, policy: policy, held: held, poll: func(ctx context.Context) (Record, error) {
		return e.reserve(ctx, r, question{step: StepPoll})
	}}
	e.wait(ctx, v, d)
	return v.held, v.start
}

// patiently is singly for a call that may wait. It does so between transactions: one that
// waits would hold a connection.
func (t *transacted) patiently(ctx context.Context) (TxOutcome, bool, error) {
	e, deadline := t.engine, time.Now().Add(min(t.call.Wait, MaxWait))
	for {
		t.started, t.claim, t.alone = time.Now(), nil, nil // nothing of a try before the wait counts
		out, ok, err := t.singly(ctx)
		left := max(time.Until(deadline), 0)
		if err != nil || !ok || out.Kind != InFlight || out.Lapsed || t.call.Wait <= 0 {
			t.call.Wait = min(t.call.Wait, left) // for the other mode
			return out, ok, err
		}
		v := &vigil{asked: t.asked, policy: Hold, held: out.Record, poll: t.poll, gives: true}
		e.wait(ctx, v, left)
		switch verdict := decide(v.held, t.asked, Hold); verdict {
		case waits:
			return out, true, nil
		case replays, refuses:
			out.Outcome, err = e.answer(ctx, verdict, v.held)
			return out, true, err
		case runs, asks, unknown, broken: // to be asked for in the transaction that needs it
		}
	}
}

// poll reserves in a transaction that is rolled back. It is tried once: a wait has no time for
// more.
func (t *transacted) poll(ctx context.Context) (held Record, err error) {
	_, _, err = t.once(ctx, func(ctx context.Context, x *tryTx) (TxOutcome, bool, error) {
		held, err = x.reserve(ctx, t.asked, question{step: StepPoll})
		return TxOutcome{}, true, err
	})
	return held, plain(err)
}
