package semelwatermill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/semel-go/semel"
)

// Middleware guards handlers of a router. It is safe for concurrent use.
type Middleware struct {
	engine *semel.Engine
	scope  ScopeFunc
	cfg    Config
}

// New checks cfg and returns a Middleware. scope is required, because a message goes to
// several handlers, and each of them has to run.
func New(engine *semel.Engine, scope ScopeFunc, cfg Config) (*Middleware, error) {
	if engine == nil {
		return nil, errors.New("semelwatermill: no engine")
	}
	if scope == nil {
		return nil, errors.New("semelwatermill: no scope: say which consumer it is, as ByHandler() does")
	}
	cfg, err := cfg.withDefaults(engine)
	if err != nil {
		return nil, err
	}
	return &Middleware{engine: engine, scope: scope, cfg: cfg}, nil
}

// Middleware guards next, for [message.Router.AddMiddleware] or one handler's. next runs at most once
// per attempt (see Config.Tx for another rule), under a context that is not cancelled with the
// message's: a shutdown or a rebalance must not stop an effect half way. It ends when the
// lease is lost, after MaxRun and when the engine is closed, and carries the claim
// ([semel.FromContext]), whose Settle says how the attempt ends when next returns no error: Free
// frees the key and the messages are published, Unknown refuses the message.
//
// What it returns are the produced messages, which are durable by then, or an error of next as
// it is, a [*RefusedError], or an error of the engine. Beside an error there are never any messages.
//
// A message that the same engine guards already under the same key, by another Middleware around this one,
// goes straight to next: it is one attempt. With Config.Tx it is refused instead, unless that one has it too:
// next would run without a transaction.
//
// next may give the message another payload or other metadata: when it fails, whoever tries again finds the message
// as it came. The bytes of the payload it must not change in place.
func (m *Middleware) Middleware(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		ctx := msg.Context()
		call, err := m.call(ctx, msg)
		if err != nil {
			return nil, &RefusedError{Reason: err, Terminal: true}
		}
		this := guarded{m.engine, msg, call.Key}
		if outer, ok := ctx.Value(guardedKey{}).(*guardedContext); ok && outer.guarded == this {
			if m.cfg.Tx != nil && !outer.inTx {
				return nil, &RefusedError{Ref: m.ref(call.Key), Reason: semel.Retryable(errNested), Terminal: true}
			}
			return next(msg)
		}
		if m.cfg.Tx != nil {
			return m.inTx(ctx, call, this, next)
		}
		out, err := m.engine.Begin(ctx, call)
		switch {
		case err != nil:
			return nil, m.failure(call.Key, err)
		case out.Kind == semel.Reserved:
			return m.run(ctx, out.Claim, this, next)
		}
		return m.answer(call.Key, out)
	}
}

// call is what msg asks of the engine. An error is of the scope or the key.
func (m *Middleware) call(ctx context.Context, msg *message.Message) (semel.Call, error) {
	scope, err := m.scope(msg)
	if err != nil {
		return semel.Call{}, err
	}
	id, err := m.cfg.Key(msg)
	if err != nil {
		return semel.Call{}, err
	}
	return semel.Call{
		Key: semel.Key{Scope: scope, ID: id}, Fingerprint: m.fingerprint(msg),
		Route: message.HandlerNameFromCtx(ctx), Wait: max(m.cfg.Wait, 0),
		Lapsed: m.cfg.Lapsed, Recover: m.cfg.Recover,
		Retention: m.cfg.Retention, MaxRun: m.cfg.MaxRun, Lease: m.cfg.Lease,
	}, nil
}

// fingerprint is that of the payload and of the chosen metadata: the number of values tells a
// field that is missing from one that is empty.
func (m *Middleware) fingerprint(msg *message.Message) semel.Fingerprint {
	parts := append(make([][]byte, 0, 1+3*len(m.cfg.FingerprintMetadata)), msg.Payload)
	for _, name := range m.cfg.FingerprintMetadata {
		value, there := msg.Metadata[name]
		parts = append(parts, []byte(name), []byte{0}, []byte(value))
		if there {
			parts[len(parts)-2][0] = 1
		}
	}
	return semel.FingerprintOf(parts...)
}

// guarded is a message in an attempt: which one, whose, and under which key. The message
// counts, as a context may travel to another one (gochannel.Config.PreserveContext).
type guarded struct {
	engine *semel.Engine
	msg    *message.Message
	key    semel.Key
}

// Format implements [fmt.Formatter], so that no verb prints the key of a context's value.
func (guarded) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "semelwatermill") }

type guardedKey struct{}

// guardedContext says which message it belongs to.
type guardedContext struct {
	context.Context //nolint:containedctx // a context that wraps a context
	guarded
	inTx bool
}

// Value implements [context.Context].
func (c *guardedContext) Value(key any) any {
	if key == (guardedKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// within lets f run with the context of the attempt in its message. If it fails, the message is what
// it was: another try must have the same key and fingerprint. Else it may be one of those
// that f has produced.
func (g guarded) within(ctx context.Context, f message.HandlerFunc, inTx bool) (msgs []*message.Message, err error) {
	before, came, returned := g.msg.Context(), snapshotOf(g.msg), false
	defer func() {
		g.msg.SetContext(before)
		if !returned || err != nil {
			came.giveTo(g.msg)
		}
	}()
	g.msg.SetContext(&guardedContext{ctx, g, inTx})
	msgs, err = f(g.msg)
	returned = true
	return msgs, err
}

// snapshot is a message as it came.
type snapshot struct {
	uuid     string
	payload  message.Payload
	metadata message.Metadata
}

func snapshotOf(msg *message.Message) snapshot {
	return snapshot{msg.UUID, msg.Payload, maps.Clone(msg.Metadata)}
}

func (s snapshot) giveTo(msg *message.Message) {
	msg.UUID, msg.Payload, msg.Metadata = s.uuid, s.payload, maps.Clone(s.metadata)
}

// answer is for a delivery whose handler does not run.
func (m *Middleware) answer(key semel.Key, out semel.Outcome) ([]*message.Message, error) {
	if out.Kind != semel.Replay {
		return nil, m.refusal(key, out.Err())
	}
	msgs, err := Decode(out.Record.Response)
	if err != nil {
		return nil, m.refusal(key, err)
	}
	return msgs, nil
}

// failure is for an error of the engine: what says that this message is wrong is a refusal.
func (m *Middleware) failure(key semel.Key, err error) error {
	if errors.Is(err, semel.ErrInvalidKey) || errors.Is(err, semel.ErrDamaged) || errors.Is(err, semel.ErrTooLarge) {
		return m.refusal(key, err)
	}
	return err
}

// refusal says why a message is refused. Who asks again may hear something else when an
// attempt has ended, and where the policy finds out what a lapsed one did.
func (m *Middleware) refusal(key semel.Key, reason error) error {
	terminal := !errors.Is(reason, semel.ErrInFlight) && !errors.Is(reason, semel.ErrNotStored)
	if errors.Is(reason, semel.ErrOutcomeUnknown) {
		terminal = m.cfg.Lapsed == semel.Hold || m.cfg.Lapsed == 0 && m.engine.Lapsed() == semel.Hold
	}
	return &RefusedError{Ref: m.ref(key), Reason: reason, Terminal: terminal}
}

func (m *Middleware) ref(key semel.Key) string { return m.engine.Ref(m.engine.StoredKey(key)) }
