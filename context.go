package semel

import (
	"context"
	"sync"
	"time"
)

type claimKey struct{}

// FromContext returns the claim of the attempt that ctx belongs to, or nil.
func FromContext(ctx context.Context) *Claim {
	c, _ := ctx.Value(claimKey{}).(*Claim)
	return c
}

// Attach returns the context to run the attempt under; Detach ends it. It has
// the values of ctx and carries the claim, but does not end when ctx does: a
// client who hangs up must not stop an effect half way. It ends with cause
// [ErrLost] when the lease is lost, [ErrOverran] after MaxRun (which is also
// its deadline) and [ErrClosed] when the engine is closed.
func (c *Claim) Attach(ctx context.Context) context.Context {
	running := &c.room
	if running.claim != nil { // a recovery hook ran under it before
		running = new(attemptContext)
	}
	running.claim, running.values = c, ctx
	c.engine.running.attach(c, running)
	return running
}

// Detach ends the context of Attach, as net/http ends a request's when its
// handler returns. It may be called more than once.
func (c *Claim) Detach() { c.engine.running.attach(c, nil) }

// attemptContext is the context of a running attempt. The part that can be
// cancelled is made when somebody asks for it: most handlers never do.
type attemptContext struct {
	claim  *Claim
	values context.Context //nolint:containedctx // a context that wraps a context

	mu     sync.Mutex
	ended  error
	inner  context.Context //nolint:containedctx // the part that can be cancelled
	cancel context.CancelCauseFunc
}

// String keeps fmt from printing what the context holds.
func (a *attemptContext) String() string { return "semel.Claim.Attach" }

func (a *attemptContext) Deadline() (time.Time, bool) {
	return a.claim.attempt.started.Add(a.claim.attempt.maxRun), true
}

func (a *attemptContext) Done() <-chan struct{} { return a.cancellable().Done() }

func (a *attemptContext) Err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended != nil {
		return context.Canceled
	}
	return nil
}

// Value asks the cancellable part for what [context.Cause] finds a context's cause by, a
// private key of package context: the answer of a.values to it would be the client's. All
// other keys, as of the span that each step asks for, need no such part.
func (a *attemptContext) Value(key any) any {
	switch {
	case key == (claimKey{}):
		return a.claim
	case causeKey == nil || key == causeKey:
		return a.cancellable().Value(key)
	}
	return a.values.Value(key)
}

// causeKey is that private key, as it is asked for.
var causeKey = func() any {
	p := keyProbe{Context: context.Background()} //nolint:forbidigo // nothing runs under it
	_ = context.Cause(&p)
	return p.key
}()

// keyProbe is a context that has ended, and notes which key it is asked for.
type keyProbe struct {
	context.Context //nolint:containedctx // a context that wraps a context
	key             any
}

func (p *keyProbe) Err() error { return context.Canceled }

func (p *keyProbe) Value(key any) any {
	p.key = key
	return nil
}

func (a *attemptContext) cancellable() context.Context {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.inner == nil {
		a.inner, a.cancel = context.WithCancelCause(context.WithoutCancel(a.values))
		if a.ended != nil {
			a.cancel(a.ended)
		}
	}
	return a.inner
}

func (a *attemptContext) end(cause error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended != nil {
		return
	}
	a.ended = cause
	if a.cancel != nil {
		a.cancel(cause)
	}
}
