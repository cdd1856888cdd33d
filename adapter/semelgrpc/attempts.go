package semelgrpc

import (
	"github.com/semel-go/semel/semelhttp"
	"google.golang.org/grpc"
)

// Attempts tells how a call of a [Client] went. Count has the tries of the Client; gRPC may have
// resent one by itself, so that an answer is a replay with Count 1. The zero Attempts is of a call
// without a key.
type Attempts = semelhttp.Attempts

// AttemptsTo returns an option of one call that writes to a how it went, before the call
// returns. Without a [Client] it does nothing.
func AttemptsTo(a *Attempts) grpc.CallOption { return attemptsOption{to: a} }

type attemptsOption struct {
	grpc.EmptyCallOption
	to *Attempts
}

// tell writes to those who have asked.
func tell(a Attempts, opts []grpc.CallOption) {
	for _, opt := range opts {
		if asked, ok := opt.(attemptsOption); ok {
			*asked.to = a
		}
	}
}
