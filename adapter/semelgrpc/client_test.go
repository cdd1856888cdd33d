package semelgrpc_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelgrpc"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func newClient(t *testing.T, cfg semelgrpc.ClientConfig) *semelgrpc.Client {
	t.Helper()
	client, err := semelgrpc.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// asks is an error that asks to come back after d.
func asks(code codes.Code, d time.Duration) error {
	s, err := status.New(code, "later").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(d)})
	if err != nil {
		panic(err)
	}
	return s.Err()
}

// What is retried, how often, and after how long, in virtual time.
func TestClientRetries(t *testing.T) {
	unavailable := status.Error(codes.Unavailable, "gone")
	for name, tc := range map[string]struct {
		answers []error // the last one is repeated
		replay  bool    // the first answer is marked as one
		cfg     semelgrpc.ClientConfig
		within  time.Duration // deadline of the call; 0: none
		count   int
		code    codes.Code
		least   time.Duration // for which the call lasts
		most    time.Duration
	}{
		"a good answer":            {answers: []error{nil}, count: 1},
		"unavailable, then good":   {answers: []error{unavailable, nil}, count: 2, most: 100 * time.Millisecond},
		"unavailable":              {answers: []error{unavailable}, count: 4, code: codes.Unavailable, most: 700 * time.Millisecond},
		"no more than asked":       {answers: []error{unavailable}, cfg: semelgrpc.ClientConfig{MaxAttempts: 1}, count: 1, code: codes.Unavailable},
		"in flight":                {answers: []error{asks(codes.Aborted, time.Second), nil}, count: 2, least: time.Second, most: 1100 * time.Millisecond},
		"exhausted, with a time":   {answers: []error{asks(codes.ResourceExhausted, 2*time.Second), nil}, count: 2, least: 2 * time.Second, most: 2100 * time.Millisecond},
		"exhausted, without one":   {answers: []error{status.Error(codes.ResourceExhausted, "")}, count: 1, code: codes.ResourceExhausted},
		"unknown outcome":          {answers: []error{status.Error(codes.Aborted, "")}, count: 1, code: codes.Aborted},
		"a conflict":               {answers: []error{asks(codes.FailedPrecondition, 0)}, count: 1, code: codes.FailedPrecondition},
		"internal":                 {answers: []error{status.Error(codes.Internal, "")}, count: 1, code: codes.Internal},
		"a replay is final":        {answers: []error{unavailable}, replay: true, count: 1, code: codes.Unavailable},
		"too long a wait":          {answers: []error{asks(codes.Aborted, time.Minute)}, count: 1, code: codes.Aborted},
		"no time for another":      {answers: []error{asks(codes.Aborted, 3*time.Second)}, within: 2 * time.Second, count: 1, code: codes.Aborted},
		"a deadline of the server": {answers: []error{status.Error(codes.DeadlineExceeded, "")}, count: 1, code: codes.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tc.within > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tc.within)
					defer cancel()
				}
				var keys []string
				var told semelgrpc.Attempts
				began := time.Now()
				err := newClient(t, tc.cfg).Unary()(ctx, payMethod, wrapperspb.String("x"), nil, nil,
					func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
						sent, _ := metadata.FromOutgoingContext(ctx)
						keys = append(keys, sent.Get("idempotency-key")...)
						for _, o := range opts {
							if h, ok := o.(grpc.HeaderCallOption); ok && tc.replay {
								*h.HeaderAddr = metadata.Pairs(semelgrpc.MetadataReplayed, "true")
							}
						}
						return tc.answers[min(len(keys), len(tc.answers))-1]
					}, semelgrpc.AttemptsTo(&told))
				took := time.Since(began)
				if status.Code(err) != tc.code || told.Count != tc.count || told.Replayed != tc.replay || took < tc.least || took > tc.most {
					t.Errorf("%v, %v after %v; want %s, %d attempts after %v to %v", err, told, took, tc.code, tc.count, tc.least, tc.most)
				}
				if len(keys) != tc.count || len(slices.Compact(slices.Clone(keys))) != 1 || keys[0] != told.Key || len(told.Key) != 26 {
					t.Errorf("keys %v, told %q", keys, told.Key)
				}
				if text := fmt.Sprintf("%v %+v %#v", told, told, told); strings.Contains(text, told.Key) {
					t.Errorf("the key is printed: %s", text)
				}
			})
		})
	}
}

