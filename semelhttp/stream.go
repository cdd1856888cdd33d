package semelhttp

import (
	"bufio"
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/semel-go/semel"
)

// errNotSent is what a handler is told that lost its slot.
var errNotSent = errors.New("semelhttp: the answer of this attempt is not sent")

// Flush implements [http.Flusher]. See FlushError.
func (c *recorder) Flush() { _ = c.FlushError() }

// FlushError makes the answer a stream: the record is completed without bytes
// first, then everything written goes out. It does nothing when the handler has
// completed its claim by itself, and fails while a transaction holds the slot.
//
// Nor does it anything for a call of gRPC, gRPC-Web or a stream of Connect: their servers
// flush each message, a single one too, and that is no wish to stream.
func (c *recorder) FlushError() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mode == buffering && isEnveloped(c.r) {
		if c.status == 0 { // what is set from here on is a trailer
			c.writeHeader(http.StatusOK)
		}
		return nil
	}
	if c.heldBack() {
		return errNoStream
	}
	if c.mode == buffering {
		if c.status == 0 {
			c.writeHeader(http.StatusOK)
		}
		if c.endedByHandler() {
			return nil
		}
		if err := c.stream(); err != nil {
			return err
		}
	}
	if c.mode == over {
		return c.why
	}
	return http.NewResponseController(c.w).Flush()
}

// stream ends the attempt as "ran, but not kept" and lets the answer go.
func (c *recorder) stream() error {
	if err := c.completeWithout(); err != nil {
		c.stop(errNotSent)
		c.mw.answerInstead(c, err)
		return errNotSent
	}
	trailer := c.lateTrailer()
	c.mode = streaming
	c.restore()
	c.w.WriteHeader(c.status)
	var err error
	if len(c.s.out) > 0 {
		_, err = c.w.Write(c.s.out)
		c.s.out = c.s.out[:0]
	}
	maps.Copy(c.w.Header(), trailer)
	return err
}

// completeWithout completes the record without its bytes. An answer that is not
// kept at all is settled when the handler returns.
func (c *recorder) completeWithout() error {
	if _, ended := c.claim.Settled(); ended || c.disposition() != semel.Keep {
		return nil
	}
	ctx := context.WithoutCancel(c.r.Context())
	err := c.claim.Complete(ctx, c.withoutBytes())
	if errors.Is(err, semel.ErrNotStored) {
		c.s.header[HeaderStored] = []string{"false"}
		return nil
	}
	return err
}

// withoutBytes is what is kept of an answer whose bytes are not.
func (c *recorder) withoutBytes() semel.Response {
	blob := c.s.encode(c.status, flagNotKept, -1, nil, nil, c.mw.cfg.Omit)
	return semel.Response{Status: c.status, Header: slices.Clone(blob)}
}

// Hijack gives the connection away. The outcome is kept as "ran, but not kept".
// What was written before goes out first, as net/http has it.
func (c *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.heldBack() {
		return nil, nil, errNoStream
	}
	if c.mode == buffering && c.status != 0 && !c.endedByHandler() {
		if err := c.stream(); err != nil {
			return nil, nil, err
		}
	}
	if c.mode == over {
		return nil, nil, c.why
	}
	conn, rw, err := http.NewResponseController(c.w).Hijack()
	if err != nil {
		return nil, nil, err // nothing has changed
	}
	if err := c.completeWithout(); err != nil {
		c.stop(errNotSent)
		_ = conn.Close() // before the handler has it: nothing leaves that is not recorded
		return nil, nil, errNotSent
	}
	c.stop(http.ErrHijacked)
	return conn, rw, nil
}

// SetReadDeadline, SetWriteDeadline and EnableFullDuplex pass on what
// [http.ResponseController] asks for.
func (c *recorder) SetReadDeadline(t time.Time) error {
	return http.NewResponseController(c.w).SetReadDeadline(t)
}

// SetWriteDeadline implements the method of [http.ResponseController].
func (c *recorder) SetWriteDeadline(t time.Time) error {
	return http.NewResponseController(c.w).SetWriteDeadline(t)
}

// EnableFullDuplex implements the method of [http.ResponseController].
func (c *recorder) EnableFullDuplex() error {
	return http.NewResponseController(c.w).EnableFullDuplex()
}
