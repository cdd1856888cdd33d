package semelgrpc_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelgrpc"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// I3: a replay is what the first call got: message, status with its details, header and trailer.
func TestReplayIsTheFirstAnswer(t *testing.T) {
	declined, err := status.New(codes.InvalidArgument, "declined").WithDetails(&errdetails.ErrorInfo{Reason: "NO_FUNDS", Domain: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	set := func(ctx context.Context) error {
		return errors.Join(
			grpc.SetHeader(ctx, metadata.Pairs("etag", "one", "etag", "two")),
			grpc.SetHeader(ctx, metadata.Pairs("raw-bin", "\x00\xff")),
			grpc.SetTrailer(ctx, metadata.Pairs("cost", "3")),
		)
	}
	for name, answer := range map[string]payFunc{
		"a reply": func(ctx context.Context, _ *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
			return wrapperspb.String("paid"), set(ctx)
		},
		"an empty reply": func(ctx context.Context, _ *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
			return new(wrapperspb.StringValue), set(ctx)
		},
		"a header sent early": func(ctx context.Context, _ *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
			return wrapperspb.String("paid"), errors.Join(set(ctx), grpc.SendHeader(ctx, metadata.Pairs("early", "1")))
		},
		"a status with details": func(ctx context.Context, _ *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
			return nil, errors.Join(set(ctx), declined.Err())
		},
		"a bare status": func(context.Context, *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
			return nil, declined.Err()
		},
		"an error that is no status": func(ctx context.Context, _ *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
			return nil, errors.Join(set(ctx), errors.New("disk on fire"))
		},
		"a status of its own code": func(context.Context, *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
			return nil, status.Error(77, "odd")
		},
	} {
		t.Run(name, func(t *testing.T) {
			var runs atomic.Int64
			cc := guarded(t, func(ctx context.Context, req *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
				runs.Add(1)
				return answer(ctx, req)
			}, semelgrpc.Config{})
			first, second := pay(as(t, "k"), cc, "x"), pay(as(t, "k"), cc, "x")
			if runs.Load() != 1 || first.replayed() || !second.replayed() {
				t.Errorf("%d runs, replayed %t and %t", runs.Load(), first.replayed(), second.replayed())
			}
			delete(second.header, semelgrpc.MetadataReplayed)
			if !proto.Equal(first.reply, second.reply) || !proto.Equal(first.status.Proto(), second.status.Proto()) ||
				!sameMetadata(first.header, second.header) || !sameMetadata(first.trailer, second.trailer) {
				t.Errorf("the first answer\n%v\nand its replay\n%v", first, second)
			}
			if strings.HasPrefix(name, "a reply") && (len(second.header.Get("etag")) != 2 || len(second.trailer.Get("cost")) != 1) {
				t.Errorf("the replay lacks metadata: %v %v", second.header, second.trailer)
			}
		})
	}
}

func sameMetadata(x, y metadata.MD) bool {
	for _, md := range []metadata.MD{x, y} {
		delete(md, "content-type") // that of the transport, which a trailer-only answer has elsewhere
	}
	return maps.EqualFunc(x, y, slices.Equal)
}

// I1: of a hundred duplicates at once one runs; the others are told that it does, or get its answer.
func TestHundredDuplicatesRunOnce(t *testing.T) {
	var runs, answers, refusals atomic.Int64
	cc := guarded(t, func(context.Context, *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
		runs.Add(1)
		time.Sleep(20 * time.Millisecond)
		return wrapperspb.String("paid"), nil
	}, semelgrpc.Config{})
	ctx := as(t, "k")
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			switch a := pay(ctx, cc, "x"); {
			case a.status.Code() == codes.OK && a.reply.GetValue() == "paid":
				answers.Add(1)
			case semelgrpc.Reason(a.status.Err()) == "IN_FLIGHT":
				refusals.Add(1)
			}
		})
	}
	all.Wait()
	if runs.Load() != 1 || answers.Load() < 1 || answers.Load()+refusals.Load() != 100 {
		t.Errorf("%d runs, %d answers, %d refusals", runs.Load(), answers.Load(), refusals.Load())
	}
}

// I5: another message under the key is refused, whatever the attempt does; so is another
// method. I13: another caller's key is another one.
func TestConflictAndScope(t *testing.T) {
	handler, runs := counted()
	cc := guarded(t, handler, semelgrpc.Config{})
	pay(as(t, "k"), cc, "x").wantReply(t, "x#1", false)
	a := pay(as(t, "k"), cc, "y")
	a.want(t, codes.FailedPrecondition, "IDEMPOTENCY_KEY_CONFLICT")
	if _, again := retryInfo(a.status); again {
		t.Error("a conflict asks for a retry")
	}
	bob := metadata.NewOutgoingContext(t.Context(), metadata.Pairs("authorization", "Bearer bob", "idempotency-key", "k"))
	pay(bob, cc, "y").wantReply(t, "y#2", false)
	pay(as(t, "k"), cc, "x").wantReply(t, "x#1", true)
	if runs.Load() != 2 {
		t.Errorf("%d runs, want 2", runs.Load())
	}
}

