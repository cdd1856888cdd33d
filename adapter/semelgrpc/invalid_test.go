package semelgrpc_test

import (
	"context"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelgrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// A refusal whose message is no valid UTF-8 stays the refusal that gRPC alone makes of it.
func TestMessageIsMadeValid(t *testing.T) {
	refuses := func(context.Context, *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
		return nil, status.Error(codes.InvalidArgument, "no \xff here")
	}
	pass := newGuard(t, newEngine(t, memory(), semel.Config{}), semelgrpc.Config{Skip: true})
	want := pay(as(t, "k"), serve(t, shop(refuses), nil, pass.Unary()), "x").status
	cc := guarded(t, refuses, semelgrpc.Config{})
	for _, replayed := range []bool{false, true} {
		a := pay(as(t, "k"), cc, "x")
		if a.status.Code() != want.Code() || a.status.Message() != want.Message() || a.replayed() != replayed {
			t.Errorf("got %v, replayed %t; want %v, %t", a.status, a.replayed(), want, replayed)
		}
	}
}
