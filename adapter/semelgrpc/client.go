package semelgrpc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/semel-go/semel/semelhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Defaults of [ClientConfig], those of semelhttp.
const (
	DefaultMaxAttempts   = semelhttp.DefaultMaxAttempts
	DefaultBaseDelay     = semelhttp.DefaultBaseDelay
	DefaultMaxDelay      = semelhttp.DefaultMaxDelay
	DefaultMaxRetryDelay = semelhttp.DefaultMaxRetryAfter
)

// ClientConfig is what a [Client] may be told. The zero value is fit for servers that
// Semel guards.
type ClientConfig struct {
	// Metadata is the name that carries the key. Default idempotency-key.
	Metadata string
	// KeyField chooses the text fields of a request that carry the key too, for servers that
	// follow AIP-155. What the caller has set there is the key; else the key is set in a copy of
	// the request. Default: none.
	KeyField FieldFunc
	// Guards says which methods, by their full names, get a key and are retried. It must leave
	// out those whose server ignores keys: a retry would run them twice. Default: every unary
	// method, except those with the idempotency_level NO_SIDE_EFFECTS and those of gRPC's own
	// health and channelz services.
	Guards func(method string) bool
	// NewKey makes a key: 1 to 255 visible ASCII characters that nobody can guess. Default
	// [rand.Text]: 26 characters, 130 random bits. Set it for a server that wants UUIDs.
	NewKey func() string
	// MaxAttempts bounds the tries of one call, the first included. Default 4; 1 means that
	// nothing is retried.
	MaxAttempts int
	// AttemptTimeout bounds one try, and another follows while the call's own deadline allows.
	// Default: none, a try lasts as long as the call may.
	AttemptTimeout time.Duration
	// BaseDelay and MaxDelay shape the pause before try n+1: a random time from 0 to
	// BaseDelay × 2ⁿ⁻¹, and never more than MaxDelay. Default 100 ms and 5 s.
	BaseDelay, MaxDelay time.Duration
	// MaxRetryDelay is the longest RetryInfo that is waited for. An error that asks for more is
	// returned as it is. Default 30 s.
	MaxRetryDelay time.Duration
	// Files finds the descriptors of methods. Default [protoregistry.GlobalFiles].
	Files Files
}

// Client gives calls an idempotency key and retries them under it. It is safe for
// concurrent use.
//
// # The key
//
// One call is one operation with one key. The caller's own key comes first: in the outgoing
// metadata, in the field that KeyField chooses, or in [WithKey]. Set one whenever the operation
// outlives the process: a made-up key is lost with the process, and then nobody can ask
// again. A Client must be the outermost layer that retries: a loop around it gets another
// key each time, unless it uses WithKey.
//
// # What is retried
//
// UNAVAILABLE; ABORTED and RESOURCE_EXHAUSTED with a RetryInfo, as Semel sends for a call in
// flight; and DEADLINE_EXCEEDED of AttemptTimeout. Everything else is returned: ABORTED without a
// RetryInfo says that nobody knows the outcome, and FAILED_PRECONDITION and INVALID_ARGUMENT are
// mistakes. So is an answer that is marked as a replay: it is the kept one, and final.
// RetryInfo is honoured. No pause begins that cannot end before the deadline; the last error is
// returned instead.
//
// gRPC's own retries, the transparent ones and those of a service config, and its hedging lie
// below: they send the same metadata, so the key covers them. They are not counted.
type Client struct {
	cfg ClientConfig
}

// NewClient checks cfg and returns a Client.
func NewClient(cfg ClientConfig) (*Client, error) {
	if cfg.Metadata == "" {
		cfg.Metadata = DefaultMetadata
	}
	names, err := lowerNames("Metadata", []string{cfg.Metadata})
	if err != nil {
		return nil, err
	}
	cfg.Metadata = names[0]
	if cfg.Files == nil {
		cfg.Files = protoregistry.GlobalFiles
	}
	if cfg.Guards == nil {
		files := cfg.Files
		cfg.Guards = func(method string) bool {
			return levelOf(method, describe(files, method)) != descriptorpb.MethodOptions_NO_SIDE_EFFECTS
		}
	}
	if cfg.NewKey == nil {
		cfg.NewKey = rand.Text
	}
	if cfg.MaxAttempts == 0 {
		cfg.MaxAttempts = DefaultMaxAttempts
	}
	if cfg.MaxAttempts < 1 {
		return nil, fmt.Errorf("semelgrpc: ClientConfig.MaxAttempts is %d, less than 1", cfg.MaxAttempts)
	}
	if cfg.BaseDelay < 0 || cfg.MaxDelay < 0 || cfg.MaxRetryDelay < 0 || cfg.AttemptTimeout < 0 {
		return nil, errors.New("semelgrpc: ClientConfig.BaseDelay, MaxDelay, MaxRetryDelay and AttemptTimeout must not be negative")
	}
	if cfg.BaseDelay == 0 {
		cfg.BaseDelay = DefaultBaseDelay
	}
	if cfg.MaxDelay == 0 {
		cfg.MaxDelay = max(DefaultMaxDelay, cfg.BaseDelay)
	}
	if cfg.MaxDelay < cfg.BaseDelay {
		return nil, errors.New("semelgrpc: ClientConfig.MaxDelay is less than BaseDelay")
	}
	if cfg.MaxRetryDelay == 0 {
		cfg.MaxRetryDelay = DefaultMaxRetryDelay
	}
	return &Client{cfg: cfg}, nil
}