// Before the reserve a call is refused without a trace.
func TestRefusedBefore(t *testing.T) {
	handler, runs := counted()
	cc := guarded(t, handler, semelgrpc.Config{Metadata: []string{"Idempotency-Key", "x-request-id"}})
	for name, tc := range map[string]struct {
		answer answered
		code   codes.Code
		reason string
	}{
		"no key":           {pay(as(t, ""), cc, "x"), codes.InvalidArgument, "KEY_MISSING"},
		"an empty key":     {pay(as(t, "", "idempotency-key", ""), cc, "x"), codes.InvalidArgument, "KEY_INVALID"},
		"a key twice":      {pay(as(t, "k", "idempotency-key", "k"), cc, "x"), codes.InvalidArgument, "KEY_INVALID"},
		"a long key":       {pay(as(t, strings.Repeat("k", 256)), cc, "x"), codes.InvalidArgument, "KEY_INVALID"},
		"a key with space": {pay(as(t, "a b"), cc, "x"), codes.InvalidArgument, "KEY_INVALID"},
		"two keys":         {pay(as(t, "k", "x-request-id", "other"), cc, "x"), codes.InvalidArgument, "KEY_INVALID"},
		"no caller": {
			pay(metadata.NewOutgoingContext(t.Context(), metadata.Pairs("idempotency-key", "k")), cc, "x"), codes.Unauthenticated, "SCOPE_MISSING",
		},
	} {
		a := tc.answer
		t.Run(name, func(t *testing.T) { a.want(t, tc.code, tc.reason) })
		if strings.HasPrefix(tc.reason, "KEY_") && !hasViolation(a.status, "idempotency-key") {
			t.Errorf("%s: no field violation in %v", name, a.status.Details())
		}
		if strings.Contains(a.status.String(), "kkk") {
			t.Errorf("%s: the key is in the answer", name)
		}
	}
	pay(as(t, "k", "x-request-id", "k"), cc, "x").wantReply(t, "x#1", false) // the same key in two places
	pay(as(t, `"k"`), cc, "x").wantReply(t, "x#1", true)                     // and in its quoted form
	if runs.Load() != 1 {
		t.Errorf("%d runs, want 1", runs.Load())
	}
}

func hasViolation(s *status.Status, field string) bool {
	for _, d := range s.Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			return len(bad.GetFieldViolations()) == 1 && bad.GetFieldViolations()[0].GetField() == field
		}
	}
	return false
}

func retryInfo(s *status.Status) (time.Duration, bool) {
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration(), true
		}
	}
	return 0, false
}

// A duplicate of a call that runs is asked to come back; one of a call whose outcome nobody
// knows is not (I7). A panic holds the key.
func TestInFlightAndUnknown(t *testing.T) {
	started, end := make(chan struct{}), make(chan struct{})
	recovers := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (reply any, err error) {
		defer func() {
			if recover() != nil {
				err = status.Error(codes.Internal, "it panicked")
			}
		}()
		return next(ctx, req)
	}
	engine := newEngine(t, memory(), semel.Config{Margin: -1})
	cc := serve(t, shop(func(context.Context, *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
		close(started)
		<-end
		panic("half way")
	}), nil, recovers, newGuard(t, engine, semelgrpc.Config{}).Unary())
	first := make(chan answered, 1)
	go func() { first <- pay(as(t, "k"), cc, "x") }()
	<-started
	a := pay(as(t, "k"), cc, "x")
	a.want(t, codes.Aborted, "IN_FLIGHT")
	if wait, ok := retryInfo(a.status); !ok || wait != time.Second {
		t.Errorf("RetryInfo: %v %t, want 1s", wait, ok)
	}
	if ref := infoOf(a.status).GetMetadata()["ref"]; len(ref) != 12 {
		t.Errorf("ref is %q", ref)
	}
	close(end)
	(<-first).want(t, codes.Internal, "")
	a = pay(as(t, "k"), cc, "x")
	a.want(t, codes.Aborted, "OUTCOME_UNKNOWN")
	if _, ok := retryInfo(a.status); ok {
		t.Error("an unknown outcome asks for a retry")
	}
	if m := infoOf(a.status).GetMetadata(); m["reuse_key"] != "true" || m["retryable"] != "false" {
		t.Errorf("metadata is %v", m)
	}
}

