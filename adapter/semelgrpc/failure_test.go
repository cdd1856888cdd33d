package semelgrpc_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelgrpc"
	"github.com/semel-go/semel/problem"
	"github.com/semel-go/semel/store/storetest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

var errDown = errors.New("the store is down")

// failing is a store whose step fails while it is down.
func failing(step semel.Step, with error) (*storetest.Faulty, *atomic.Bool) {
	down := new(atomic.Bool)
	return &storetest.Faulty{Store: memory(), Before: func(s semel.Step) error {
		if s == step && down.Load() {
			return with
		}
		return nil
	}}, down
}

// When the store cannot say whether the key was used, nothing runs, unless the method fails open.
func TestStoreDownAtReserve(t *testing.T) {
	handler, runs := counted()
	store, down := failing(semel.StepReserve, errDown)
	down.Store(true)
	engine := newEngine(t, store, semel.Config{})
	a := pay(as(t, "k"), serve(t, shop(handler), nil, newGuard(t, engine, semelgrpc.Config{}).Unary()), "x")
	a.want(t, codes.Unavailable, "STORE_UNAVAILABLE")
	if _, again := retryInfo(a.status); !again || runs.Load() != 0 {
		t.Errorf("asks for a retry: %t, %d runs", again, runs.Load())
	}
	open := newGuard(t, engine, semelgrpc.Config{FailOpen: func(_ context.Context, method string, err error) bool {
		return method == payMethod && errors.Is(err, errDown)
	}})
	a = pay(as(t, "k"), serve(t, shop(handler), nil, open.Unary()), "x")
	a.wantReply(t, "x#1", false)
	if got := a.header.Get(semelgrpc.MetadataStored); len(got) != 1 || got[0] != "false" {
		t.Errorf("semel-stored is %v", got)
	}
}

// I14: an answer that cannot be stored in time leaves marked, and is stored later.
func TestNotStored(t *testing.T) {
	handler, runs := counted()
	store, down := failing(semel.StepComplete, errDown)
	engine := newEngine(t, store, semel.Config{CompleteTimeout: 20 * time.Millisecond})
	cc := serve(t, shop(handler), nil, newGuard(t, engine, semelgrpc.Config{}).Unary())
	down.Store(true)
	a := pay(as(t, "k"), cc, "x")
	a.wantReply(t, "x#1", false)
	if got := a.header.Get(semelgrpc.MetadataStored); len(got) != 1 || got[0] != "false" {
		t.Errorf("semel-stored is %v", got)
	}
	pay(as(t, "k"), cc, "x").want(t, codes.Aborted, "IN_FLIGHT")
	down.Store(false)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if a = pay(as(t, "k"), cc, "x"); a.status.Code() == codes.OK {
			break
		}
	}
	a.wantReply(t, "x#1", true)
	if len(a.header.Get(semelgrpc.MetadataStored)) != 0 || runs.Load() != 1 {
		t.Errorf("header %v, %d runs", a.header, runs.Load())
	}
}

// I3: an attempt that has lost its slot never sends its own answer.
func TestLostCompletion(t *testing.T) {
	handler, _ := counted()
	store, lost := failing(semel.StepComplete, semel.ErrLost)
	lost.Store(true)
	cc := serve(t, shop(handler), nil, newGuard(t, newEngine(t, store, semel.Config{}), semelgrpc.Config{}).Unary())
	pay(as(t, "k"), cc, "x").want(t, codes.Aborted, "OUTCOME_UNKNOWN")
}

