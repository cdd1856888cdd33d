package rpc

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The methods of the service. Their messages are texts.
const (
	charge  = "/test.v1.Payments/Charge"
	gather  = "/test.v1.Payments/Gather"  // the client streams
	scatter = "/test.v1.Payments/Scatter" // the server streams
)

type text = wrapperspb.StringValue

// large is over the limit of what is kept, also when it is compressed.
var large = func() string {
	var b strings.Builder
	for b.Len() < 4*limit {
		b.WriteString(rand.Text())
	}
	return b.String()
}()

// service is what clients call. It counts how often it has run.
type service struct {
	runs atomic.Int64
	// arrived has one for each call that says "wait"; they end when open is closed.
	arrived, open chan struct{}
}

func newService() *service {
	return &service{arrived: make(chan struct{}, 100), open: make(chan struct{})}
}

// do does what the message says, and says which run it was.
func (s *service) do(said string) (string, *connect.Error) {
	run := strconv.FormatInt(s.runs.Add(1), 10)
	word, rest, _ := strings.Cut(said, " ")
	switch word {
	case "wait":
		s.arrived <- struct{}{}
		<-s.open
	case "break":
		panic(http.ErrAbortHandler)
	case "large":
		return large, nil
	case "fail":
		code, err := strconv.Atoi(rest)
		if err != nil {
			panic(err)
		}
		failure := connect.NewError(connect.Code(code), errors.New("run "+run+": 50% ☃"))
		detail, err := connect.NewErrorDetail(&errdetails.LocalizedMessage{Locale: "la", Message: "semel " + run})
		if err != nil {
			panic(err)
		}
		failure.AddDetail(detail)
		failure.Meta().Set("X-Failed", run)
		return "", failure
	}
	return "run " + run, nil
}

// handler is the service by connect-go, which speaks all three protocols.
func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(charge, connect.NewUnaryHandler(charge, func(_ context.Context, req *connect.Request[text]) (*connect.Response[text], error) {
		said, err := s.do(req.Msg.GetValue())
		if err != nil {
			return nil, err
		}
		res := connect.NewResponse(wrapperspb.String(said))
		res.Header().Set("X-Head", said)
		res.Trailer().Set("X-Tail", said)
		return res, nil
	}))
	mux.Handle(gather, connect.NewClientStreamHandler(gather, func(_ context.Context, stream *connect.ClientStream[text]) (*connect.Response[text], error) {
		var all []string
		for stream.Receive() {
			all = append(all, stream.Msg().GetValue())
		}
		said, err := s.do(strings.Join(all, " "))
		if err != nil {
			return nil, err
		}
		return connect.NewResponse(wrapperspb.String(said)), stream.Err()
	}))
	mux.Handle(scatter, connect.NewServerStreamHandler(scatter, func(_ context.Context, req *connect.Request[text], stream *connect.ServerStream[text]) error {
		said, failure := s.do(req.Msg.GetValue())
		for _, part := range []string{"one", "two", said} {
			if err := stream.Send(wrapperspb.String(part)); err != nil {
				return err
			}
		}
		if failure != nil {
			return failure
		}
		return nil
	}))
	return mux
}

// grpcHandler is the unary method by grpc-go, behind its ServeHTTP.
func (s *service) grpcHandler(t *testing.T) http.Handler {
	t.Helper()
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "test.v1.Payments", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Charge", Handler: func(_ any, ctx context.Context, read func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			req := new(text)
			if err := read(req); err != nil {
				return nil, err
			}
			said, failure := s.do(req.GetValue())
			if failure != nil {
				_ = grpc.SetTrailer(ctx, metadata.Pairs("x-failed", failure.Meta().Get("X-Failed")))
				st, err := status.New(codes.Code(failure.Code()), failure.Message()).WithDetails(
					&errdetails.LocalizedMessage{Locale: "la", Message: "semel " + failure.Meta().Get("X-Failed")})
				if err != nil {
					return nil, err
				}
				return nil, st.Err()
			}
			_ = grpc.SetHeader(ctx, metadata.Pairs("x-head", said))
			_ = grpc.SetTrailer(ctx, metadata.Pairs("x-tail", said))
			return wrapperspb.String(said), nil
		}}},
	}, s)
	t.Cleanup(server.Stop)
	return server
}
