package semelgrpc_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// retryPolicy is a service config that knows codes and no details. It tries three times, and at
// once unless the server tells it to wait.
const retryPolicy = `{"methodConfig": [{"name": [{}], "retryPolicy": {
	"maxAttempts": 3, "initialBackoff": "0.001s", "maxBackoff": "0.001s", "backoffMultiplier": 1,
	"retryableStatusCodes": ["UNAVAILABLE", "ABORTED", "UNIMPLEMENTED"]}}]}`

// byPolicy serves pay behind a guard to a client of grpc-go that retries by retryPolicy, and
// counts the calls that reach the server.
func byPolicy(t *testing.T, pay payFunc, guard *semelgrpc.Interceptor) (*grpc.ClientConn, *atomic.Int64) {
	t.Helper()
	calls := new(atomic.Int64)
	unary := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		calls.Add(1)
		return next(ctx, req)
	}
	stream := func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		calls.Add(1)
		return guard.Stream()(srv, detached{ss}, info, next)
	}
	server := listen(t, shop(pay), stream, unary, guard.Unary())
	return connect(t, inMemory, server, grpc.WithDefaultServiceConfig(retryPolicy)), calls
}

// detached is a stream of an interceptor outside whose context does not lead to gRPC's own: what
// is told to the client goes through the stream.
type detached struct{ grpc.ServerStream }

func (s detached) Context() context.Context {
	return grpc.NewContextWithServerTransportStream(s.ServerStream.Context(), nil)
}

// L2: a client with a policy sends once what is final, though its policy says to retry the code.
func TestPolicyEndsAtWhatIsFinal(t *testing.T) {
	breaks := func(context.Context, *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
		return nil, status.Error(codes.DeadlineExceeded, "half way")
	}
	cc, calls := byPolicy(t, breaks, newGuard(t, newEngine(t, memory(), semel.Config{Margin: -1}), semelgrpc.Config{}))
	pay(as(t, "k"), cc, "x").want(t, codes.DeadlineExceeded, "")
	calls.Store(0)
	pay(as(t, "k"), cc, "x").want(t, codes.Aborted, "OUTCOME_UNKNOWN")
	if got := calls.Swap(0); got != 1 {
		t.Errorf("an unknown outcome: %d calls, want 1", got)
	}
	err := watch(as(t, "k"), cc)
	if got := calls.Load(); got != 1 || semelgrpc.Reason(err) != "STREAMING_NOT_GUARDED" {
		t.Errorf("a stream with a key: %d calls, want 1; %v", got, err)
	}
}

// L1: the same client comes back after the second that it is told, as often as its policy lets it,
// and gets the answer when there is one.
func TestPolicyWaitsForWhatMayPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler, runs := counted()
		store, down := failing(semel.StepReserve, errDown)
		down.Store(true)
		cc, calls := byPolicy(t, func(ctx context.Context, req *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
			time.Sleep(1500 * time.Millisecond)
			return handler(ctx, req)
		}, newGuard(t, newEngine(t, store, semel.Config{}), semelgrpc.Config{}))
		step := func(what string, text string, a answered, began time.Time, took time.Duration, want int64) {
			t.Helper()
			if got := calls.Swap(0); got != want || time.Since(began) != took || a.reply.GetValue() != text {
				t.Errorf("%s: %q by %d calls in %v, want %q by %d in %v", what, a.reply.GetValue(), got, time.Since(began), text, want, took)
			}
		}
		began := time.Now()
		a := pay(as(t, "k"), cc, "x")
		step("a store that is down", "", a, began, 2*time.Second, 3)
		a.want(t, codes.Unavailable, "STORE_UNAVAILABLE")

		down.Store(false)
		began = time.Now()
		first := make(chan answered, 1)
		go func() { first <- pay(as(t, "k"), cc, "x") }()
		synctest.Wait()
		a = pay(as(t, "k"), cc, "x") // in flight, for a second and a half
		step("a call that runs", "x#1", a, began, 2*time.Second, 4)
		a.wantReply(t, "x#1", true)
		(<-first).wantReply(t, "x#1", false)
		if runs.Load() != 1 {
			t.Errorf("%d runs, want 1", runs.Load())
		}
	})
}
