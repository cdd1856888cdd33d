package semelhttp

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/semel-go/semel"
)

// finish settles the attempt after the handler has returned, and then sends. A
// goroutine of the handler that waits at the lock to write comes too late.
func (c *recorder) finish(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.stop(http.ErrHandlerTimeout)
	c.ended = true
	how, ended := c.claim.Settled()
	switch {
	case c.mode != buffering || c.status != 0:
	case c.emptied, !ended && c.claim.Unlocked(): // it has given up, and says nothing of its transaction
		c.frozen, c.emptied = true, true
	default:
		c.writeHeader(http.StatusOK)
	}
	switch {
	case c.frozen:
		c.finishFrozen(ctx)
	case c.mode == buffering && c.isUnknown(ctx, ended):
		c.finishUnknown(ctx)
	case c.mode == buffering && !ended && c.claim.Locked() && c.succeeds():
		c.finishUncompleted(ctx)
	case ended && c.mode == buffering:
		c.finishEnded(ctx, how)
	case ended:
	case c.mode == buffering:
		c.conclude(ctx)
	default:
		c.finishStream(ctx)
	}
}

// conclude ends the attempt by what its answer means, and sends it.
func (c *recorder) conclude(ctx context.Context) {
	if !c.whole() { // it says nothing about what happened
		c.claim.Doubt("the answer has another length than it declares")
		c.claim.Abandon(ctx)
		panic(http.ErrAbortHandler) // as net/http would cut the connection
	}
	if how := c.disposition(); how != semel.Keep {
		c.end(ctx, how)
		c.send(c.takeTrailer())
		return
	}
	if c.status < 200 { // 101, without Hijack
		_ = c.stream() // has answered if it could not
		return
	}
	c.keep(ctx)
}

// whole reports whether the answer has the length that it declares, and all of
// its bytes are held back.
func (c *recorder) whole() bool {
	if c.r.Method == http.MethodHead || !bodyAllowed(c.status) {
		return true
	}
	return c.written == int64(len(c.s.out)) && (c.length < 0 || c.length == c.written)
}

// end settles an attempt whose answer is not kept.
func (c *recorder) end(ctx context.Context, how semel.Disposition) {
	if how != semel.Free {
		c.doubt()
		c.claim.Abandon(ctx)
		return
	}
	if err := c.claim.Release(ctx); err != nil && !errors.Is(err, semel.ErrLost) && !errors.Is(err, semel.ErrSettled) {
		c.mw.log(ctx, "a key is not free yet", err)
	}
}

// doubt says why an answer holds the key, for the log.
func (c *recorder) doubt() {
	if _, told := c.claim.Settlement(); told {
		c.claim.Doubt("the handler said hold")
		return
	}
	switch end, isCall := c.call(); {
	case isCall && !end.ended:
		c.claim.Doubt("the gRPC call has no status")
	case isCall:
		c.claim.Doubt("gRPC status " + strconv.Itoa(int(end.code)) + " by the settle table")
	default:
		c.claim.Doubt("status " + strconv.Itoa(c.status) + " by the settle table")
	}
}

// keep completes the attempt with the whole answer and sends it: persist
// before send.
func (c *recorder) keep(ctx context.Context) {
	whole, trailer := c.answer()
	err := c.claim.Complete(ctx, whole)
	if errors.Is(err, semel.ErrTooLarge) {
		c.mw.log(ctx, "an answer is not kept, as the store has no room for one of its size: a retry gets 410", err)
		err = c.completeWithout()
	}
	switch {
	case err == nil:
	case errors.Is(err, semel.ErrNotStored):
		c.s.header[HeaderStored] = []string{"false"}
	default:
		c.mw.answerInstead(c, err)
		return
	}
	c.send(trailer)
}

// answer is what is to be kept of the answer, and its trailer fields.
func (c *recorder) answer() (semel.Response, http.Header) {
	c.sniff()
	trailer := c.takeTrailer()
	if int64(len(c.s.out)) > c.mw.cfg.MaxResponse { // a transaction has held it back
		return c.withoutBytes(), trailer
	}
	length := contentLength(c.status, len(c.s.out), trailer)
	if c.r.Method == http.MethodHead {
		length = c.headLength()
	}
	blob := c.s.encode(c.status, 0, length, c.s.out, trailer, c.mw.cfg.Omit)
	return semel.Response{Status: c.status, Header: slices.Clone(blob), Body: slices.Clone(c.s.out)}, trailer
}

// headLength is the length of the content that GET would have, or -1 (RFC 9110
// section 9.3.2).
func (c *recorder) headLength() int {
	if c.length < 0 && c.written > 0 {
		return int(c.written)
	}
	return int(c.length)
}

// finishEnded answers when the handler has ended the claim by itself.
func (c *recorder) finishEnded(ctx context.Context, how semel.Disposition) {
	if how != semel.Keep {
		c.send(c.takeTrailer())
		return
	}
	out, err := c.claim.Confirm(ctx)
	if _, ended := c.claim.Settled(); !ended { // its transaction was rolled back
		if c.succeeds() {
			c.log(ctx, "a handler has returned and its answer does not count", errRolledBack)
			c.endUnsent(ctx, c.refuseNotCommitted)
		} else {
			c.conclude(ctx)
		}
		return
	}
	if err != nil || out.Kind != semel.Replay {
		c.mw.answerInstead(c, errors.Join(semel.ErrLost, err))
		return
	}
	if kept, err := openBlob(out.Record.Response); err == nil && kept.notKept() {
		if !c.whole() {
			panic(http.ErrAbortHandler) // a part of it was dropped
		}
		c.send(c.takeTrailer())
		return
	}
	c.reset()
	c.mw.sendKept(c.w, c.r, out.Record, false)
}

// finishStream settles an attempt whose bytes have left, or whose connection is
// gone, before it was known that they are an outcome.
func (c *recorder) finishStream(ctx context.Context) {
	how := c.disposition()
	if how != semel.Keep {
		c.end(ctx, how)
		return
	}
	if err := c.completeWithout(); err != nil {
		c.mw.log(ctx, "a stream was sent and is not recorded", err)
	}
}

// send writes the held-back answer. A client that is gone cannot be told.
func (c *recorder) send(trailer http.Header) {
	c.restore()
	h := c.w.Header()
	trailer = announce(h, c.r, c.s.outer["Trailer"], trailer)
	head := c.r.Method == http.MethodHead && c.written > 0
	switch {
	case !bodyAllowed(c.status):
		delete(h, "Content-Length") // RFC 9110 section 8.6
	case c.length < 0 && (c.written > 2048 || head) && len(h["Trailer"]) == 0 && h["Transfer-Encoding"] == nil:
		setLength(h, int(c.written)) // else net/http would send it in chunks
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

// restore puts the writer's header back to what it was at WriteHeader: net/http
// ignores later changes, and so do we.
func (c *recorder) restore() {
	h := c.w.Header()
	for name := range h {
		if _, ok := c.s.header[name]; !ok {
			delete(h, name)
		}
	}
	maps.Copy(h, c.s.header)
}

// reset puts the writer's header back to what it was before the handler ran.
func (c *recorder) reset() {
	h := c.w.Header()
	clear(h)
	for name, values := range c.s.outer {
		h[name] = slices.Clone(values) // they lie in pooled memory
	}
}
