package semel

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	hintGap      = 5 * time.Millisecond // between two messages of hints
	hintQueue    = 1024                 // hints that are still to be sent; further ones are dropped
	hintTimeout  = 5 * time.Second      // of one message
	hintRecovery = time.Second          // after one that failed
	askAgain     = time.Second          // before a room tells again that somebody waits in it
)

// hinting passes on between the engines of one store who waits for which slot, and that its
// attempt has ended: so nobody tells what nobody wants to know. A hint makes a room ask the
// store, and changes nothing else: it may be lost, late, repeated or forged.
type hinting struct {
	engine *Engine
	bus    Messenger
	from   string // names this engine, which does not heed its own hints
	asked  askedFor
	start  sync.Once
	live   atomic.Bool // hints are heard
	failed atomic.Bool // and that they are not was logged

	listening context.Context //nolint:containedctx // ends when the engine is closed
	end       context.CancelFunc

	mu      sync.Mutex
	queue   []hint
	sending bool
	unsent  bool // the last message was not sent, and that was logged; of who sends
}

// newHinting returns nil when nobody wants hints.
func newHinting(e *Engine) (*hinting, error) {
	if !e.cfg.Hints {
		return nil, nil //nolint:nilnil // no hints are no failure
	}
	bus, ok := As[Messenger](e.store)
	if !ok {
		return nil, errors.New("semel: Config.Hints is set, and the store is no Messenger: it carries nothing between processes")
	}
	token := NewToken()
	h := &hinting{engine: e, bus: bus, from: token.String()[:hintFrom]}
	h.listening, h.end = context.WithCancel(e.quit)
	return h, nil
}

// Hearing reports whether the hints of other processes are heard now, see [Config.Hints].
func (e *Engine) Hearing() bool { return e.hints != nil && e.hints.live.Load() }

// ended tells who waits for key that its attempt has ended.
func (e *Engine) ended(key Key) {
	e.waiting.wake(key)
	if h := e.hints; h != nil && h.asked.any() {
		if m := h.mark(key); h.asked.has(m, time.Now()) {
			h.send(hint{hintEnded, m})
		}
	}
}

// mark is how hints name a slot.
func (h *hinting) mark(key Key) (m mark) {
	copy(m[:], h.engine.Ref(key))
	return m
}

// begin begins to listen, once.
func (h *hinting) begin() {
	h.start.Do(func() { h.engine.goOwned(h.listen) })
}

// listen hears hints until the engine is closed, or the store says that it never will.
func (h *hinting) listen() {
	log := h.engine.cfg.Logger
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		began := time.Now()
		_, err := guarded(func() (struct{}, error) {
			return struct{}{}, h.bus.Listen(h.listening, h.ready, h.hear)
		})
		if h.live.Swap(false) && time.Since(began) >= maxPause { // else it only looked as if
			pause = firstPause
		}
		if h.engine.isClosed() {
			return
		}
		if !h.failed.Swap(true) {
			log.WarnContext(h.listening, "hints of other processes are not heard; who waits asks at intervals", "err", err)
		}
		if errors.Is(err, errors.ErrUnsupported) {
			return
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-h.engine.stop:
			timer.Stop()
			return
		}
	}
}

func (h *hinting) ready() {
	h.live.Store(true)
	if h.failed.Swap(false) {
		h.engine.cfg.Logger.InfoContext(h.listening, "hints of other processes are heard again")
	}
}

// hear heeds the hints of another engine.
func (h *hinting) hear(text string) {
	from, hints, ok := readHints(text)
	if !ok || from == h.from {
		return
	}
	for _, each := range hints {
		switch each.kind {
		case hintAsks:
			h.asked.add(each.slot, time.Now())
		case hintEnded:
			h.engine.waiting.hint(each.slot)
		}
	}
}

// ask tells the other engines, once in a while, that somebody waits in r. The caller has the
// turn of r.
func (h *hinting) ask(r *room) {
	if now := time.Now(); h.live.Load() && now.Sub(r.told) >= askAgain {
		r.told = now
		h.send(hint{hintAsks, r.mark})
	}
}

// send sends a hint soon, with others, or never.
func (h *hinting) send(one hint) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.queue) < hintQueue {
		h.queue = append(h.queue, one)
	}
	if !h.sending {
		h.sending = h.engine.goOwned(h.drain)
	}
}

// drain sends what is queued, and ends when there is nothing more.
func (h *hinting) drain() {
	for batch := h.next(); len(batch) > 0; batch = h.next() {
		ctx, cancel := context.WithTimeout(h.engine.quit, hintTimeout)
		_, err := guarded(func() (struct{}, error) { return struct{}{}, h.bus.Send(ctx, writeHints(h.from, batch)) })
		cancel()
		gap := hintGap
		if err != nil {
			gap = hintRecovery
			if !h.unsent {
				h.engine.cfg.Logger.WarnContext(h.listening, "hints are not sent; who waits asks at intervals", "err", err)
			}
		}
		h.unsent = err != nil
		if err != nil && h.engine.isClosed() { // Close does not wait for what nobody may hear
			h.drop()
			return
		}
		timer := time.NewTimer(gap)
		select {
		case <-timer.C:
		case <-h.engine.stop: // the last ones, at once
			timer.Stop()
		}
	}
}

// drop forgets what is queued. The sending is over.
func (h *hinting) drop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.queue, h.sending = nil, false
}

// next takes what goes into one message. Without anything the sending is over.
func (h *hinting) next() []hint {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := min(len(h.queue), hintBatch)
	batch := slices.Clone(h.queue[:n])
	h.queue = slices.Delete(h.queue, 0, n)
	h.sending = n > 0
	return batch
}

const (
	maxAsked  = 4096            // slots that other processes wait for
	askedLife = 2 * time.Second // for which each is remembered at least, and twice that at most
)

// askedFor are the slots that other engines have told that they wait for, in two
// generations.
type askedFor struct {
	n          atomic.Int64
	mu         sync.Mutex
	young, old map[mark]struct{}
	born       time.Time // when the young ones began
}

func (a *askedFor) any() bool { return a.n.Load() > 0 }

func (a *askedFor) add(m mark, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.age(now)
	if len(a.young) < maxAsked {
		a.young[m] = struct{}{}
	}
	a.n.Store(int64(len(a.young) + len(a.old)))
}

func (a *askedFor) has(m mark, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.age(now)
	_, young := a.young[m]
	_, old := a.old[m]
	return young || old
}

// age forgets what is too old. The caller holds mu.
func (a *askedFor) age(now time.Time) {
	switch life := now.Sub(a.born); {
	case life >= 2*askedLife:
		a.young, a.old, a.born = make(map[mark]struct{}), nil, now
	case life >= askedLife:
		a.young, a.old, a.born = make(map[mark]struct{}), a.young, now
	default:
		return
	}
	a.n.Store(int64(len(a.young) + len(a.old)))
}