// I3: what is kept is what is sent, also when the handler has kept something else by itself.
func TestHandlerCompletes(t *testing.T) {
	kept, err := semelgrpc.Kept{Message: wrapperspb.String("kept"), Header: metadata.Pairs("etag", "1")}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		response semel.Response
		code     codes.Code
		reason   string
	}{
		"an answer": {kept, codes.OK, ""},
		"damage":    {semel.Response{Status: 200, Header: []byte("nothing of ours"), Body: []byte("x")}, codes.DataLoss, "RECORD_DAMAGED"},
	} {
		t.Run(name, func(t *testing.T) {
			cc := guarded(t, func(ctx context.Context, _ *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
				return wrapperspb.String("own"), semel.FromContext(ctx).Complete(ctx, tc.response)
			}, semelgrpc.Config{})
			for range 2 {
				a := pay(as(t, "k"), cc, "x")
				a.want(t, tc.code, tc.reason)
				if tc.code == codes.OK && (a.reply.GetValue() != "kept" || len(a.header.Get("etag")) != 1) {
					t.Errorf("got %q, header %v", a.reply.GetValue(), a.header)
				}
			}
		})
	}
}

// stream is a transport that notes what happens to it.
type stream struct {
	grpc.ServerTransportStream
	note func(what string)
}

func (s stream) Method() string { return payMethod }

func (s stream) SetHeader(metadata.MD) error  { s.note("header"); return nil }
func (s stream) SendHeader(metadata.MD) error { s.note("sent"); return nil }
func (s stream) SetTrailer(metadata.MD) error { s.note("trailer"); return nil }

