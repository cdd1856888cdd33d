package semelwatermill

import (
	"context"
	"errors"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"github.com/semel-go/semel"
)

// errSaidHold is why a message is refused whose handler has returned no error.
var errSaidHold = fmt.Errorf("%w: the handler said hold", semel.ErrOutcomeUnknown)

// errUncompleted is why a message is refused whose handler has returned no error either: what it says
// to have done may not be committed, and must not run again if it is.
var errUncompleted = fmt.Errorf("%w: the handler has called LockIn and succeeds without CompleteIn", semel.ErrOutcomeUnknown)

// errNested refuses a message that would be handled without its transaction.
var errNested = errors.New("semelwatermill: a Middleware without Tx guards the message already, so the handler would run without a transaction")

// run is one attempt: the handler, and how it ends.
func (m *Middleware) run(ctx context.Context, c *semel.Claim, this guarded, next message.HandlerFunc) ([]*message.Message, error) {
	inner := c.Attach(ctx)
	defer c.Detach()
	defer c.Abandon(ctx) // a panic, Goexit, or any return below that has not settled
	why := "panic"
	defer func() { c.Doubt(why) }() // before that

	msgs, err := this.within(inner, next, false)
	if err != nil {
		why = "the handler returned an error: " + err.Error() // which a Retry outside may swallow
		return nil, m.failed(ctx, c, err)
	}
	how, told := c.Settlement()
	switch {
	case told && how == semel.Free:
		why = "the key could not be freed"
		if err := release(ctx, c); err != nil {
			return nil, err
		}
		return msgs, nil
	case told && how == semel.Unknown:
		why = "the handler said hold"
		return nil, m.refusal(this.key, errSaidHold)
	}
	if c.Locked() {
		why = "LockIn without CompleteIn"
		out, err := c.Confirm(ctx)
		if err == nil && out.Kind == semel.Replay {
			return m.answer(this.key, out)
		}
		c.EndPromise(ctx)
		return nil, m.refusal(this.key, errors.Join(errUncompleted, err))
	}
	why = "the produced messages cannot be kept"
	kept, err := m.encode(msgs)
	if err != nil {
		return nil, err
	}
	return m.keep(ctx, c, this.key, msgs, kept)
}

// failed ends an attempt whose handler has returned err: it frees the key if nothing happened.
func (m *Middleware) failed(ctx context.Context, c *semel.Claim, err error) error {
	how, told := c.Settlement()
	if !told {
		how = m.cfg.OnError
	}
	if _, panicked := errors.AsType[middleware.RecoveredPanicError](err); panicked {
		how = semel.Unknown // it has not said anything about what happened
	}
	if told && how == semel.Unknown || how != semel.Free && !semel.IsRetryable(err) {
		return err
	}
	if rerr := release(ctx, c); rerr != nil {
		return errors.Join(err, rerr)
	}
	return err
}

// release frees the key. That it was not this attempt's any more does not matter: nothing happened.
func release(ctx context.Context, c *semel.Claim) error {
	err := c.Release(ctx)
	if errors.Is(err, semel.ErrSettled) || errors.Is(err, semel.ErrLost) {
		return nil
	}
	return err
}

// encode is [Encode], unless that is too large.
func (m *Middleware) encode(msgs []*message.Message) (semel.Response, error) {
	kept, err := Encode(msgs...)
	if err == nil && len(kept.Header)+len(kept.Body) > m.cfg.MaxResponse {
		kept = notKept()
	}
	return kept, err
}

// keep completes the attempt, and returns what may be published: persist before send (I14).
// What is not stored yet is not published either: the engine goes on storing it,
// and the broker delivers again, to a replay.
func (m *Middleware) keep(ctx context.Context, c *semel.Claim, key semel.Key, msgs []*message.Message, kept semel.Response) ([]*message.Message, error) {
	err := c.Complete(ctx, kept)
	if errors.Is(err, semel.ErrTooLarge) {
		err = c.Complete(ctx, notKept())
	}
	switch {
	case err == nil:
		return msgs, nil
	case errors.Is(err, semel.ErrNotStored):
		return nil, m.refusal(key, err)
	case errors.Is(err, semel.ErrLost), errors.Is(err, semel.ErrSettled), errors.Is(err, semel.ErrTxEnded):
		return m.lost(ctx, c, key, err)
	}
	return nil, err
}

// lost answers with what was kept instead: never with one's own messages.
func (m *Middleware) lost(ctx context.Context, c *semel.Claim, key semel.Key, cause error) ([]*message.Message, error) {
	out, err := c.Confirm(ctx)
	switch {
	case err != nil:
		return nil, errors.Join(cause, err)
	case out.Kind == semel.Replay:
		return m.answer(key, out)
	}
	return nil, m.refusal(key, fmt.Errorf("%w: %w", semel.ErrOutcomeUnknown, cause))
}

// inTx is run with the writes of the handler and its messages in one transaction (I8).
func (m *Middleware) inTx(ctx context.Context, call semel.Call, this guarded, next message.HandlerFunc) ([]*message.Message, error) {
	var msgs []*message.Message
	var own error // of the handler
	came := snapshotOf(this.msg)
	out, err := m.engine.InTx(ctx, call, m.cfg.Tx, func(ctx context.Context) (semel.Ending, error) {
		came.giveTo(this.msg) // whatever an earlier try has made of it
		msgs, own = this.within(ctx, next, true)
		if own != nil {
			return semel.Ending{}, own
		}
		if how, told := semel.FromContext(ctx).Settlement(); told && how != semel.Keep {
			return semel.Ending{How: how}, nil
		}
		kept, err := m.encode(msgs)
		return semel.Ending{How: semel.Keep, Response: kept}, err
	})
	switch {
	case err != nil && own != nil:
		return nil, err
	case err != nil:
		return nil, m.failure(call.Key, err)
	case !out.Ran:
		return m.answer(call.Key, out.Outcome)
	case out.How == semel.Unknown:
		return nil, &RefusedError{Ref: m.ref(call.Key), Reason: errSaidHold} // the next delivery runs again
	}
	return msgs, nil
}
