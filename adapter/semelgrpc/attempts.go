package semelgrpc

import (
	"fmt"
	"io"
	"strconv"

	"google.golang.org/grpc"
)

// Attempts tells how a call of a [Client] went. The zero Attempts is of a call without a key.
type Attempts struct {
	// Count is how many times the call was sent by the Client.
	Count int
	// Replayed is true when the answer is the kept one of an earlier try. With Count 1 that try
	// belonged to an earlier call, or gRPC resent it by itself.
	Replayed bool
	// Key is the key that was sent. It is as sensitive as a credential and is not printed.
	Key string `json:"-"`
}

// String returns a text such as "2 attempts, replayed".
func (a Attempts) String() string {
	text := strconv.Itoa(a.Count) + " attempts"
	if a.Replayed {
		text += ", replayed"
	}
	return text
}

// Format implements [fmt.Formatter], so that no verb prints the key.
func (a Attempts) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, a.String()) }

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
