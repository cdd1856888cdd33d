package semel

import (
	"context"
	"errors"
	"sync"
	"time"
)

// attempts are the claims whose attempt runs, in a list threaded through them,
// so that beginning and ending an attempt allocates nothing. One goroutine
// watches them while there are any.
type attempts struct {
	mu       sync.Mutex
	first    *Claim
	watched  bool // the watching goroutine runs
	renewing bool // a renewal is under way
}

// attempt is a claim's place in the list. attempts.mu guards it, except for
// started and maxRun, which do not change.
type attempt struct {
	prev, next *Claim
	listed     bool
	started    time.Time // before the reserve was sent
	maxRun     time.Duration
	renewed    time.Time       // before the last good reserve or renewal was sent
	ended      error           // why the attempt must stop; nil while it may run
	context    *attemptContext // while it is attached
}

// left is how much of the hard cap is left.
func (a *attempt) left() time.Duration { return a.maxRun - elapsed(a.started) }

// elapsed is the larger of the monotonic and the wall clock's progress: the
// monotonic clock stands still while a virtual machine is suspended
// (golang/go#24595), and the lease does not.
func elapsed(since time.Time) time.Duration {
	now := time.Now()
	return max(now.Sub(since), now.Round(0).Sub(since.Round(0)))
}

func (a *attempts) add(e *Engine, c *Claim) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c.attempt.listed = true
	c.attempt.next = a.first
	if a.first != nil {
		a.first.attempt.prev = c
	}
	a.first = c
	if !a.watched {
		a.watched = e.goOwned(e.watch)
	}
}

func (a *attempts) remove(c *Claim) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := &c.attempt
	if !at.listed {
		return
	}
	at.listed = false
	if at.prev != nil {
		at.prev.attempt.next = at.next
	} else {
		a.first = at.next
	}
	if at.next != nil {
		at.next.attempt.prev = at.prev
	}
	at.prev, at.next = nil, nil
}

// attach makes ctx the context to end with the attempt; the one before, if any, ends.
func (a *attempts) attach(c *Claim, ctx *attemptContext) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if before := c.attempt.context; before != nil {
		before.end(context.Canceled)
	}
	c.attempt.context = ctx
	if ctx != nil && c.attempt.ended != nil {
		ctx.end(c.attempt.ended)
	}
}

// end stops an attempt. The caller holds mu.
func (a *attempt) end(cause error) {
	if a.ended != nil {
		return
	}
	a.ended = cause
	if a.context != nil {
		a.context.end(cause)
	}
}

// watch looks at every attempt each sixth of a lease. It ends when none is left.
func (e *Engine) watch() {
	tick := e.cfg.Lease / 6
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-e.stop:
			return
		case <-ticker.C:
		}
		due, idle := e.running.look(e.cfg.Lease, tick, e.renewer != nil)
		if idle {
			return
		}
		if len(due) > 0 && !e.goOwned(func() { e.renew(due) }) {
			return
		}
	}
}

// look ends the attempts that have run out of time and returns those to renew.
// idle is true, and the watch is over, when there is no attempt.
//
// An owner that could not renew stops before its lease ends, at the last look
// that comes in time; the store's margin comes on top.
func (a *attempts) look(lease, tick time.Duration, renewable bool) (due []*Claim, idle bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.first == nil {
		a.watched = false
		return nil, true
	}
	for c := a.first; c != nil; c = c.attempt.next {
		at := &c.attempt
		since := elapsed(at.renewed)
		switch {
		case at.ended != nil:
		case at.left() <= 0:
			at.end(ErrOverran)
		case since+tick > lease:
			at.end(ErrLost)
		case renewable && since >= lease/3 && !a.renewing:
			due = append(due, c)
		}
	}
	a.renewing = a.renewing || len(due) > 0
	return due, false
}

// renewBatch is how many leases one call of the store renews.
const renewBatch = 1000

func (e *Engine) renew(due []*Claim) {
	defer func() {
		e.running.mu.Lock()
		defer e.running.mu.Unlock()
		e.running.renewing = false
	}()
	for len(due) > 0 {
		n := min(len(due), renewBatch)
		e.renewSome(due[:n])
		due = due[n:]
	}
}

func (e *Engine) renewSome(claims []*Claim) {
	ctx, end := e.observe(context.WithoutCancel(e.quit), StepRenew, Key{})
	holders := make([]Holder, len(claims))
	for i, c := range claims {
		holders[i] = Holder{c.record.Key, c.record.Token}
	}
	sent := time.Now()
	lost, err := e.renewer.Renew(ctx, e.cfg.Lease, holders)
	end(Event{Count: len(claims), Lost: len(lost), Err: err})
	if err != nil { // the next look tries again, or ends the attempts
		e.cfg.Logger.WarnContext(ctx, "leases are not renewed", "attempts", len(claims), "err", err)
		return
	}
	gone := make(map[Token]bool, len(lost))
	for _, t := range lost {
		gone[t] = true
	}
	e.running.mu.Lock()
	defer e.running.mu.Unlock()
	for _, c := range claims {
		switch {
		case !c.attempt.listed: // it ended meanwhile, and "lost" may just say that
		case gone[c.record.Token]:
			c.attempt.end(ErrLost)
			e.cfg.Logger.WarnContext(ctx, "the lease of a running attempt is lost",
				"ref", e.Ref(c.record.Key), "fence", c.record.Fence)
		default:
			c.attempt.renewed = sent
		}
	}
}

// abandonAll ends every attempt that still runs, when the engine closes.
func (e *Engine) abandonAll(ctx context.Context) {
	var left []Holder
	e.running.mu.Lock()
	for c := e.running.first; c != nil; c = c.attempt.next {
		c.attempt.end(ErrClosed)
		left = append(left, Holder{c.record.Key, c.record.Token})
	}
	e.running.mu.Unlock()
	if e.renewer == nil {
		return
	}
	for len(left) > 0 {
		n := min(len(left), renewBatch)
		if _, err := e.renewer.Renew(ctx, 0, left[:n]); err != nil && !errors.Is(err, ErrLost) {
			e.cfg.Logger.WarnContext(ctx, "attempts are held until their leases end", "attempts", n, "err", err)
		}
		left = left[n:]
	}
}
