package semelgrpc

import (
	"github.com/semel-go/semel"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// SettleFunc says how what a handler returned ends the attempt: Keep it as the outcome, Free
// the key because nothing happened, or Unknown. s is what the client is to see; OK for a reply.
type SettleFunc func(s *status.Status) semel.Disposition

// Settle is the default table. What the handler returned is the outcome and is kept, failures
// included, except
//
//   - UNAUTHENTICATED, which says that the call was not processed: the key is free again;
//   - UNAVAILABLE, RESOURCE_EXHAUSTED, CANCELLED and DEADLINE_EXCEEDED. A handler mostly has them
//     from a service further on, which may have acted: gRPC makes UNAVAILABLE of a connection that
//     broke during a call, and RESOURCE_EXHAUSTED of a reply that is too large to be read. The
//     outcome is unknown and the key is held.
//
// A handler that knows that nothing happened says so by [semel.Claim.Settle] with [semel.Free];
// when that is so for all of a service, see [SettleUnprocessed].
//
// An error that is no status is what the client sees, UNKNOWN with its text, and is kept like
// one: the handler has ended, and its failure is the outcome. ABORTED is kept, because it asks
// for a retry at a higher level, which is another operation.
func Settle(s *status.Status) semel.Disposition {
	switch s.Code() { //nolint:exhaustive // every other code is kept
	case codes.Unauthenticated:
		return semel.Free
	case codes.Unavailable, codes.ResourceExhausted, codes.Canceled, codes.DeadlineExceeded:
		return semel.Unknown
	}
	return semel.Keep
}

// SettleUnprocessed is [Settle], except that UNAVAILABLE and RESOURCE_EXHAUSTED free the key. With it the handler promises that it returns them only when nothing happened,
// as when it sheds load before it begins, and never passes on those of a service that it called.
func SettleUnprocessed(s *status.Status) semel.Disposition {
	if c := s.Code(); c == codes.Unavailable || c == codes.ResourceExhausted {
		return semel.Free
	}
	return Settle(s)
}

// SettleSuccess keeps OK only. Every other status frees the key, except those that [Settle]
// holds. With it the handler promises that what is not a success had no effect.
func SettleSuccess(s *status.Status) semel.Disposition {
	how := Settle(s)
	if how == semel.Keep && s.Code() != codes.OK {
		return semel.Free
	}
	return how
}

// SettleAll keeps every status.
func SettleAll(*status.Status) semel.Disposition { return semel.Keep }

// isFailureOfServer reports whether a status stands for HTTP's 500 and above: in a transaction
// it rolls back.
func isFailureOfServer(c codes.Code) bool {
	switch c { //nolint:exhaustive // every other code is an answer to the client
	case codes.Unknown, codes.Internal, codes.DataLoss, codes.Unimplemented, codes.Unavailable,
		codes.Canceled, codes.DeadlineExceeded:
		return true
	}
	return c > codes.Unauthenticated
}