// I14: nothing leaves before it is durable, not even a header that the handler sends. After it has
// returned, nothing can be added.
func TestNothingLeavesBeforeItIsDurable(t *testing.T) {
	var events []string
	note := func(what string) { events = append(events, what) }
	store := &storetest.Faulty{Store: memory(), Immediate: true, After: func(step semel.Step) error {
		note(step.String())
		return nil
	}}
	guard, err := semelgrpc.New(newEngine(t, store, semel.Config{}), semelgrpc.Global(), semelgrpc.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := grpc.NewContextWithServerTransportStream(
		metadata.NewIncomingContext(t.Context(), metadata.Pairs("idempotency-key", "k")), stream{note: note})
	var inner context.Context
	reply, err := guard.Unary()(ctx, wrapperspb.String("x"), &grpc.UnaryServerInfo{FullMethod: payMethod}, func(ctx context.Context, _ any) (any, error) {
		inner = ctx //nolint:fatcontext // to look at it afterwards
		if method, ok := grpc.Method(ctx); !ok || method != payMethod {
			t.Errorf("the method is %q", method)
		}
		err := errors.Join(grpc.SetTrailer(ctx, metadata.Pairs("c", "d")), grpc.SendHeader(ctx, metadata.Pairs("a", "b")))
		if grpc.SetHeader(ctx, metadata.Pairs("a", "c")) == nil || grpc.SendHeader(ctx, nil) == nil {
			t.Error("a header was set when it had been sent")
		}
		note("returned")
		return wrapperspb.String("paid"), err
	})
	if err != nil || reply.(*wrapperspb.StringValue).GetValue() != "paid" {
		t.Errorf("got %v, %v", reply, err)
	}
	if got, want := strings.Join(events, " "), "reserve returned complete header trailer"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if grpc.SetHeader(inner, metadata.Pairs("a", "c")) == nil || grpc.SetTrailer(inner, metadata.Pairs("a", "c")) == nil {
		t.Error("metadata was set after the handler had returned")
	}
	if inner.Err() == nil {
		t.Error("the handler's context goes on after it has returned")
	}
}

// A large answer goes out and is not kept; its key is never free again.
func TestResponseNotKept(t *testing.T) {
	large := strings.Repeat("x", 1000)
	var runs atomic.Int64
	cc := guarded(t, func(context.Context, *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
		runs.Add(1)
		return wrapperspb.String(large), nil
	}, semelgrpc.Config{MaxResponse: 1000})
	pay(as(t, "k"), cc, "x").wantReply(t, large, false)
	a := pay(as(t, "k"), cc, "x")
	a.want(t, codes.FailedPrecondition, "RESPONSE_NOT_KEPT")
	if got := infoOf(a.status).GetMetadata()["original_code"]; got != "0" || runs.Load() != 1 {
		t.Errorf("original_code is %q, %d runs", got, runs.Load())
	}
}

// A request of another codec cannot be compared: with a key it does not run. A reply of another
// codec goes out, and is not kept.
func TestOtherCodecs(t *testing.T) {
	guard, err := semelgrpc.New(newEngine(t, memory(), semel.Config{}), semelgrpc.Global(), semelgrpc.Config{Optional: true})
	if err != nil {
		t.Fatal(err)
	}
	info := &grpc.UnaryServerInfo{FullMethod: payMethod}
	keyed := metadata.NewIncomingContext(t.Context(), metadata.Pairs("idempotency-key", "k"))
	runs := 0
	handler := func(context.Context, any) (any, error) { runs++; return "no message", nil }
	if _, err := guard.Unary()(keyed, "text", info, handler); status.Code(err) != codes.Internal || runs != 0 {
		t.Errorf("with a key: %v, %d runs", err, runs)
	}
	if reply, err := guard.Unary()(t.Context(), "text", info, handler); err != nil || reply != "no message" {
		t.Errorf("without one: %v, %v", reply, err)
	}
	if reply, err := guard.Unary()(keyed, wrapperspb.String("x"), info, handler); err != nil || reply != "no message" {
		t.Errorf("another reply: %v, %v", reply, err)
	}
	if _, err := guard.Unary()(keyed, wrapperspb.String("x"), info, handler); semelgrpc.Reason(err) != "RESPONSE_NOT_KEPT" || runs != 2 {
		t.Errorf("its retry: %v, %d runs", err, runs)
	}
}

// The store, too, may have no room for an answer.
func TestStoreHasNoRoom(t *testing.T) {
	handler, runs := counted()
	calls := 0
	store := &storetest.Faulty{Store: memory(), Immediate: true, Before: func(s semel.Step) error {
		if calls++; s == semel.StepComplete && calls == 2 {
			return semel.ErrTooLarge
		}
		return nil
	}}
	cc := serve(t, shop(handler), nil, newGuard(t, newEngine(t, store, semel.Config{}), semelgrpc.Config{}).Unary())
	pay(as(t, "k"), cc, "x").wantReply(t, "x#1", false)
	pay(as(t, "k"), cc, "x").want(t, codes.FailedPrecondition, "RESPONSE_NOT_KEPT")
	if runs.Load() != 1 {
		t.Errorf("%d runs", runs.Load())
	}
}

// A reply that cannot be encoded is a failure to the client, and the same one at each retry.
func TestReplyThatCannotBeSent(t *testing.T) {
	for name, reply := range map[string]*wrapperspb.StringValue{"no UTF-8": wrapperspb.String("\xff"), "nothing": nil} {
		var runs atomic.Int64
		cc := guarded(t, func(context.Context, *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
			runs.Add(1)
			return reply, nil
		}, semelgrpc.Config{})
		first, second := pay(as(t, "k"), cc, "x"), pay(as(t, "k"), cc, "x")
		if first.status.Code() != codes.Internal || first.status.String() != second.status.String() || !second.replayed() || runs.Load() != 1 {
			t.Errorf("%s: %v and %v, %d runs", name, first.status, second.status, runs.Load())
		}
	}
}

// A method may authorise a replay again, leave metadata out, and hear of refusals.
func TestHooks(t *testing.T) {
	var refused []string
	allowed := true
	cc := guarded(t, func(ctx context.Context, _ *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
		return wrapperspb.String("paid"), grpc.SetHeader(ctx, metadata.Pairs("cookie", "1", "etag", "1"))
	}, semelgrpc.Config{
		Omit: []string{"Cookie"},
		OnReplay: func(_ context.Context, method string, rec semel.Record) error {
			if method != payMethod || rec.State != semel.StateCompleted {
				t.Errorf("replay of %s, %s", method, rec.State)
			}
			if !allowed {
				return errors.New("not any more")
			}
			return nil
		},
		OnRefuse: func(_ context.Context, method string, p problem.Details) {
			refused = append(refused, method+" "+p.Code)
		},
	})
	first, second := pay(as(t, "k"), cc, "x"), pay(as(t, "k"), cc, "x")
	if len(first.header.Get("cookie")) != 1 || len(second.header.Get("cookie")) != 0 || len(second.header.Get("etag")) != 1 {
		t.Errorf("headers %v and %v", first.header, second.header)
	}
	allowed = false
	pay(as(t, "k"), cc, "x").want(t, codes.PermissionDenied, "REPLAY_REFUSED")
	if got := strings.Join(refused, ","); got != payMethod+" replay_refused" {
		t.Errorf("heard of %s", got)
	}
}

// An interceptor of the same engine inside is part of the attempt. The refusal of another
// engine's is no outcome.
func TestNested(t *testing.T) {
	handler, runs := counted()
	engine := newEngine(t, memory(), semel.Config{})
	cc := serve(t, shop(handler), nil, newGuard(t, engine, semelgrpc.Config{}).Unary(), newGuard(t, engine, semelgrpc.Config{}).Unary())
	pay(as(t, "k"), cc, "x").wantReply(t, "x#1", false)
	pay(as(t, "k"), cc, "x").wantReply(t, "x#1", true)
	if runs.Load() != 1 {
		t.Errorf("%d runs", runs.Load())
	}
	store, down := failing(semel.StepReserve, errDown)
	down.Store(true)
	inner := newGuard(t, newEngine(t, store, semel.Config{}), semelgrpc.Config{})
	cc = serve(t, shop(handler), nil, newGuard(t, engine, semelgrpc.Config{}).Unary(), inner.Unary())
	pay(as(t, "nested"), cc, "x").want(t, codes.Unavailable, "STORE_UNAVAILABLE")
	down.Store(false)
	pay(as(t, "nested"), cc, "x").wantReply(t, "x#2", false) // nothing had happened
	pay(as(t, "nested"), cc, "y").want(t, codes.FailedPrecondition, "IDEMPOTENCY_KEY_CONFLICT")
}

// A refusal of another engine's that says that something happened is not kept, and frees nothing.
func TestNestedRefusalHolds(t *testing.T) {
	handler, _ := counted()
	inner := newGuard(t, newEngine(t, memory(), semel.Config{}), semelgrpc.Config{MaxResponse: 1})
	pay(as(t, "k"), serve(t, shop(handler), nil, inner.Unary()), "x").wantReply(t, "x#1", false)
	outer := newGuard(t, newEngine(t, memory(), semel.Config{Margin: -1}), semelgrpc.Config{Settle: semelgrpc.SettleAll})
	cc := serve(t, shop(handler), nil, outer.Unary(), inner.Unary())
	pay(as(t, "k"), cc, "x").want(t, codes.FailedPrecondition, "RESPONSE_NOT_KEPT")
	a := pay(as(t, "k"), cc, "x")
	a.want(t, codes.Aborted, "OUTCOME_UNKNOWN")
	if a.replayed() {
		t.Error("a refusal was kept")
	}
}

// Authentication stands outside: what it answers is never kept, and its header is its own.
func TestAuthenticationOutside(t *testing.T) {
	handler, _ := counted()
	allowed := true
	auth := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		if !allowed {
			return nil, status.Error(codes.PermissionDenied, "who are you?")
		}
		_ = grpc.SetHeader(ctx, metadata.Pairs("request-id", "fresh"))
		return next(ctx, req)
	}
	cc := serve(t, shop(handler), nil, auth, newGuard(t, newEngine(t, memory(), semel.Config{}), semelgrpc.Config{}).Unary())
	pay(as(t, "k"), cc, "x").wantReply(t, "x#1", false)
	a := pay(as(t, "k"), cc, "x")
	a.wantReply(t, "x#1", true)
	if got := a.header.Get("request-id"); len(got) != 1 {
		t.Errorf("request-id is %v", got)
	}
	allowed = false
	pay(as(t, "k"), cc, "x").want(t, codes.PermissionDenied, "")
}
