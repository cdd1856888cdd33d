package semelgrpc_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
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

// A nil request is an empty one to gRPC; the key is put into it all the same.
func TestClientFillsNilRequest(t *testing.T) {
	client, err := semelgrpc.NewClient(semelgrpc.ClientConfig{KeyField: semelgrpc.FieldNamed("value")})
	if err != nil {
		t.Fatal(err)
	}
	echo := func(_ context.Context, req *wrapperspb.StringValue) (*wrapperspb.StringValue, error) { return req, nil }
	server := listen(t, shop(echo), nil, newGuard(t, newEngine(t, memory(), semel.Config{}), semelgrpc.Config{}).Unary())
	cc := connect(t, inMemory, server, grpc.WithUnaryInterceptor(client.Unary()))
	reply := new(wrapperspb.StringValue)
	if err := cc.Invoke(as(t, "k"), payMethod, (*wrapperspb.StringValue)(nil), reply); err != nil || reply.GetValue() != "k" {
		t.Errorf("got %q, %v", reply.GetValue(), err)
	}
}

// asked counts how often a descriptor is looked for.
type asked struct {
	*protoregistry.Files
	times atomic.Int64
}

func (a *asked) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	a.times.Add(1)
	return a.Files.FindDescriptorByName(name)
}

// The name of an unknown stream is the client's, and nothing of it stays in memory.
func TestUnknownStreamsAreNotRemembered(t *testing.T) {
	files := &asked{Files: protoregistry.GlobalFiles}
	handler, _ := counted()
	cc := guarded(t, handler, semelgrpc.Config{Files: files})
	for range 2 {
		if err := watch(as(t, ""), cc); err != nil {
			t.Fatal(err)
		}
	}
	if got := files.times.Load(); got != 2 {
		t.Errorf("a stream without a descriptor was looked for %d times in 2 calls", got)
	}
}
