package semelhttp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/semel-go/semel"
)

// mode is what a recorder does with what the handler writes.
type mode uint8

const (
	// buffering: nothing has left; the answer will be kept whole.
	buffering mode = iota
	// streaming: the record is completed without bytes, and the answer goes
	// out as it is written: it was flushed, or is too large.
	streaming
	// diverted: the slot was lost, or the connection taken over; what the
	// handler writes goes nowhere.
	diverted
	// closed: the handler has returned.
	closed
)

var errDiverted = errors.New("semelhttp: the answer of this attempt is not sent")

// recorder is the handler's ResponseWriter. It holds the answer back until it
// is durable (I14). It works on the header map of the writer below, and knows
// what was in there before, so the kept header is what the handler added.
//
// There is no Unwrap on purpose: through it a handler's ResponseController
// would reach the writer below and send before the answer is kept. A lock keeps
// goroutines that outlive the handler from touching the pooled buffers.
type recorder struct {
	mw    *Middleware
	w     http.ResponseWriter
	r     *http.Request // the client's, for refusals
	claim *semel.Claim
	body  body

	mu      sync.Mutex
	s       *scratch
	mode    mode
	status  int   // 0 until WriteHeader
	written int64 // bytes of body the handler wrote
	length  int64 // declared Content-Length, -1 without one
}

func (c *recorder) Header() http.Header { return c.w.Header() }

// WriteHeader takes the first final status and the header as it is now. 1xx
// are passed on at once and never kept (RFC 9110 section 15.2).
func (c *recorder) WriteHeader(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writeHeader(status)
}

func (c *recorder) writeHeader(status int) {
	switch {
	case status < 100 || status > 999:
		panic(fmt.Sprintf("semelhttp: invalid WriteHeader code %d", status)) // as net/http does
	case c.status != 0 || c.mode != buffering:
		return
	case status < 200 && status != http.StatusSwitchingProtocols:
		c.w.WriteHeader(status)
		return
	}
	c.status = status
	maps.Copy(c.s.header, c.w.Header())
	c.length = declaredLength(c.s.header)
}

// Write takes a part of the body.
func (c *recorder) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch keep, err := c.admit(len(p)); {
	case err != nil:
		return 0, err
	case c.mode == streaming:
		return c.w.Write(p)
	case keep:
		c.s.out = append(c.s.out, p...)
	}
	return len(p), nil
}

// WriteString spares callers of [io.WriteString] a copy.
func (c *recorder) WriteString(p string) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch keep, err := c.admit(len(p)); {
	case err != nil:
		return 0, err
	case c.mode == streaming:
		return io.WriteString(c.w, p)
	case keep:
		c.s.out = append(c.s.out, p...)
	}
	return len(p), nil
}

// admit counts n more bytes of body and says whether they are to be held back.
// It follows net/http in what it refuses.
func (c *recorder) admit(n int) (keep bool, err error) {
	if c.mode == buffering && c.status == 0 {
		c.writeHeader(http.StatusOK)
	}
	switch {
	case c.mode == closed:
		return false, http.ErrHandlerTimeout
	case c.mode == diverted:
		return false, errDiverted
	case !bodyAllowed(c.status):
		return false, http.ErrBodyNotAllowed
	case c.length >= 0 && c.written+int64(n) > c.length:
		return false, http.ErrContentLength
	}
	c.written += int64(n)
	if c.r.Method == http.MethodHead {
		return false, nil
	}
	if c.mode == buffering && c.written > c.mw.cfg.MaxResponse {
		return false, c.stream()
	}
	return c.mode == buffering, nil
}

// Flush implements [http.Flusher]. See FlushError.
func (c *recorder) Flush() { _ = c.FlushError() }

// FlushError makes the answer a stream: the record is completed without bytes
// first, then everything written goes out.
func (c *recorder) FlushError() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mode == buffering && c.status == 0 {
		c.writeHeader(http.StatusOK)
	}
	if c.mode == buffering {
		if err := c.stream(); err != nil {
			return err
		}
	}
	switch c.mode {
	case streaming:
		return http.NewResponseController(c.w).Flush()
	case diverted:
		return errDiverted
	case buffering, closed:
	}
	return http.ErrHandlerTimeout
}

