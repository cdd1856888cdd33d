package semel

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"
)

// Disposition is how an attempt ends.
type Disposition uint8

// The dispositions. The zero value is the safe one: forgetting holds the key.
const (
	// Unknown: what happened is not known. The key stays held and lapses.
	Unknown Disposition = iota
	// Keep: the response is the outcome; it is stored and replayed.
	Keep
	// Free: nothing happened; the key may run again.
	Free
)

// String returns "hold", "keep" or "release", the words of the wire.
func (d Disposition) String() string {
	switch d {
	case Unknown:
		return "hold"
	case Keep:
		return "keep"
	case Free:
		return "release"
	}
	return "invalid"
}

// Claim is the right of one attempt to end the slot it reserved. End it with
// exactly one of Complete, CompleteIn, Release and Abandon (claim_tx.go has what
// belongs to transactions). A claim that is
// forgotten holds its key: its lease lapses and the policy applies.
// All methods are safe for concurrent use.
type Claim struct {
	engine      *Engine
	key         Key
	fingerprint Fingerprint
	token       Token
	fence       int64
	attempts    int
	retention   time.Duration
	route       string
	attempt     attempt
	room        attemptContext         // for the first Attach
	standing    atomic.Uint32          // open, abandoned, ...
	blameless   bool                   // none before it is unknown, and it has promised to have no effect yet
	deferred    atomic.Bool            // no effect yet, by the promise of Call.DeferEffects
	unlocked    atomic.Bool            // the last LockIn has failed
	txEnded     atomic.Bool            // nobody can tell what a transaction of the attempt has done
	doubted     atomic.Bool            // so it is, and that is not written down yet
	wish        atomic.Uint32          // the disposition that Settle was told, plus one
	why         atomic.Pointer[string] // what Doubt was told; nil before
}

// The standings of a claim: whether its methods have ended it, and how.
const (
	open uint32 = iota
	abandoned
	kept
	keptInTx // by CompleteIn, which only the caller's commit makes true
	freed
	lapsing    // given up, and its lease stands: what is tried in the background needs the time
	managed    // by Engine.InTx, which alone ends it
	committing // the same, while its transaction is being committed
)

// runs reports whether the attempt is neither ended nor just being completed.
func (c *Claim) runs() bool {
	standing := c.standing.Load()
	return standing == open || standing == managed
}

// Format implements [fmt.Formatter], so that no verb prints the key.
func (c *Claim) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "claim:%s/%d", c.engine.Ref(c.key), c.fence)
}

// Key returns the key of the slot as it is stored, see [Engine.StoredKey].
func (c *Claim) Key() Key { return c.key }

// Token returns the attempt's token.
func (c *Claim) Token() Token { return c.token }

// Fence returns the number that orders the attempts of this slot. Write it
// beside your effect and refuse a smaller one: that stops an attempt which
// overran its lease (Kleppmann, How to do distributed locking, 2016).
func (c *Claim) Fence() int64 { return c.fence }

// Fingerprint returns the fingerprint of the request that the slot belongs to, as it is
// stored, see [Config.HashKeys].
func (c *Claim) Fingerprint() Fingerprint { return c.fingerprint }

// Attempt returns the count of reservations of the slot, this one included.
func (c *Claim) Attempt() int { return c.attempts }

// DerivedKey returns an idempotency key for a call downstream: HMAC-SHA-256 of
// the slot and the step under [Config.Secret], 64 hexadecimal digits. It is
// the same in every attempt, so the provider recognises a rerun; it is another
// one for each step.
func (c *Claim) DerivedKey(step string) string { return c.engine.DerivedKey(c.key, step) }

// DerivedKey is [Claim.DerivedKey] for the key of a record, see [Engine.StoredKey]: an
// operator finds by it what a service has written down.
func (e *Engine) DerivedKey(key Key, step string) string {
	slot := key.Slot()
	mac := hmac.New(sha256.New, e.cfg.Secret)
	_, _ = mac.Write(appendPrefixed(appendPrefixed(nil, "derive"), slot[:]))
	_, _ = mac.Write([]byte(step))
	return hex.EncodeToString(mac.Sum(nil))
}

// Settle tells the transport how to end the attempt when the handler returns,
// whatever the response looks like. The last call counts. It writes nothing. On a nil
// Claim, which [FromContext] returns where nothing is guarded, it does nothing: a handler
// need not know whether it runs in a shadow, or while the store is down.
func (c *Claim) Settle(d Disposition) {
	if c != nil {
		c.wish.Store(uint32(d) + 1)
	}
}

// Settlement returns what Settle was told, and whether it was called.
func (c *Claim) Settlement() (Disposition, bool) {
	wish := c.wish.Load()
	if wish == 0 {
		return Unknown, false
	}
	return Disposition(wish - 1), true //nolint:gosec // it was one
}