func infoOf(s *status.Status) *errdetails.ErrorInfo {
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info
		}
	}
	return nil
}

// The default table: what each code does to the key, seen by a retry.
func TestSettle(t *testing.T) {
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		want := "kept"
		switch code { //nolint:exhaustive // the others are kept
		case codes.Unauthenticated:
			want = "free"
		case codes.Unavailable, codes.ResourceExhausted, codes.Canceled, codes.DeadlineExceeded:
			want = "held"
		}
		t.Run(code.String(), func(t *testing.T) {
			var runs atomic.Int64
			cc := guarded(t, func(context.Context, *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
				runs.Add(1)
				return wrapperspb.String("done"), status.Error(code, "because")
			}, semelgrpc.Config{Lapsed: semel.Hold})
			pay(as(t, "k"), cc, "x").want(t, code, "")
			a, got := pay(as(t, "k"), cc, "x"), "kept"
			switch reason := semelgrpc.Reason(a.status.Err()); {
			case runs.Load() == 2:
				got = "free"
			case reason == "IN_FLIGHT", reason == "OUTCOME_UNKNOWN":
				got = "held"
			case !a.replayed():
				got = a.status.String()
			}
			if got != want {
				t.Errorf("the key is %s, want %s", got, want)
			}
		})
	}
	for name, err := range map[string]error{"context.Canceled": context.Canceled, "a deadline": context.DeadlineExceeded} {
		t.Run(name, func(t *testing.T) { // of a context further on: the client's does not reach the handler
			cc := guarded(t, func(context.Context, *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
				return nil, err
			}, semelgrpc.Config{})
			pay(as(t, "k"), cc, "x")
			if a := pay(as(t, "k"), cc, "x"); a.replayed() {
				t.Errorf("it was kept: %v", a)
			}
		})
	}
}

// The handler has the last word, and says it without words of gRPC.
func TestHandlerSettles(t *testing.T) {
	for how, want := range map[semel.Disposition]int64{semel.Free: 2, semel.Keep: 1, semel.Unknown: 1} {
		var runs atomic.Int64
		cc := guarded(t, func(ctx context.Context, _ *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
			runs.Add(1)
			semel.FromContext(ctx).Settle(how)
			return nil, status.Error(codes.Unavailable, "no")
		}, semelgrpc.Config{})
		pay(as(t, "k"), cc, "x")
		a := pay(as(t, "k"), cc, "x")
		if runs.Load() != want || a.replayed() != (how == semel.Keep) {
			t.Errorf("%s: %d runs, %v", how, runs.Load(), a.status)
		}
	}
}

// A client that cancels does not stop the handler; its retry gets the answer.
func TestCancelDoesNotStopTheHandler(t *testing.T) {
	started, end, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	cc := guarded(t, func(ctx context.Context, _ *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
		close(started)
		<-end
		ended <- ctx.Err()
		return wrapperspb.String("paid"), nil
	}, semelgrpc.Config{Wait: 5 * time.Second})
	ctx, cancel := context.WithCancel(as(t, "k"))
	first := make(chan answered, 1)
	go func() { first <- pay(ctx, cc, "x") }()
	<-started
	cancel()
	(<-first).want(t, codes.Canceled, "")
	second := make(chan answered, 1)
	go func() { second <- pay(as(t, "k"), cc, "x") }() // waits
	time.Sleep(20 * time.Millisecond)                  // until the server has seen the cancel
	close(end)
	if err := <-ended; err != nil {
		t.Errorf("the handler's context has ended: %v", err)
	}
	(<-second).wantReply(t, "paid", true)
}

// A stream cannot be guarded: with a key it is refused, without one it is none of ours.
func TestStreams(t *testing.T) {
	handler, _ := counted()
	cc := guarded(t, handler, semelgrpc.Config{})
	if err := watch(as(t, ""), cc); err != nil {
		t.Errorf("without a key: %v", err)
	}
	err := watch(as(t, "k"), cc)
	if status.Code(err) != codes.Unimplemented || semelgrpc.Reason(err) != "STREAMING_NOT_GUARDED" {
		t.Errorf("with a key: %v", err)
	}
}

// watch calls the stream, up to its first message.
func watch(ctx context.Context, cc *grpc.ClientConn) error {
	stream, err := cc.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, watchMethod)
	if err != nil {
		return err
	}
	if err := errors.Join(stream.SendMsg(wrapperspb.String("x")), stream.CloseSend()); err != nil {
		return err
	}
	return stream.RecvMsg(new(wrapperspb.StringValue))
}