// stream ends the attempt as "ran, but not kept" and lets the answer go.
func (c *recorder) stream() error {
	if err := c.completeWithout(c.status); err != nil {
		return err
	}
	c.mode = streaming
	c.restore()
	c.w.WriteHeader(c.status)
	_, err := c.w.Write(c.s.out)
	c.s.out = c.s.out[:0]
	return err
}

// completeWithout completes the record without its bytes, unless the answer is
// one that is not kept at all: that is settled when the handler returns.
func (c *recorder) completeWithout(status int) error {
	if status != 0 && c.disposition() != semel.Keep {
		return nil
	}
	ctx := context.WithoutCancel(c.r.Context())
	blob := c.s.encode(flagNotKept, -1, nil, nil, c.mw.cfg.Omit)
	err := c.claim.Complete(ctx, semel.Response{Status: status, Header: slices.Clone(blob)})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, semel.ErrNotStored):
		c.w.Header().Set(HeaderStored, "false")
		return nil
	}
	c.mode = diverted
	c.mw.answerInstead(c, err)
	return errDiverted
}

// Hijack gives the connection away. The outcome is kept as "ran, but not kept".
func (c *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.mode {
	case closed:
		return nil, nil, http.ErrHandlerTimeout
	case diverted:
		return nil, nil, errDiverted
	case buffering, streaming:
	}
	if _, ok := c.w.(http.Hijacker); !ok && !unwraps(c.w) {
		return nil, nil, http.ErrNotSupported
	}
	if c.mode == buffering {
		if err := c.completeWithout(0); err != nil {
			return nil, nil, err
		}
	}
	c.mode = diverted
	return http.NewResponseController(c.w).Hijack()
}