// Settled reports whether the claim has been ended by its methods, and how.
// After CompleteIn it is (Keep, true) although the caller's transaction may
// still roll back: ask Confirm.
func (c *Claim) Settled() (how Disposition, ok bool) {
	switch c.standing.Load() {
	case open, managed, committing:
		return Unknown, false
	case kept, keptInTx:
		return Keep, true
	case freed:
		return Free, true
	}
	return Unknown, true
}

// settle marks the claim ended, once.
func (c *Claim) settle(how uint32) error {
	if !c.standing.CompareAndSwap(open, how) {
		return ErrSettled
	}
	return nil
}

// Complete stores r as the outcome. When it returns nil, r is durable and may
// be sent: persist before send (invariant I14).
//
// ErrLost means that another attempt, or an operator, has ended the slot: do
// not send r, answer what [Claim.Confirm] finds. ErrNotStored means that the
// store did not take r within Config.CompleteTimeout: the effect has happened,
// so r is still the true answer; unless it could not be sealed, the engine goes
// on trying in the background for as long as MaxRun, and keeps the lease while
// it can. ErrTooLarge: the store never takes a response of this size, and the
// claim is still open; complete it with a smaller one. ErrSettled: the claim was
// ended before. ErrTxEnded: see [Claim.IsUnknown].
func (c *Claim) Complete(ctx context.Context, r Response) error {
	if c.IsUnknown() {
		return ErrTxEnded
	}
	if err := c.settle(kept); err != nil {
		return err
	}
	err := c.engine.complete(ctx, c, r)
	if errors.Is(err, ErrTooLarge) {
		c.standing.CompareAndSwap(kept, open)
	}
	return err
}

func (c *Claim) completion(sealed Response) Completion {
	return Completion{Key: c.key, Token: c.token, Response: sealed, Retention: c.retention}
}

// Release says that nothing happened: the slot is free at once. ErrLost means
// that it was not this claim's any more, which a caller may ignore. ErrTxEnded: nobody can say
// so, see [Claim.IsUnknown], and nothing is freed. After a [Claim.LockIn] under the promise of
// [Call].DeferEffects Release asks first whether something was committed without the record.
func (c *Claim) Release(ctx context.Context) error {
	if c.standing.Load() == open && c.Deferred() && c.Locked() {
		_, _ = c.Confirm(ctx) // which tells by IsUnknown; when it cannot, the store's Release waits as well
	}
	if c.IsUnknown() {
		return ErrTxEnded
	}
	if err := c.settle(freed); err != nil {
		return err
	}
	c.engine.running.remove(c)
	return c.engine.release(ctx, c)
}

// MaxDoubtLen is how many bytes of what [Claim.Doubt] is told it takes.
const MaxDoubtLen = 80

// doubtPanic is the reason of what has not returned.
const doubtPanic = "panic"

// Doubt says why it is not known what the attempt has done, for the line that is logged
// when the claim is abandoned: one of few texts, and nothing from a request. What is
// longer than [MaxDoubtLen] bytes is cut. The first call counts, because what goes wrong
// later follows from that. It ends nothing and writes nothing.
func (c *Claim) Doubt(reason string) {
	switch c.standing.Load() {
	case kept, freed, abandoned, lapsing: // its line is written, or there is none
		return
	}
	text := strings.ToValidUTF8(reason[:min(len(reason), MaxDoubtLen)], "")
	c.why.CompareAndSwap(nil, &text)
}

// reason returns what Doubt was told.
func (c *Claim) reason() string {
	if why := c.why.Load(); why != nil {
		return *why
	}
	return "abandoned"
}

// Abandon says that the outcome is not known: the lease ends at once, so that
// the policy for lapsed attempts applies without waiting. It never fails: when
// the store does not take it, the lease ends by itself. It does nothing to a
// claim that was ended before, and ends one of CompleteIn whose transaction was
// not confirmed: if that has committed, the response stands. The log has a line with what
// [Claim.Doubt] was told.
func (c *Claim) Abandon(ctx context.Context) {
	how := abandoned
	if c.doubted.Load() {
		how = lapsing
	}
	if c.settle(how) != nil && !c.standing.CompareAndSwap(keptInTx, how) {
		return
	}
	c.engine.running.remove(c) // first, so that no renewal undoes it
	msg := "an attempt is held: its outcome is not known"
	switch {
	case !c.blameless, !c.deferred.Load():
	case c.Locked():
		msg = "an attempt has ended in a transaction: its next request finds the answer, runs, or is held if something was committed"
	default:
		msg = "an attempt has ended without effect: its next request runs"
	}
	c.engine.tell(ctx, slog.LevelWarn, c, msg, "reason", c.reason())
	if how == abandoned {
		c.engine.abandon(ctx, c)
	}
}
