package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelgrpc"
	"github.com/semel-go/semel/store/memstore"
)

const (
	callService = "bench.Payments"
	callMethod  = "/" + callService + "/Pay"
)

// payCall is the service: 1 KiB in, 1 KiB out.
func payCall(_ any, ctx context.Context, decode func(any) error, through grpc.UnaryServerInterceptor) (any, error) {
	in := new(wrapperspb.BytesValue)
	if err := decode(in); err != nil {
		return nil, err
	}
	handler := func(context.Context, any) (any, error) { return wrapperspb.Bytes(payAnswer), nil }
	if through == nil {
		return handler(ctx, in)
	}
	return through(ctx, in, &grpc.UnaryServerInfo{FullMethod: callMethod}, handler)
}

func openGRPC(ctx context.Context, w guarding) (do func(string) error, end func() error, err error) {
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		return nil, nil, err
	}
	var options []grpc.ServerOption
	switch w {
	case notGuarded:
	case byCore:
		options = append(options, grpc.UnaryInterceptor(callByHand(engine)))
	case byAdapter:
		guard, err := semelgrpc.New(engine, semelgrpc.ByMetadata("authorization"), semelgrpc.Config{})
		if err != nil {
			return nil, nil, err
		}
		options = append(options, grpc.UnaryInterceptor(guard.Unary()))
	}
	server := grpc.NewServer(options...)
	server.RegisterService(&grpc.ServiceDesc{ServiceName: callService, Methods: []grpc.MethodDesc{{MethodName: "Pay", Handler: payCall}}}, nil)
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	go func() { _ = server.Serve(l) }() // ends by Stop
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		server.Stop()
		return nil, nil, err
	}
	in := wrapperspb.Bytes(payRequest)
	do = func(key string) error {
		out := new(wrapperspb.BytesValue)
		ctx := metadata.AppendToOutgoingContext(ctx, "authorization", payScope, "idempotency-key", key)
		if err := conn.Invoke(ctx, callMethod, in, out); err != nil {
			return err
		}
		if len(out.Value) != jsonSize {
			return fmt.Errorf("got %d bytes, want %d", len(out.Value), jsonSize)
		}
		return nil
	}
	return do, func() error {
		err := conn.Close()
		server.Stop()
		return errors.Join(err, engine.Close(context.WithoutCancel(ctx)))
	}, nil
}

// callByHand is the least code that guards a call and replays its message.
func callByHand(engine *semel.Engine) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		m, ok := req.(proto.Message)
		if !ok {
			return nil, errors.New("no message")
		}
		in, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			return nil, err
		}
		md, _ := metadata.FromIncomingContext(ctx)
		call := semel.Call{
			Key:         semel.Key{Scope: md.Get("authorization")[0], ID: md.Get("idempotency-key")[0]},
			Fingerprint: semel.FingerprintOf([]byte(info.FullMethod), in), Route: info.FullMethod,
		}
		out, err := engine.Begin(ctx, call)
		switch {
		case err != nil:
			return nil, err
		case out.Kind == semel.Replay:
			kept := new(wrapperspb.BytesValue)
			return kept, proto.Unmarshal(out.Record.Response.Body, kept)
		case out.Err() != nil:
			return nil, out.Err()
		}
		inner := out.Claim.Attach(ctx)
		defer out.Claim.Detach()
		defer out.Claim.Abandon(ctx)
		answer, err := next(inner, req)
		if err != nil {
			return nil, err
		}
		message, ok := answer.(proto.Message)
		if !ok {
			return nil, errors.New("no message")
		}
		body, err := proto.Marshal(message)
		if err != nil {
			return nil, err
		}
		return answer, out.Claim.Complete(ctx, semel.Response{Body: body})
	}
}
