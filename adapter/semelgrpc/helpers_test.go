package semelgrpc_test

import (
	"context"
	"net"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelgrpc"
	"github.com/semel-go/semel/store/memstore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// A service without descriptors: what is said of methods is in bank_test.go.
const (
	payMethod   = "/shop.Payments/Pay"
	watchMethod = "/shop.Payments/Watch"
)

type payFunc func(ctx context.Context, req *wrapperspb.StringValue) (*wrapperspb.StringValue, error)

// shop is what a server serves: one unary method and one stream.
func shop(pay payFunc) *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: "shop.Payments",
		Methods: []grpc.MethodDesc{{
			MethodName: "Pay",
			Handler: func(_ any, ctx context.Context, dec func(any) error, through grpc.UnaryServerInterceptor) (any, error) {
				req := new(wrapperspb.StringValue)
				if err := dec(req); err != nil {
					return nil, err
				}
				info := &grpc.UnaryServerInfo{FullMethod: payMethod}
				return through(ctx, req, info, func(ctx context.Context, req any) (any, error) {
					reply, err := pay(ctx, req.(*wrapperspb.StringValue))
					if reply == nil {
						return nil, err
					}
					return reply, err
				})
			},
		}},
		Streams: []grpc.StreamDesc{{
			StreamName: "Watch", ServerStreams: true,
			Handler: func(_ any, stream grpc.ServerStream) error {
				if err := stream.RecvMsg(new(wrapperspb.StringValue)); err != nil {
					return err
				}
				return stream.SendMsg(wrapperspb.String("seen"))
			},
		}},
	}
}

// counted returns a payFunc that numbers its payments, and the count.
func counted() (payFunc, *atomic.Int64) {
	n := new(atomic.Int64)
	return func(_ context.Context, req *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
		return wrapperspb.String(req.GetValue() + "#" + string('0'+rune(n.Add(1)))), nil
	}, n
}

func newEngine(t testing.TB, store semel.Store, cfg semel.Config) *semel.Engine {
	t.Helper()
	engine, err := semel.New(store, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close(context.WithoutCancel(t.Context())) })
	return engine
}

func memory() *memstore.Store { return memstore.New(memstore.Config{}) }

func newGuard(t testing.TB, engine *semel.Engine, cfg semelgrpc.Config) *semelgrpc.Interceptor {
	t.Helper()
	guard, err := semelgrpc.New(engine, semelgrpc.ByMetadata("authorization"), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return guard
}

// guarded serves pay behind a guard on memstore.
func guarded(t testing.TB, pay payFunc, cfg semelgrpc.Config) *grpc.ClientConn {
	t.Helper()
	guard := newGuard(t, newEngine(t, memory(), semel.Config{}), cfg)
	return serve(t, shop(pay), guard.Stream(), guard.Unary())
}

// serve serves desc in memory, through the real grpc-go on both sides.
func serve(t testing.TB, desc *grpc.ServiceDesc, stream grpc.StreamServerInterceptor, unary ...grpc.UnaryServerInterceptor) *grpc.ClientConn {
	t.Helper()
	return connect(t, inMemory, listen(t, desc, stream, unary...))
}

// inMemory is the target of what listen returns.
const inMemory = "passthrough:///memory"

// listen serves desc in memory, and returns what clients dial it by.
func listen(t testing.TB, desc *grpc.ServiceDesc, stream grpc.StreamServerInterceptor, unary ...grpc.UnaryServerInterceptor) grpc.DialOption {
	t.Helper()
	opts := []grpc.ServerOption{grpc.ChainUnaryInterceptor(unary...)}
	if stream != nil {
		opts = append(opts, grpc.StreamInterceptor(stream))
	}
	server := grpc.NewServer(opts...)
	server.RegisterService(desc, nil)
	pipe := bufconn.Listen(1 << 20)
	go func() { _ = server.Serve(pipe) }()
	t.Cleanup(server.Stop)
	return grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return pipe.DialContext(ctx) })
}

func connect(t testing.TB, target string, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient(target, append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cc.Close() })
	return cc
}

// as is the context of a call by alice with a key; other pairs of metadata follow.
func as(t testing.TB, key string, more ...string) context.Context {
	t.Helper()
	pairs := append([]string{"authorization", "Bearer alice"}, more...)
	if key != "" {
		pairs = append(pairs, "idempotency-key", key)
	}
	return metadata.NewOutgoingContext(t.Context(), metadata.Pairs(pairs...))
}

// answered is all that a client sees of a call.
type answered struct {
	reply           *wrapperspb.StringValue
	status          *status.Status
	header, trailer metadata.MD
}

func pay(ctx context.Context, cc *grpc.ClientConn, text string) answered {
	a := answered{reply: new(wrapperspb.StringValue)}
	err := cc.Invoke(ctx, payMethod, wrapperspb.String(text), a.reply, grpc.Header(&a.header), grpc.Trailer(&a.trailer))
	a.status = status.Convert(err)
	return a
}

func (a answered) replayed() bool { return len(a.header.Get(semelgrpc.MetadataReplayed)) == 1 }

// want checks the code and the reason of an answer. A refusal of Semel tells policies once
// whether to retry, and says the same as its details.
func (a answered) want(t *testing.T, code codes.Code, reason string) {
	t.Helper()
	if got := semelgrpc.Reason(a.status.Err()); a.status.Code() != code || got != reason {
		t.Errorf("got %s %q (%s), want %s %q", a.status.Code(), got, a.status.Message(), code, reason)
	}
	var pushback []string
	if reason != "" {
		pushback = []string{"-1"}
		if _, again := retryInfo(a.status); again {
			pushback = []string{"1000"}
		}
	}
	if got := a.trailer.Get("grpc-retry-pushback-ms"); !slices.Equal(got, pushback) {
		t.Errorf("%s %q: grpc-retry-pushback-ms is %q, want %q", code, reason, got, pushback)
	}
}

// wantReply checks a good answer.
func (a answered) wantReply(t *testing.T, text string, replayed bool) {
	t.Helper()
	if a.status.Code() != codes.OK || !proto.Equal(a.reply, wrapperspb.String(text)) || a.replayed() != replayed {
		t.Errorf("got %v %q, replayed %t; want OK %q, %t", a.status, a.reply.GetValue(), a.replayed(), text, replayed)
	}
}
