package semel

import (
	"context"
	"sync"
	"time"
)

// attempts are the claims whose attempt runs, in a list threaded through them,
// so that beginning and ending an attempt allocates nothing. One goroutine
// watches them while there are any.
type attempts struct {
	mu      sync.Mutex
	first   *Claim
	watched bool // the watching goroutine runs
	closed  bool // nothing is listed any more

	shortest time.Duration // lease that is watched
	hurry    chan struct{} // told when there is a shorter one; of room for one
}

// attempt is a claim's place in the list. attempts.mu guards it, except for
// started, maxRun and lease, which do not change.
type attempt struct {
	prev, next *Claim
	listed     bool
	started    time.Time // before the reserve was sent
	maxRun     time.Duration
	lease      time.Duration
	renewed    time.Time       // before the last good reserve or renewal was sent
	locked     time.Time       // before the last renewal was sent that met the lock of a transaction
	asked      time.Time       // when the last renewal was sent, answered or not
	ended      error           // why the attempt must stop; nil while it may run
	context    *attemptContext // while it is attached
	inTx       bool            // a transaction may hold the row of its slot
	leaseless  bool            // nobody sees it before it commits: see SingleTx
}

// unleased is for how long nothing has protected the attempt anew: neither a
// reserve or a renewal nor the lock of its transaction.
func (at *attempt) unleased(now time.Time) time.Duration {
	since := elapsed(at.renewed, now)
	if !at.locked.IsZero() {
		since = min(since, elapsed(at.locked, now))
	}
	return since
}

// over reports whether the attempt must stop because its lease may be over before the
// next look.
func (at *attempt) over(now time.Time) bool { return at.unleased(now)+tick(at.lease) >= at.lease }

// elapsed is the larger of the monotonic and the wall clock's progress: the
// monotonic clock stands still while a virtual machine is suspended
// (golang/go#24595), and the lease does not.
func elapsed(since, now time.Time) time.Duration {
	return max(now.Sub(since), now.Round(0).Sub(since.Round(0)))
}

// add lists the attempt of a fresh claim. It reports false when the engine was
// closed meanwhile: nobody would watch the attempt, so it may not run.
func (a *attempts) add(e *Engine, c *Claim) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return false
	}
	c.attempt.listed = true
	c.attempt.next = a.first
	if a.first != nil {
		a.first.attempt.prev = c
	}
	a.first = c
	if a.shortest == 0 || c.attempt.lease < a.shortest {
		a.shortest = c.attempt.lease
		if a.watched {
			select {
			case a.hurry <- struct{}{}:
			default: // it has been told, and has not looked
			}
		}
	}
	if !a.watched {
		a.watched = e.goOwned(e.watch)
	}
	return true
}

// briefest returns the shortest lease that is watched.
func (a *attempts) briefest() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.shortest
}

func (a *attempts) remove(c *Claim) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unlist(c)
}

// unlist takes an attempt off the list, if it is on. The caller holds mu.
func (a *attempts) unlist(c *Claim) {
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

// count returns how many attempts are listed, and how long the oldest has run.
func (a *attempts) count(now time.Time) (n int, oldest time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for c := a.first; c != nil; c = c.attempt.next {
		n++
		oldest = max(oldest, now.Sub(c.attempt.started))
	}
	return n, oldest
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

// end stops an attempt. It is not listed any more: a claim that is forgotten
// leaves nothing behind. The caller holds mu.
func (a *attempts) end(c *Claim, cause error) {
	a.unlist(c)
	c.attempt.ended = cause
	if c.attempt.context != nil {
		c.attempt.context.end(cause)
	}
}

// ended returns why the attempt must stop, or nil.
func (a *attempts) ended(c *Claim) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return c.attempt.ended
}