// A try may have a time of its own; a call that is cancelled ends in its pause.
func TestClientTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		client := newClient(t, semelgrpc.ClientConfig{AttemptTimeout: time.Second})
		err := client.Unary()(t.Context(), payMethod, nil, nil, nil,
			func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
				if n++; n == 3 {
					return nil
				}
				<-ctx.Done()
				return status.FromContextError(ctx.Err()).Err()
			})
		if err != nil || n != 3 {
			t.Errorf("%v after %d tries", err, n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		began := time.Now()
		err = client.Unary()(ctx, payMethod, nil, nil, nil,
			func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error {
				return asks(codes.Unavailable, 20*time.Second)
			})
		if status.Code(err) != codes.Canceled || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// The caller's key comes first; methods without side effects get none.
func TestClientKey(t *testing.T) {
	b := newBank(t)
	bytes26 := strings.Repeat("n", 26)
	client := newClient(t, semelgrpc.ClientConfig{
		Files: b.files, KeyField: semelgrpc.FieldNamed("request_id"), NewKey: func() string { return bytes26 },
	})
	for name, tc := range map[string]struct {
		method, metadata, field, context string
		want                             string // the key, in metadata and in the field
		code                             codes.Code
	}{
		"made":                 {method: "Move", want: bytes26},
		"of the context":       {method: "Move", context: "c", want: "c"},
		"of the metadata":      {method: "Move", metadata: "m", context: "c", want: "m"},
		"of the field":         {method: "Move", field: "f", context: "c", want: "f"},
		"two that differ":      {method: "Move", metadata: "m", field: "f", code: codes.InvalidArgument},
		"none for a read":      {method: "Read", context: "c"},
		"one that is not sent": {method: "Move", context: "a b", code: codes.InvalidArgument},
		"half a quoted one":    {method: "Move", context: `"a"`, code: codes.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if tc.context != "" {
				ctx = semelgrpc.WithKey(ctx, tc.context)
			}
			if tc.metadata != "" {
				ctx = metadata.AppendToOutgoingContext(ctx, "idempotency-key", tc.metadata)
			}
			req := b.transfer("amount", int64(1))
			if tc.field != "" {
				req = b.transfer("amount", int64(1), "request_id", tc.field)
			}
			var inMetadata, inField string
			err := client.Unary()(ctx, "/bank.v1.Accounts/"+tc.method, req, nil, nil,
				func(ctx context.Context, _ string, req, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
					sent, _ := metadata.FromOutgoingContext(ctx)
					inMetadata = strings.Join(sent.Get("idempotency-key"), ",")
					inField = req.(*dynamicpb.Message).Get(b.in.Fields().ByName("request_id")).String()
					return nil
				})
			if status.Code(err) != tc.code || inMetadata != tc.want || inField != tc.want {
				t.Errorf("%v, sent %q and %q, want %q", err, inMetadata, inField, tc.want)
			}
			if got := req.Get(b.in.Fields().ByName("request_id")).String(); got != tc.field {
				t.Errorf("the caller's request has become %q", got)
			}
		})
	}
	for name, cfg := range map[string]semelgrpc.ClientConfig{
		"a name": {Metadata: "grpc-x"}, "attempts": {MaxAttempts: -1}, "a delay": {BaseDelay: -1},
		"an order": {BaseDelay: 2, MaxDelay: 1},
	} {
		if _, err := semelgrpc.NewClient(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// lossy is a listener whose connections lose what the server sends while it cuts.
type lossy struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func (l *lossy) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		l.conns = append(l.conns, c)
		l.mu.Unlock()
	}
	return c, err
}

// cut ends every connection, so that the answer of what runs now is lost.
func (l *lossy) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.conns = nil
}

// The whole of it, over TCP: the connection is cut while a payment is made, so its answer is
// lost. The client tries again under the same key and gets it; there is one payment (I1, I3).
func TestLostAnswer(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &lossy{Listener: inner}
	handler, runs := counted()
	guard := newGuard(t, newEngine(t, memory(), semel.Config{}), semelgrpc.Config{Wait: time.Second})
	server := grpc.NewServer(grpc.UnaryInterceptor(guard.Unary()))
	server.RegisterService(shop(func(ctx context.Context, req *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
		l.cut()
		return handler(ctx, req)
	}), nil)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	client := newClient(t, semelgrpc.ClientConfig{MaxAttempts: 10, BaseDelay: time.Millisecond})
	cc := connect(t, inner.Addr().String(), grpc.WithUnaryInterceptor(client.Unary()))
	for i := range 5 {
		var told semelgrpc.Attempts
		reply := new(wrapperspb.StringValue)
		err := cc.Invoke(as(t, ""), payMethod, wrapperspb.String("x"), reply, semelgrpc.AttemptsTo(&told), grpc.WaitForReady(true))
		if want := fmt.Sprintf("x#%d", i+1); err != nil || reply.GetValue() != want || !told.Replayed || told.Count < 2 {
			t.Fatalf("call %d: %q, %v, %v; want %q", i, reply.GetValue(), err, told, want)
		}
	}
	if runs.Load() != 5 {
		t.Errorf("%d runs, want 5", runs.Load())
	}
}
