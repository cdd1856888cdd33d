package semelgrpc

import (
	"context"
	"errors"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// Metadata that Semel sets in the header.
const (
	// MetadataReplayed is "true" on a replay, and absent otherwise.
	MetadataReplayed = "idempotent-replayed"
	// MetadataStored is "false" on a true answer that is not stored yet, and absent otherwise.
	// A retry may be refused until it is.
	MetadataStored = "semel-stored"
)

var (
	errHeaderSent = errors.New("semelgrpc: the header was sent before")
	errReturned   = errors.New("semelgrpc: the handler has returned")
)

// capture is the transport stream that a handler sees. It holds back what is to be kept: also a
// header that the handler sends early, because nothing leaves before it is durable (I14).
type capture struct {
	method string
	outer  grpc.ServerTransportStream // nil when there is no transport

	mu              sync.Mutex
	header, trailer metadata.MD
	sent, returned  bool
}

func newCapture(ctx context.Context, method string) *capture {
	return &capture{method: method, outer: grpc.ServerTransportStreamFromContext(ctx)}
}

// Method implements [grpc.ServerTransportStream].
func (c *capture) Method() string { return c.method }

// SetHeader implements [grpc.ServerTransportStream].
func (c *capture) SetHeader(md metadata.MD) error { return c.addHeader(md, false) }

// SendHeader implements [grpc.ServerTransportStream]. The header leaves with the answer.
func (c *capture) SendHeader(md metadata.MD) error { return c.addHeader(md, true) }

func (c *capture) addHeader(md metadata.MD, last bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.returned:
		return errReturned
	case c.sent:
		return errHeaderSent
	}
	c.header = metadata.Join(c.header, md)
	c.sent = last
	return nil
}

// SetTrailer implements [grpc.ServerTransportStream].
func (c *capture) SetTrailer(md metadata.MD) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.returned {
		return errReturned
	}
	c.trailer = metadata.Join(c.trailer, md)
	return nil
}

// end takes what the handler has set. What comes later is refused.
func (c *capture) end() (header, trailer metadata.MD) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.returned = true
	return c.header, c.trailer
}

// send sets header and trailer of the real stream, which leave with the answer that is returned.
func send(outer grpc.ServerTransportStream, header, trailer metadata.MD) error {
	if outer == nil {
		return nil
	}
	var err error
	if len(header) > 0 {
		err = outer.SetHeader(header)
	}
	if len(trailer) > 0 {
		err = errors.Join(err, outer.SetTrailer(trailer))
	}
	return err
}
