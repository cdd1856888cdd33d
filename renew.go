package semel

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"time"
)

// tick is the longest time between two looks at an attempt with this lease.
func tick(lease time.Duration) time.Duration { return lease / 6 }

// watch looks at every attempt at each tick of the shortest lease. It ends when none is
// left.
func (e *Engine) watch() {
	shortest := e.running.briefest()
	ticker := time.NewTicker(tick(shortest))
	defer ticker.Stop()
	for {
		if now := e.running.briefest(); now != shortest {
			shortest = now
			ticker.Reset(tick(shortest))
		}
		select {
		case <-e.stop:
			return
		case <-e.running.hurry: // a shorter lease: the next look comes sooner
		case <-ticker.C:
		}
		due, locked, idle := e.running.look(e.renewer != nil)
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
func (a *attempts) look(renewable bool) (due, locked []*Claim, idle bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	shortest := time.Duration(math.MaxInt64)
	var next *Claim
	for c := a.first; c != nil; c = next {
		next = c.attempt.next
		at := &c.attempt
		shortest = min(shortest, at.lease)
		owned := at.inTx && c.standing.Load() != open && c.standing.Load() != keptInTx
		switch {
		case elapsed(at.started, now) >= at.maxRun:
			a.end(c, ErrOverran)
		case at.leaseless:
		case !owned && at.over(now):
			a.end(c, ErrLost)
		case renewable && elapsed(at.asked, now) >= at.lease/3:
			at.asked = now
			if at.inTx {
				locked = append(locked, c)
			} else {
				due = append(due, c)
			}
		}
	}
	if a.first == nil {
		a.watched, a.shortest = false, 0
		return nil, nil, true
	}
	a.shortest = shortest
	return due, locked, false
}

// renewBatch is how many leases one call of the store renews.
const renewBatch = 1000

// renew renews the leases of due, those of one length together.
func (e *Engine) renew(due []*Claim) {
	slices.SortStableFunc(due, func(a, b *Claim) int { return cmp.Compare(a.attempt.lease, b.attempt.lease) })
	for len(due) > 0 {
		n := 1
		for n < min(len(due), renewBatch) && due[n].attempt.lease == due[0].attempt.lease {
			n++
		}
		e.renewSome(due[:n])
		due = due[n:]
	}
}

// renewSome renews attempts of one lease.
func (e *Engine) renewSome(claims []*Claim) {
	ctx, end := e.observe(e.quit, Op{Step: StepRenew})
	holders := make([]Holder, len(claims))
	for i, c := range claims {
		holders[i] = Holder{c.key, c.token}
	}
	sent := time.Now()
	gone, err := e.renewer.Renew(context.WithoutCancel(ctx), claims[0].attempt.lease, holders)
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
	if e.renewer != nil && e.running.overdue(c) {
		_, _ = await(e, e.cfg.ReserveTimeout, func() (struct{}, error) { // the attempt's own times tell how it went
			e.renewSome([]*Claim{c})
			return struct{}{}, nil
		}, nil)
	}
	e.running.leaveTx(c)
}

// overdue reports whether the lease of an attempt in a transaction is to be renewed
// before it can do without.
func (a *attempts) overdue(c *Claim) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := &c.attempt
	return at.listed && at.inTx && elapsed(at.renewed, time.Now()) >= at.lease/3
}

func (a *attempts) leaveTx(c *Claim) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := &c.attempt
	at.inTx, at.locked = false, time.Time{}
	if at.listed && at.over(time.Now()) {
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
