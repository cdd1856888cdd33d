package semelgrpc_test

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// I4: a provider has acted before its caller is told UNAVAILABLE or RESOURCE_EXHAUSTED by gRPC. A
// handler that passes that on does not free the key: one charge, however often the client retries.
func TestProviderActsOnce(t *testing.T) {
	for code, large := range map[codes.Code]bool{codes.Unavailable: false, codes.ResourceExhausted: true} {
		t.Run(code.String(), func(t *testing.T) {
			var (
				charges atomic.Int64
				line    atomic.Pointer[net.Conn]
			)
			provider := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
				return next(ctx, req)
			}))
			provider.RegisterService(shop(func(context.Context, *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
				charges.Add(1)
				if !large {
					_ = (*line.Load()).Close()
				}
				return wrapperspb.String(strings.Repeat("x", 2000)), nil
			}), nil)
			pipe := bufconn.Listen(1 << 20)
			go func() { _ = provider.Serve(pipe) }()
			t.Cleanup(provider.Stop)
			through := connect(t, inMemory, grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
				conn, err := pipe.DialContext(ctx)
				line.Store(&conn)
				return conn, err
			}), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1000)))

			client, err := semelgrpc.NewClient(semelgrpc.ClientConfig{})
			if err != nil {
				t.Fatal(err)
			}
			var first atomic.Pointer[status.Status]
			guard := newGuard(t, newEngine(t, memory(), semel.Config{Margin: -1}), semelgrpc.Config{})
			server := listen(t, shop(func(ctx context.Context, req *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
				reply := new(wrapperspb.StringValue)
				err := through.Invoke(ctx, payMethod, req, reply)
				first.CompareAndSwap(nil, status.Convert(err))
				return reply, err
			}), nil, guard.Unary())
			cc := connect(t, inMemory, server, grpc.WithUnaryInterceptor(client.Unary()))
			pay(as(t, "k"), cc, "x")
			pay(as(t, "k"), cc, "x").want(t, codes.Aborted, "OUTCOME_UNKNOWN")
			if got := first.Load().Code(); got != code || charges.Load() != 1 {
				t.Errorf("the handler saw %s and charged %d times, want %s and 1", got, charges.Load(), code)
			}
		})
	}
}

// The opt-in frees what the handler itself refuses, and nothing else that [semelgrpc.Settle] holds.
func TestSettleUnprocessed(t *testing.T) {
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		s := status.New(code, "")
		want := semelgrpc.Settle(s)
		if code == codes.Unavailable || code == codes.ResourceExhausted {
			want = semel.Free
		}
		if got := semelgrpc.SettleUnprocessed(s); got != want {
			t.Errorf("%s: %s, want %s", code, got, want)
		}
	}
}