type keyContext struct{}

// WithKey returns a context whose calls a [Client] sends under key, unless they bring their own.
// The context must be used for one operation: a second, different call under it is refused by the
// server as a conflict.
func WithKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, keyContext{}, key)
}

// Unary returns the interceptor of unary calls. Streaming calls need none: they have no key.
func (c *Client) Unary() grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if !c.cfg.Guards(method) {
			return invoker(ctx, method, req, reply, cc, opts...)
		}
		told := &Attempts{}
		defer func() { tell(*told, opts) }()
		ctx, req, err := c.withKey(ctx, req, told)
		if err != nil {
			return err
		}
		for {
			told.Count++
			var header metadata.MD
			try, cancel := c.bounded(ctx)
			err := invoker(try, method, req, reply, cc, append(slices.Clip(opts), grpc.Header(&header))...)
			late := try.Err() != nil && ctx.Err() == nil
			cancel()
			told.Replayed = isReplay(header)
			pause, again := c.next(ctx, err, told, late)
			if !again {
				return err
			}
			if !sleep(ctx, pause) {
				return status.FromContextError(ctx.Err()).Err()
			}
		}
	}
}

// bounded is the context of one try.
func (c *Client) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.cfg.AttemptTimeout == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, c.cfg.AttemptTimeout)
}

// withKey returns what is sent: under the caller's own key, or one that is made here.
func (c *Client) withKey(ctx context.Context, req any, told *Attempts) (context.Context, any, error) {
	outgoing, _ := metadata.FromOutgoingContext(ctx)
	values := outgoing.Get(c.cfg.Metadata)
	id, found := "", len(values) > 0
	if found {
		var err error
		if id, err = semelhttp.ParseKey(values); err != nil {
			return ctx, req, invalid(err)
		}
	}
	message, fields := c.keyFields(req)
	id, found, err := keyInFields(message, fields, id, found)
	if err != nil {
		return ctx, req, invalid(err)
	}
	if !found {
		if id, found = ctx.Value(keyContext{}).(string); !found {
			id = c.cfg.NewKey()
		}
		if parsed, err := semelhttp.ParseKey([]string{id}); err != nil || parsed != id {
			return ctx, req, invalid(errors.Join(err, &KeyError{Reason: "cannot be sent as it is"}))
		}
	}
	told.Key = id
	if len(values) == 0 {
		ctx = metadata.AppendToOutgoingContext(ctx, c.cfg.Metadata, id)
	}
	return ctx, fill(message, fields, id, req), nil
}

// keyFields are the fields of req that carry the key too.
func (c *Client) keyFields(req any) (protoreflect.Message, []protoreflect.FieldDescriptor) {
	message, ok := req.(proto.Message)
	if c.cfg.KeyField == nil || !ok {
		return nil, nil
	}
	m := message.ProtoReflect()
	return m, findKeyFields(m.Descriptor(), c.cfg.KeyField).fields
}

// fill returns req, or a copy of it, with the key in its fields.
func fill(m protoreflect.Message, fields []protoreflect.FieldDescriptor, id string, req any) any {
	for i, fd := range fields {
		if m.Has(fd) {
			continue
		}
		m = proto.Clone(m.Interface()).ProtoReflect() // the caller's is his own
		if !m.IsValid() {
			// A nil pointer, which gRPC sends as an empty message.
			m = m.Type().New()
		}
		for _, fd := range fields[i:] {
			m.Set(fd, protoreflect.ValueOfString(id))
		}
		return m.Interface()
	}
	return req
}
