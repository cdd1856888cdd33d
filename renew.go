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
	mu      sync.Mutex
	first   *Claim
	watched bool // the watching goroutine runs
	closed  bool // nothing is listed any more
}

// attempt is a claim's place in the list. attempts.mu guards it, except for
// started and maxRun, which do not change.
type attempt struct {
	prev, next *Claim
	listed     bool
	started    time.Time // before the reserve was sent
	maxRun     time.Duration
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
	if !a.watched {
		a.watched = e.goOwned(e.watch)
	}
	return true
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

// tick is the time between two looks at the running attempts.
func (e *Engine) tick() time.Duration { return e.cfg.Lease / 6 }

// watch looks at every attempt at each tick. It ends when none is left.
func (e *Engine) watch() {
	ticker := time.NewTicker(e.tick())
	defer ticker.Stop()
	for {
		select {
		case <-e.stop:
			return
		case <-ticker.C:
		}
		due, locked, idle := e.running.look(e.cfg.Lease, e.tick(), e.renewer != nil)
		if idle {
			return
		}
		// Apart, because a store may wait for the rows that transactions hold.
		for _, some := range [][]*Claim{due, locked} {
			if len(some) > 0 && !e.goOwned(func() { e.renew(some) }) {
				return
			}
		}
	}
}

// look ends the attempts that have run out of time and returns those to renew;
// locked are those whose rows their own transactions may hold. idle is true, and
// the watch is over, when there is no attempt.
//
// An owner that could not renew stops before its lease ends, at the last look
// that comes in time; the store's margin comes on top. A renewal that hangs is
// not waited for: after a third of a lease the next one is sent beside it. An
// attempt in a transaction of the engine's needs no lease: its lock is one, and
// without it the commit fails.
func (a *attempts) look(lease, tick time.Duration, renewable bool) (due, locked []*Claim, idle bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	var next *Claim
	for c := a.first; c != nil; c = next {
		next = c.attempt.next
		at := &c.attempt
		owned := at.inTx && c.standing.Load() != open && c.standing.Load() != keptInTx
		switch {
		case elapsed(at.started, now) >= at.maxRun:
			a.end(c, ErrOverran)
		case at.leaseless:
		case !owned && at.unleased(now)+tick >= lease:
			a.end(c, ErrLost)
		case renewable && elapsed(at.asked, now) >= lease/3:
			at.asked = now
			if at.inTx {
				locked = append(locked, c)
			} else {
				due = append(due, c)
			}
		}
	}
	if a.first == nil {
		a.watched = false
		return nil, nil, true
	}
	return due, locked, false
}

// renewBatch is how many leases one call of the store renews.
const renewBatch = 1000

func (e *Engine) renew(due []*Claim) {
	for len(due) > 0 {
		n := min(len(due), renewBatch)
		e.renewSome(due[:n])
		due = due[n:]
	}
}

func (e *Engine) renewSome(claims []*Claim) {
	ctx, end := e.observe(e.quit, Op{Step: StepRenew})
	holders := make([]Holder, len(claims))
	for i, c := range claims {
		holders[i] = Holder{c.key, c.token}
	}
	sent := time.Now()
	gone, err := e.renewer.Renew(context.WithoutCancel(ctx), e.cfg.Lease, holders)
	end(Event{Count: len(claims), Lost: len(gone), Err: err})
	missed, lost := e.running.note(claims, sent, gone, err)
	e.endAgain(ctx, claims)
	if missed > 0 {
		e.cfg.Logger.WarnContext(ctx, "leases are not renewed", "attempts", missed, "err", err)
	}
	for _, c := range lost {
		e.cfg.Logger.WarnContext(ctx, "the lease of a running attempt is lost",
			"ref", e.Ref(c.key), "fence", c.fence)
	}
}

// endAgain ends leases that were ended while a renewal was under way, which may have come
// after that and undone it. Nobody waits for it but Close.
func (e *Engine) endAgain(ctx context.Context, renewed []*Claim) {
	for _, c := range renewed {
		if c.standing.Load() == abandoned {
			e.goOwned(func() { e.abandon(ctx, c) })
		}
	}
	if left := e.running.closedUnder(renewed); len(left) > 0 {
		_, _ = e.renewer.Renew(context.WithoutCancel(ctx), lastLease, left) // else they end by themselves
	}
}

// closedUnder returns those of claims whose attempts the engine's end has ended.
func (a *attempts) closedUnder(claims []*Claim) (left []Holder) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range claims {
		if c.attempt.ended == ErrClosed && c.endsWithEngine() { //nolint:errorlint // the very value
			left = append(left, Holder{c.key, c.token})
		}
	}
	return left
}

