package semelgrpc

import (
	"context"
	"errors"
	"sync"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Interceptor guards unary methods with idempotency keys. It is safe for concurrent use.
type Interceptor struct {
	engine  *semel.Engine
	scope   ScopeFunc
	cfg     Config
	changed map[string]*Config // by the names in Config.Methods
	methods sync.Map           // full name to *method
}

// New checks cfg and returns an Interceptor. scope is required, because a key that is not bound
// to its caller lets one caller read another's answer; use [Global] on purpose where there is
// only one caller.
func New(engine *semel.Engine, scope ScopeFunc, cfg Config) (*Interceptor, error) {
	if engine == nil {
		return nil, errors.New("semelgrpc: no engine")
	}
	if scope == nil {
		return nil, errors.New("semelgrpc: no scope: say who the caller is, or Global() on purpose")
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	changed, err := cfg.each()
	if err != nil {
		return nil, err
	}
	for _, c := range append([]*Config{&cfg}, values(changed)...) {
		if c.Tx == nil {
			continue
		}
		if err := engine.CheckTransactions(c.Tx); err != nil {
			return nil, err
		}
	}
	return &Interceptor{engine: engine, scope: scope, cfg: cfg, changed: changed}, nil
}

func values(m map[string]*Config) []*Config {
	all := make([]*Config, 0, len(m))
	for _, c := range m {
		all = append(all, c)
	}
	return all
}

// method finds what is known of a method, and remembers it: a server serves a fixed number of them.
// With [grpc.UnknownServiceHandler] the name of a stream is the client's, and is remembered when it
// has a descriptor.
func (i *Interceptor) method(name string, served bool) *method {
	if known, ok := i.methods.Load(name); ok {
		m, _ := known.(*method)
		return m
	}
	cfg := &i.cfg
	if service, _, err := splitMethod(name); err == nil {
		for _, at := range []string{"/" + service + "/", name} {
			if c, ok := i.changed[at]; ok {
				cfg = c
			}
		}
	}
	made := newMethod(name, cfg)
	if !served && i.changed[name] == nil && made.output == "" { // it may be any name that a client thinks of
		return made
	}
	known, _ := i.methods.LoadOrStore(name, made)
	m, _ := known.(*method)
	return m
}

// Unary returns the interceptor of unary calls. The order of checks is fixed: method, key,
// scope, then one atomic reserve. Everything before the reserve is refused without a trace. The
// handler runs at most once per attempt (see InTx for another rule), in the caller's goroutine,
// under a context that a cancel of the client does not end; its answer is sent when it is
// durable, its header with it. A panic of the handler holds the key and goes on.
//
// Header and trailer that interceptors outside have set belong to their own call: they are not
// kept. A request that is no message of protobuf cannot be guarded, and is refused with INTERNAL
// when it has a key. A call that the same engine guards already, by another Interceptor around this one, goes
// straight to the handler: it is one attempt. What gRPC asks of its own stream, as
// [grpc.SetSendCompressor] does, must be set outside.
func (i *Interceptor) Unary() grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		m := i.method(info.FullMethod, true)
		if m.passes {
			return handler(ctx, req)
		}
		id, found, err := m.key(ctx, req)
		switch {
		case err != nil:
			return nil, i.refuseKey(ctx, m, err)
		case found:
			return i.guard(ctx, m, id, req, handler)
		case m.optional:
			return handler(ctx, req)
		}
		return nil, i.refuse(ctx, m, semelhttp.ProblemKeyMissing, nil)
	}
}

// Stream returns the interceptor of streaming calls, which cannot be guarded: there is no one
// message to compare and none to repeat. One that has a key is refused, because its client relies on
// a promise that nobody keeps; one without passes untouched. So does any whose method is
// skipped, see [Config].
//
// A server that serves unary methods through [grpc.UnknownServiceHandler] has them as streams.
func (i *Interceptor) Stream() grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		m := i.method(info.FullMethod, false)
		if m.passes {
			return handler(srv, ss)
		}
		for _, name := range m.cfg.Metadata {
			if len(metadata.ValueFromIncomingContext(ss.Context(), name)) > 0 {
				return i.refuseStream(ss, m, ProblemStreaming)
			}
		}
		return handler(srv, ss)
	}
}

// guard reserves the slot and does what the outcome says.
func (i *Interceptor) guard(ctx context.Context, m *method, id string, req any, handler grpc.UnaryHandler) (any, error) {
	message, ok := req.(proto.Message)
	if !ok {
		i.log(ctx, "a call is refused because it cannot be compared with another", errNoMessage)
		return nil, status.Error(codes.Internal, errNoMessage.Error()) // a mistake in the service, which runs nothing
	}
	scope, err := i.scope(ctx, m.name)
	if err != nil {
		m.cfg.Logger.DebugContext(ctx, "a call has no scope", "err", err)
		return nil, i.refuse(ctx, m, semelhttp.ProblemScopeMissing, nil)
	}
	key := semel.Key{Scope: scope, ID: id}
	if i.isTrying(ctx, key) {
		return handler(ctx, req)
	}
	call := m.call(key, m.fingerprint(ctx, message))
	a := &attempt{Interceptor: i, method: m, req: req, handler: handler}
	if m.cfg.Tx != nil {
		return a.runInTx(ctx, call)
	}
	out, err := i.engine.Begin(ctx, call)
	if err != nil {
		if m.opens(ctx, err) {
			_ = send(grpc.ServerTransportStreamFromContext(ctx), metadata.Pairs(MetadataStored, "false"), nil) // a client that is gone cannot be told
			return handler(ctx, req)
		}
		return nil, i.refuseFailure(ctx, m, key, err)
	}
	switch out.Kind {
	case semel.Reserved:
		a.claim = out.Claim
		return a.run(ctx)
	case semel.Replay:
		return i.replay(ctx, m, out.Record)
	case semel.InFlight, semel.Conflict:
	}
	if isInside(ctx, out.Record) {
		return handler(ctx, req)
	}
	return nil, i.refuseHeld(ctx, m, key, out)
}

var errNoMessage = errors.New("semelgrpc: the request is no message of protobuf")

func (m *method) call(key semel.Key, fp semel.Fingerprint) semel.Call {
	c := m.cfg
	call := semel.Call{
		Key: key, Fingerprint: fp,
		Retention: c.Retention, MaxRun: c.MaxRun, Lease: c.Lease, Wait: c.Wait, Lapsed: c.Lapsed, Recover: c.Recover,
		DeferEffects: c.DeferEffects, Route: c.Route,
	}
	if call.Route == "" {
		call.Route = m.name
	}
	return call
}

// opens reports whether a call runs unguarded because the store cannot be reached. What has run
// is never in doubt: a record that cannot be read is one of a call that ran.
func (m *method) opens(ctx context.Context, err error) bool {
	var failed *semel.StoreError
	return m.cfg.FailOpen != nil && errors.As(err, &failed) && failed.Step == semel.StepReserve &&
		!errors.Is(err, semel.ErrDamaged) && !errors.Is(err, semel.ErrNotStored) && m.cfg.FailOpen(ctx, m.name, err)
}

// isInside reports whether ctx belongs to the attempt that holds the slot.
func isInside(ctx context.Context, held semel.Record) bool {
	c := semel.FromContext(ctx)
	return c != nil && c.Token() == held.Token
}
