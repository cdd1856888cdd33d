package semelgrpc_test

import (
	"context"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The same call over loopback, bare and guarded on memstore: 1 KiB in and out.
func BenchmarkCall(b *testing.B) {
	text := strings.Repeat("i", 1024)
	handler := func(context.Context, *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
		return wrapperspb.String(text), nil
	}
	bare := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		return next(ctx, req)
	}
	guard := newGuard(b, newEngine(b, memory(), semel.Config{}), semelgrpc.Config{}).Unary()
	for name, tc := range map[string]struct {
		through grpc.UnaryServerInterceptor
		key     func(i int) string
	}{
		"bare":   {bare, strconv.Itoa},
		"first":  {guard, strconv.Itoa},
		"replay": {guard, func(int) string { return "one" }},
	} {
		b.Run(name, func(b *testing.B) {
			cc := overTCP(b, shop(handler), tc.through)
			in := wrapperspb.String(text)
			b.ReportAllocs()
			keyed := b.Name() + strconv.Itoa(b.N)
			for i := 0; b.Loop(); i++ {
				ctx := metadata.NewOutgoingContext(b.Context(), metadata.Pairs("authorization", "Bearer alice", "idempotency-key", keyed+tc.key(i)))
				if err := cc.Invoke(ctx, payMethod, in, new(wrapperspb.StringValue)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The interceptor alone, without gRPC around it.
func BenchmarkInterceptor(b *testing.B) {
	text := strings.Repeat("i", 1024)
	in, out := wrapperspb.String(text), wrapperspb.String(text)
	info := &grpc.UnaryServerInfo{FullMethod: payMethod}
	handler := func(context.Context, any) (any, error) { return out, nil }
	guard := newGuard(b, newEngine(b, memory(), semel.Config{}), semelgrpc.Config{}).Unary()
	for name, key := range map[string]func(i int) string{
		"first": strconv.Itoa, "replay": func(int) string { return "one" },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			keyed := b.Name() + strconv.Itoa(b.N)
			for i := 0; b.Loop(); i++ {
				ctx := metadata.NewIncomingContext(b.Context(), metadata.Pairs("authorization", "Bearer alice", "idempotency-key", keyed+key(i)))
				if _, err := guard(ctx, in, info, handler); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func overTCP(b *testing.B, desc *grpc.ServiceDesc, through grpc.UnaryServerInterceptor) *grpc.ClientConn {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(through))
	server.RegisterService(desc, nil)
	go func() { _ = server.Serve(listener) }()
	b.Cleanup(server.Stop)
	return connect(b, listener.Addr().String())
}
