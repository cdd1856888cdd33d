// Package semelgrpc guards unary gRPC methods with idempotency keys, and gives clients the
// other end of the wire.
//
// On the server, [New] takes an engine and a scope; [Interceptor.Unary] guards every method
// that has side effects:
//
//	guard, err := semelgrpc.New(engine, semelgrpc.ByMetadata("authorization"), semelgrpc.Config{})
//	server := grpc.NewServer(
//		grpc.ChainUnaryInterceptor(recovery, authenticate, guard.Unary()),
//		grpc.ChainStreamInterceptor(guard.Stream()),
//	)
//
// Where the records lie in the database that a handler writes to, [Interceptor.InTx]
// commits its writes and its answer together.
//
// On the client, [NewClient] makes an interceptor that makes a key once per call and retries
// under it.
//
// The order of interceptors matters. Outside stand authentication, rate limits, tracing and
// whatever recovers panics: what they answer is never kept. Inside stands what turns the
// errors of handlers into statuses: a status that is made outside is not the one that is kept.
//
// A streaming call cannot be guarded. With a key it is refused, without one it is none of
// Semel's business.
package semelgrpc
