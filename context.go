package semel

import (
	"context"
	"time"
)

type claimKey struct{}

// FromContext returns the claim of the attempt that ctx belongs to, or nil.
func FromContext(ctx context.Context) *Claim {
	c, _ := ctx.Value(claimKey{}).(*Claim)
	return c
}

// Attach returns the context to run the attempt under, and the func that ends
// it. It has the values of ctx and carries the claim, but does not end when ctx
// does: a client who hangs up must not stop an effect half way. It ends with
// cause [ErrLost] when the lease is lost, [ErrOverran] after MaxRun (which is
// also its deadline) and [ErrClosed] when the engine is closed.
func (c *Claim) Attach(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(detached{ctx, c})
	c.engine.running.attach(c, cancel)
	return ctx, func() { cancel(context.Canceled) }
}

// detached has the values of a context and nothing else of it.
type detached struct {
	context.Context //nolint:containedctx // a context that wraps a context
	claim           *Claim
}

func (d detached) Deadline() (time.Time, bool) {
	return d.claim.attempt.started.Add(d.claim.attempt.maxRun), true
}
func (detached) Done() <-chan struct{} { return nil }
func (detached) Err() error            { return nil }

func (d detached) Value(key any) any {
	if key == (claimKey{}) {
		return d.claim
	}
	return d.Context.Value(key)
}
