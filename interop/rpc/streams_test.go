package rpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// streamers are the protocols that stream, by connect-go.
var streamers = map[string]struct {
	http2   bool
	options []connect.ClientOption
}{
	"Connect":         {false, nil},
	"Connect in JSON": {false, []connect.ClientOption{connect.WithProtoJSON()}},
	"gRPC-Web":        {false, []connect.ClientOption{connect.WithGRPCWeb()}},
	"gRPC":            {true, []connect.ClientOption{connect.WithGRPC()}},
}

// streams runs a test for each of them at each door, with both kinds of streams.
func streams(t *testing.T, test func(t *testing.T, s *service, send, receive caller)) {
	t.Helper()
	for door, open := range doors {
		for name, kind := range streamers {
			t.Run(door+"/"+name, func(t *testing.T) {
				s := newService()
				d := open(t, s.handler())
				client := httpClient(t, kind.http2)
				up := connect.NewClient[text, text](client, d.url+gather, kind.options...)
				down := connect.NewClient[text, text](client, d.url+scatter, kind.options...)
				test(t, s, func(ctx context.Context, message string, md map[string]string) answer {
					return sendAll(ctx, up, message, md)
				}, func(ctx context.Context, message string, md map[string]string) answer {
					return receiveAll(ctx, down, message, md)
				})
			})
		}
	}
}

// sendAll sends each word as a message.
func sendAll(ctx context.Context, client *connect.Client[text, text], message string, md map[string]string) answer {
	stream := client.CallClientStream(ctx)
	for name, value := range md {
		stream.RequestHeader().Set(name, value)
	}
	for word := range strings.SplitSeq(message, " ") {
		if err := stream.Send(wrapperspb.String(word)); err != nil {
			break // CloseAndReceive says why
		}
	}
	res, err := stream.CloseAndReceive()
	if err != nil {
		return failureOf(err)
	}
	return answer{message: res.Msg.GetValue(), meta: lower(res.Header(), res.Trailer())}
}

// receiveAll puts a line between the messages.
func receiveAll(ctx context.Context, client *connect.Client[text, text], message string, md map[string]string) answer {
	req := connect.NewRequest(wrapperspb.String(message))
	for name, value := range md {
		req.Header().Set(name, value)
	}
	stream, err := client.CallServerStream(ctx, req)
	if err != nil {
		return failureOf(err)
	}
	defer func() { _ = stream.Close() }()
	var all []string
	for stream.Receive() {
		all = append(all, stream.Msg().GetValue())
	}
	a := answer{message: strings.Join(all, "\n"), meta: lower(stream.ResponseHeader(), stream.ResponseTrailer())}
	if err := stream.Err(); err != nil {
		failed := failureOf(err)
		failed.message = a.message
		if len(a.meta["idempotent-replayed"]) > 0 {
			failed.meta["idempotent-replayed"] = a.meta["idempotent-replayed"]
		}
		return failed
	}
	return a
}

// I3: a stream with a key is whole: it runs once, and its retry gets all its messages.
func TestStreamsAreKept(t *testing.T) {
	streams(t, func(t *testing.T, s *service, send, receive caller) {
		for name, c := range map[string]struct {
			call          caller
			message, want string
			code          codes.Code
		}{
			"up":          {send, "pay one two", "run ", codes.OK},
			"up-fails":    {send, "fail 3", "", codes.InvalidArgument},
			"down":        {receive, "pay", "one\ntwo\nrun ", codes.OK},
			"down-breaks": {receive, "fail 3", "one\ntwo\n", codes.InvalidArgument},
		} {
			before := s.runs.Load()
			first, again := c.call(within(t), c.message, key(name)), c.call(within(t), c.message, key(name))
			if !strings.HasPrefix(first.message, c.want) || first.code != c.code || first.replayed() {
				t.Errorf("%s: got %v", name, first)
			}
			if again.String() != first.String() || !again.replayed() {
				t.Errorf("%s: got %v, replayed %v, want %v", name, again, again.replayed(), first)
			}
			if got := s.runs.Load() - before; got != 1 {
				t.Errorf("%s: %d runs, want 1", name, got)
			}
		}
	})
}

// A stream settles by how it has ended.
func TestStreamsSettle(t *testing.T) {
	streams(t, func(t *testing.T, s *service, send, receive caller) {
		for i, call := range []caller{send, receive} {
			before := s.runs.Load()
			_, _ = call(within(t), "fail 16", key(fmt.Sprint("again", i))), call(within(t), "fail 16", key(fmt.Sprint("again", i)))
			_ = call(within(t), "fail 4", key(fmt.Sprint("held", i)))
			wantRefusal(t, call(within(t), "fail 4", key(fmt.Sprint("held", i))), codes.Aborted, "OUTCOME_UNKNOWN", -1)
			if got := s.runs.Load() - before; got != 3 {
				t.Errorf("%d runs, want 3", got)
			}
		}
	})
}

// Streams are refused in the form of their protocol.
func TestStreamsAreRefused(t *testing.T) {
	streams(t, func(t *testing.T, s *service, send, receive caller) {
		_, _ = send(within(t), "pay", key("up")), receive(within(t), "pay", key("down"))
		wantRefusal(t, send(within(t), "pay more", key("up")), codes.FailedPrecondition, "IDEMPOTENCY_KEY_CONFLICT", -1)
		wantRefusal(t, receive(within(t), "pay more", key("down")), codes.FailedPrecondition, "IDEMPOTENCY_KEY_CONFLICT", -1)
		wantRefusal(t, send(within(t), "pay", map[string]string{"authorization": "me"}), codes.InvalidArgument, "KEY_MISSING", -1)
		wantRuns(t, s, 2)
	})
}

// A stream in both directions whose client waits before it ends its half does not get to
// run, as docs/rpc.md says: nothing happens until its deadline.
func TestBothDirectionsDoNotRun(t *testing.T) {
	s := newService()
	ran := make(chan struct{})
	mux := http.NewServeMux()
	const talk = "/test.v1.Payments/Talk"
	mux.Handle(talk, connect.NewBidiStreamHandler(talk, func(_ context.Context, stream *connect.BidiStream[text, text]) error {
		close(ran)
		return stream.Send(wrapperspb.String("hello"))
	}))
	mux.Handle("/", s.handler())
	d := newMiddleware(t, mux)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	stream := connect.NewClient[text, text](httpClient(t, true), d.url+talk, connect.WithGRPC()).CallBidiStream(ctx)
	for name, value := range key("k") {
		stream.RequestHeader().Set(name, value)
	}
	_ = stream.Send(wrapperspb.String("hello"))
	if _, err := stream.Receive(); !slices.Contains([]connect.Code{connect.CodeDeadlineExceeded, connect.CodeCanceled}, connect.CodeOf(err)) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want a deadline", err)
	}
	select {
	case <-ran:
		t.Error("the handler ran")
	default:
	}
}