func unwraps(w http.ResponseWriter) bool {
	_, ok := w.(interface{ Unwrap() http.ResponseWriter })
	return ok
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

// disposition is what the handler wished, or what its answer means.
func (c *recorder) disposition() semel.Disposition {
	if wish, ok := c.claim.Settlement(); ok {
		return wish
	}
	return c.mw.cfg.Settle(c.status, c.s.header)
}

// finish settles the attempt after the handler has returned, and then sends.
func (c *recorder) finish(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mode == buffering && c.status == 0 {
		c.writeHeader(http.StatusOK)
	}
	if how, ok := c.claim.Settled(); ok {
		if c.mode == buffering {
			c.finishSettled(ctx, how)
		}
		return
	}
	if c.mode != buffering { // a stream whose answer is not one to keep, or a dead end
		c.end(ctx, c.disposition())
		return
	}
	if c.length >= 0 && c.length != c.written && c.r.Method != http.MethodHead && bodyAllowed(c.status) {
		// The answer contradicts itself: it is not whole, so it says nothing.
		c.claim.Abandon(ctx)
		panic(http.ErrAbortHandler) // as net/http would cut the connection
	}
	how := c.disposition()
	if how != semel.Keep {
		c.end(ctx, how)
		c.send(c.takeTrailer())
		return
	}
	c.keep(ctx)
}

// end settles an attempt whose answer is not kept.
func (c *recorder) end(ctx context.Context, how semel.Disposition) {
	if how != semel.Free {
		c.claim.Abandon(ctx)
		return
	}
	if err := c.claim.Release(ctx); err != nil && !errors.Is(err, semel.ErrLost) && !errors.Is(err, semel.ErrSettled) {
		c.mw.log(ctx, "a key is not free yet", err)
	}
}

// keep completes the attempt with the whole answer and sends it: persist
// before send.
func (c *recorder) keep(ctx context.Context) {
	c.sniff()
	trailer := c.takeTrailer()
	length := contentLength(c.status, len(c.s.out), trailer)
	if c.r.Method == http.MethodHead {
		length = int(c.length) // of the content that GET would have (RFC 9110 section 9.3.2)
	}
	blob := c.s.encode(0, length, c.s.out, trailer, c.mw.cfg.Omit)
	err := c.claim.Complete(ctx, semel.Response{
		Status: c.status,
		Header: slices.Clone(blob),
		Body:   slices.Clone(c.s.out),
	})
	switch {
	case err == nil:
	case errors.Is(err, semel.ErrNotStored):
		c.s.header[HeaderStored] = []string{"false"}
	default:
		c.mode = diverted
		c.mw.answerInstead(c, err)
		return
	}
	c.send(trailer)
}

// finishSettled answers when the handler has ended the claim by itself.
func (c *recorder) finishSettled(ctx context.Context, how semel.Disposition) {
	if how != semel.Keep {
		c.send(c.takeTrailer())
		return
	}
	out, err := c.claim.Confirm(ctx)
	switch {
	case err == nil && out.Kind == semel.Replay:
		c.reset()
		c.mode = diverted
		c.mw.sendKept(c.w, c.r, out.Record, false)
	case err == nil && out.Kind == semel.Reserved: // its transaction was rolled back
		if how := c.disposition(); how != semel.Keep {
			c.end(ctx, how)
			c.send(c.takeTrailer())
			return
		}
		c.keep(ctx)
	default:
		c.mode = diverted
		c.mw.answerInstead(c, errors.Join(semel.ErrLost, err))
	}
}

// send writes the held-back answer. A client that is gone cannot be told.
func (c *recorder) send(trailer http.Header) {
	c.mode = streaming
	c.restore()
	h := c.w.Header()
	if c.written > 2048 && c.length < 0 && len(trailer) == 0 && h["Transfer-Encoding"] == nil {
		setLength(h, len(c.s.out)) // else net/http would send it in chunks
	}
	c.w.WriteHeader(c.status)
	if len(c.s.out) > 0 {
		_, _ = c.w.Write(c.s.out)
	}
	maps.Copy(h, trailer)
}

// sniff does what net/http does below us, so that the kept header has it.
func (c *recorder) sniff() {
	h := c.s.header
	_, typed := h["Content-Type"]
	coded := len(h["Content-Encoding"]) > 0 && h["Content-Encoding"][0] != ""
	if typed || coded || len(h["Transfer-Encoding"]) > 0 || len(c.s.out) == 0 {
		return
	}
	h["Content-Type"] = []string{http.DetectContentType(c.s.out)}
}

// takeTrailer returns the trailer fields: those announced in Trailer before
// WriteHeader, and those set with http.TrailerPrefix (which stay prefixed in
// what is sent and lose it in what is kept).
func (c *recorder) takeTrailer() http.Header {
	var trailer http.Header
	add := func(name string, values []string) {
		if trailer == nil {
			trailer = make(http.Header)
		}
		trailer[name] = slices.Clone(values)
	}
	h := c.w.Header()
	for _, line := range c.s.header["Trailer"] {
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if values, ok := h[name]; ok && endToEnd(name, nil) {
				add(name, values)
			}
		}
	}
	for key, values := range h {
		if name, ok := strings.CutPrefix(key, http.TrailerPrefix); ok {
			name = http.CanonicalHeaderKey(name)
			add(name, values)
			c.announce(name)
		}
	}
	return trailer
}

// announce makes a prefixed trailer an ordinary one.
func (c *recorder) announce(name string) {
	c.s.header["Trailer"] = append(slices.Clone(c.s.header["Trailer"]), name)
}

// restore puts the writer's header back to what it was at WriteHeader: net/http
// ignores later changes, and so do we.
func (c *recorder) restore() { setHeader(c.w.Header(), c.s.header) }

// reset puts the writer's header back to what it was before the handler ran.
func (c *recorder) reset() { setHeader(c.w.Header(), c.s.outer) }

func setHeader(h http.Header, to map[string][]string) {
	for name := range h {
		if _, ok := to[name]; !ok {
			delete(h, name)
		}
	}
	maps.Copy(h, to)
}

// close takes the pooled memory away from whatever outlives the handler.
func (c *recorder) close() *scratch {
	_ = c.body.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.s
	c.s, c.mode = nil, closed
	return s
}
