package rpc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// answer is what a client makes of one call.
type answer struct {
	message string
	code    codes.Code // OK for a message
	said    string
	details []proto.Message
	meta    map[string][]string // header and trailer, names in lower case
}

// String is everything that a replay must repeat.
func (a answer) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %v %q", a.message, a.code, a.said)
	for _, d := range a.details {
		fmt.Fprintf(&b, " %s{%s}", d.ProtoReflect().Descriptor().FullName(), d)
	}
	for _, name := range slices.Sorted(maps.Keys(a.meta)) {
		if strings.HasPrefix(name, "x-") {
			fmt.Fprintf(&b, " %s=%q", name, a.meta[name])
		}
	}
	return b.String()
}

func (a answer) replayed() bool { return slices.Equal(a.meta["idempotent-replayed"], []string{"true"}) }

// reason is that of the refusal, "" for an answer of the service's own.
func (a answer) reason() string {
	for _, d := range a.details {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == "semel" {
			return info.GetReason()
		}
	}
	return ""
}

// again is for how many seconds the client is told to wait, -1 if it is not told to try again.
func (a answer) again() int64 {
	for _, d := range a.details {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().GetSeconds()
		}
	}
	return -1
}

// caller makes a call with the metadata given.
type caller func(ctx context.Context, message string, md map[string]string) answer

// callers are the clients.
var callers = map[string]func(t *testing.T, url string) caller{
	"connect-go, Connect":         func(t *testing.T, url string) caller { return byConnect(t, url, false) },
	"connect-go, Connect in JSON": func(t *testing.T, url string) caller { return byConnect(t, url, false, connect.WithProtoJSON()) },
	"connect-go, gRPC-Web":        func(t *testing.T, url string) caller { return byConnect(t, url, false, connect.WithGRPCWeb()) },
	"connect-go, gRPC":            func(t *testing.T, url string) caller { return byConnect(t, url, true, connect.WithGRPC()) },
	"grpc-go":                     func(t *testing.T, url string) caller { return byGRPC(t, url) },
}

func httpClient(t *testing.T, http2 bool) *http.Client {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!http2)
	transport.Protocols.SetUnencryptedHTTP2(http2)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func byConnect(t *testing.T, url string, http2 bool, options ...connect.ClientOption) caller {
	t.Helper()
	client := connect.NewClient[text, text](httpClient(t, http2), url+charge, options...)
	return func(ctx context.Context, message string, md map[string]string) answer {
		req := connect.NewRequest(wrapperspb.String(message))
		for name, value := range md {
			req.Header().Set(name, value)
		}
		res, err := client.CallUnary(ctx, req)
		if err != nil {
			return failureOf(err)
		}
		return answer{message: res.Msg.GetValue(), meta: lower(res.Header(), res.Trailer())}
	}
}

// failureOf reads an error of connect-go.
func failureOf(err error) answer {
	var failure *connect.Error
	if !errors.As(err, &failure) {
		return answer{code: codes.Unknown, said: "no error of connect-go's: " + err.Error()}
	}
	a := answer{code: codes.Code(failure.Code()), said: failure.Message(), meta: lower(failure.Meta())}
	for _, d := range failure.Details() {
		value, err := d.Value()
		if err != nil {
			value = wrapperspb.String("a detail that cannot be read: " + err.Error())
		}
		a.details = append(a.details, value)
	}
	return a
}

func lower(fields ...http.Header) map[string][]string {
	all := make(map[string][]string)
	for _, h := range fields {
		for name, values := range h {
			all[strings.ToLower(name)] = values
		}
	}
	return all
}

func byGRPC(t *testing.T, url string, options ...grpc.DialOption) caller {
	t.Helper()
	options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))
	conn, err := grpc.NewClient("passthrough:///"+strings.TrimPrefix(url, "http://"), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return func(ctx context.Context, message string, md map[string]string) answer {
		var head, tail metadata.MD
		res := new(text)
		err := conn.Invoke(metadata.NewOutgoingContext(ctx, metadata.New(md)), charge, wrapperspb.String(message), res,
			grpc.Header(&head), grpc.Trailer(&tail))
		meta := make(map[string][]string)
		maps.Copy(meta, head)
		maps.Copy(meta, tail)
		if err == nil {
			return answer{message: res.GetValue(), meta: meta}
		}
		st := status.Convert(err)
		a := answer{code: st.Code(), said: st.Message(), meta: meta}
		for _, d := range st.Details() {
			value, ok := d.(proto.Message)
			if !ok {
				value = wrapperspb.String(fmt.Sprint("a detail that cannot be read: ", d))
			}
			a.details = append(a.details, value)
		}
		return a
	}
}
