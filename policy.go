package semel

import (
	"context"
	"errors"
	"fmt"
)

// Policy says what happens to a slot whose attempt lapsed: its lease is over,
// nobody completed it, and what it did is not known.
type Policy uint8

// The policies.
const (
	// Hold refuses every retry with outcome-unknown until the late attempt
	// completes or an operator resolves it. At most once. The default.
	Hold Policy = iota + 1
	// Rerun takes the slot over and runs again. At least once: only for work
	// that is idempotent by itself, or deduplicated downstream by
	// [Claim.DerivedKey].
	Rerun
	// Recover takes the slot over and asks a [RecoverFunc] what happened.
	// At most once, and heals itself.
	Recover
)

// String returns "hold", "rerun" or "recover".
func (p Policy) String() string {
	switch p {
	case Hold:
		return "hold"
	case Rerun:
		return "rerun"
	case Recover:
		return "recover"
	}
	return "invalid"
}

// ParsePolicy reads what [Policy.String] writes.
func ParsePolicy(s string) (Policy, error) {
	for _, p := range []Policy{Hold, Rerun, Recover} {
		if s == p.String() {
			return p, nil
		}
	}
	return 0, fmt.Errorf("semel: unknown policy %q: want hold, rerun or recover", s)
}

// Verdict is what a recovery hook found out.
type Verdict uint8

// The verdicts. The zero value is the safe one.
const (
	// StillUnknown keeps the slot held; a later retry asks again.
	StillUnknown Verdict = iota
	// Executed means that the effect happened; Recovery.Response is kept.
	Executed
	// NotExecuted means that nothing happened and nothing will: the caller runs.
	NotExecuted
)

// Recovery is the answer of a [RecoverFunc].
type Recovery struct {
	Verdict  Verdict
	Response Response // with Executed
}

// RecoverFunc asks the ledger or the provider what a lapsed attempt did. It
// gets the record, with its stored key, of the fresh reservation under which it runs, so only one
// recovery per slot acts at a time. An error counts as StillUnknown. ctx ends
// when the reservation is lost, and carries the claim ([FromContext]), whose
// DerivedKey is that of the lapsed attempt.
type RecoverFunc func(ctx context.Context, held Record) (Recovery, error)

func checkPolicy(p Policy, hook RecoverFunc) error {
	switch {
	case p > Recover:
		return fmt.Errorf("semel: invalid policy %d", p)
	case p == Recover && hook == nil:
		return errors.New("semel: the policy recover needs a Recover func")
	case p != Recover && hook != nil:
		return errors.New("semel: a Recover func is given, but the policy is not recover")
	}
	return nil
}

// recoverLapsed asks the hook under the fresh reservation of c and turns its answer
// into the outcome of Begin.
func (e *Engine) recoverLapsed(ctx context.Context, hook RecoverFunc, c *Claim, held Record) (Outcome, error) {
	found, err := e.askHook(ctx, hook, c, held)
	if err != nil {
		found.Verdict = StillUnknown
		c.Doubt("the recovery failed")
		e.cfg.Logger.WarnContext(ctx, "the outcome of a lapsed attempt could not be recovered",
			"ref", e.Ref(held.Key), "fence", held.Fence, "err", err)
	}
	if _, settled := c.Settled(); settled {
		return e.reread(ctx, c) // the hook ended the claim by itself
	}
	switch found.Verdict {
	case Executed:
		err := c.Complete(ctx, found.Response)
		if errors.Is(err, ErrLost) {
			return e.reread(ctx, c)
		}
		if err != nil {
			c.Doubt("what was recovered cannot be kept")
			c.Abandon(ctx) // if it is open still: what was found cannot be kept, and another one may ask
			return Outcome{}, err
		}
		held.State, held.Response = StateCompleted, found.Response
		return Outcome{Kind: Replay, Record: held}, nil
	case NotExecuted:
		if e.running.ended(c) == nil {
			return Outcome{Kind: Reserved, Record: held, Claim: c}, nil
		}
		// The reservation is lost: what the hook saw may be true no more.
		c.Doubt("the lease was lost while the recovery was asked")
	case StillUnknown:
		c.Doubt("the recovery does not know")
	}
	c.Abandon(ctx)
	held.Lapsed = true
	return Outcome{Kind: InFlight, Lapsed: true, Record: held}, nil
}

// reread answers with what has become of the slot of a claim that cannot be
// given to the caller.
func (e *Engine) reread(ctx context.Context, c *Claim) (Outcome, error) {
	out, err := c.Confirm(ctx)
	if out.Kind == Reserved { // by this claim still, which nobody will end
		c.Doubt("the recovery has not committed")
		c.Abandon(ctx)
		out.Kind, out.Lapsed, out.Record.Lapsed = InFlight, true, true
	}
	return out, err
}

func (e *Engine) askHook(ctx context.Context, hook RecoverFunc, c *Claim, held Record) (found Recovery, err error) {
	if hook == nil {
		return Recovery{}, nil
	}
	ctx, end := e.observe(ctx, c.op(StepRecover))
	err = errNoReturn // until it has returned: a panic goes on, with its stack
	defer func() {
		c.Detach()
		if errors.Is(err, errNoReturn) {
			c.Doubt(doubtPanic)
			c.Abandon(ctx)
		}
		end(Event{Count: 1, Err: err})
	}()
	return hook(c.Attach(ctx), held)
}