// endsWithEngine reports whether a lease is ended when the engine closes: not that of an
// attempt that is just being completed, as its effect has happened, nor of one in a
// transaction, which needs none. The caller holds the attempts' mutex.
func (c *Claim) endsWithEngine() bool { return c.runs() && !c.attempt.inTx && !c.attempt.leaseless }

// note writes down the answer to a renewal, ends the attempts that lost their
// slot and returns them. missed is how many attempts have no lease to count on.
//
// A row that was locked all the time is, most likely, locked by the attempt's own
// transaction, which is as good as a lease: nobody can take it over. If it is a
// take-over after all, the next renewal says so, and LockIn or CompleteIn before it.
func (a *attempts) note(claims []*Claim, sent time.Time, gone []Token, err error) (missed int, lost []*Claim) {
	isGone := setOf(gone)
	some, partly := errors.AsType[*UnrenewedError](err)
	var isMissed map[Token]bool
	if partly {
		isMissed = setOf(some.Tokens)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range claims {
		at := &c.attempt
		switch {
		case !at.listed: // it ended meanwhile
		case partly && isMissed[c.token] && at.inTx:
			if sent.After(at.locked) {
				at.locked = sent
			}
		case err != nil && (!partly || isMissed[c.token]): // the next look tries again, or ends the attempt
			at.asked = at.renewed
			missed++
		case isGone[c.token] && !c.runs():
			a.unlist(c) // it is being completed, and "lost" just says that it has been
		case isGone[c.token]:
			a.end(c, ErrLost)
			lost = append(lost, c)
		case sent.After(at.renewed): // an older renewal may answer later
			at.renewed = sent
		}
	}
	return missed, lost
}

// enterTx notes that a transaction has locked the row of c's slot.
func (a *attempts) enterTx(c *Claim) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c.attempt.inTx = true
}

func (a *attempts) inTx(c *Claim) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return c.attempt.inTx || c.attempt.leaseless
}

// leaveTx notes that the transaction was rolled back: the attempt may go on without
// one. The lock has stood for the lease, perhaps for long after that was over, so
// the lease is renewed first; who cannot have it any more must stop (I1).
func (e *Engine) leaveTx(c *Claim) {
	if e.renewer != nil && e.running.overdue(c, e.cfg.Lease) {
		_, _ = await(e, e.cfg.ReserveTimeout, func() (struct{}, error) { // the attempt's own times tell how it went
			e.renewSome([]*Claim{c})
			return struct{}{}, nil
		}, nil)
	}
	e.running.leaveTx(c, e.cfg.Lease, e.tick())
}

// overdue reports whether the lease of an attempt in a transaction is to be renewed
// before it can do without.
func (a *attempts) overdue(c *Claim, lease time.Duration) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := &c.attempt
	return at.listed && at.inTx && elapsed(at.renewed, time.Now()) >= lease/3
}

func (a *attempts) leaveTx(c *Claim, lease, tick time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := &c.attempt
	at.inTx, at.locked = false, time.Time{}
	if at.listed && at.unleased(time.Now())+tick >= lease {
		a.end(c, ErrLost)
	}
}

func setOf(tokens []Token) map[Token]bool {
	set := make(map[Token]bool, len(tokens))
	for _, t := range tokens {
		set[t] = true
	}
	return set
}

// lastLease is what an attempt is left with when the engine closes. It is not
// zero, so that the margin still stands between a handler that is slow to stop
// and its successor.
const lastLease = time.Millisecond

// abandonAll ends every attempt that still runs, when the engine closes.
func (e *Engine) abandonAll(ctx context.Context) {
	var left []Holder
	e.running.mu.Lock()
	e.running.closed = true
	for c := e.running.first; c != nil; c = e.running.first {
		e.running.end(c, ErrClosed)
		if c.endsWithEngine() {
			left = append(left, Holder{c.key, c.token})
		}
	}
	e.running.mu.Unlock()
	if e.renewer == nil {
		return
	}
	for len(left) > 0 {
		n := min(len(left), renewBatch)
		if _, err := e.renewer.Renew(ctx, lastLease, left[:n]); err != nil {
			e.cfg.Logger.WarnContext(ctx, "attempts are held until their leases end", "attempts", n, "err", err)
		}
		left = left[n:]
	}
}
