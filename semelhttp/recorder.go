package semelhttp

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

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
	// over: what is written goes nowhere; recorder.why says the reason.
	over
)

// recorder is the handler's ResponseWriter. It holds the answer back until it
// is durable (I14). It works on the header map of the writer below, and knows
// what was in there before, so the kept header is what the handler added.
// stream.go has what lets an answer go early, finish.go what happens when the
// handler has returned.
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
	inTx    bool  // in a transaction of [Middleware.InTx]: nothing leaves before its commit
	frozen  bool  // the answer is in a transaction that may be committed by now
	emptied bool  // what was written was taken back by Reset, or never came about
	told    bool  // that it is frozen
	ended   bool  // the handler has returned: no more is to come
	why     error // with mode over
	failed  error // of CompleteIn
	status  int   // 0 until WriteHeader
	written int64 // bytes of body the handler wrote
	length  int64 // declared Content-Length, -1 without one
}

// recorderOf returns the recorder that w writes to, or nil.
func recorderOf(w http.ResponseWriter) *recorder {
	for {
		switch t := w.(type) {
		case *recorder:
			return t
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return nil
		}
	}
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
	case c.frozen && c.mode == buffering:
		c.tellFrozen()
		return
	case c.status != 0 || c.mode != buffering:
		return
	case status < 200 && status != http.StatusSwitchingProtocols:
		c.w.WriteHeader(status)
		return
	}
	c.status = status
	for name, values := range c.w.Header() {
		if !strings.HasPrefix(name, http.TrailerPrefix) { // takeTrailer finds these
			c.s.header[name] = values
		}
	}
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
	switch {
	case c.mode == over:
		return false, c.why
	case c.frozen:
		c.tellFrozen()
		return false, ErrFrozen
	}
	if c.status == 0 {
		c.writeHeader(http.StatusOK)
	}
	switch {
	case n == 0:
		return false, nil
	case !bodyAllowed(c.status):
		return false, http.ErrBodyNotAllowed
	case c.length >= 0 && c.written+int64(n) > c.length:
		return false, http.ErrContentLength
	}
	c.written += int64(n)
	switch {
	case c.r.Method == http.MethodHead:
		return false, nil
	case c.mode == buffering && c.written > c.mw.cfg.MaxResponse:
		switch {
		case c.heldBack(): // whatever its size
		case c.endedByHandler():
			return false, nil // what was kept goes out instead
		default:
			return false, c.stream()
		}
	}
	return c.mode == buffering, nil
}

// heldBack reports whether nothing may leave before the handler has returned,
// because the answer belongs to a transaction, or may come to do so.
func (c *recorder) heldBack() bool {
	return c.mode == buffering && (c.inTx || c.frozen || c.claim.Locked())
}

// endedByHandler reports whether the handler has completed the claim while
// nothing had left: the answer is then what was kept. Whether a transaction has
// kept it is not known before the handler returns.
func (c *recorder) endedByHandler() bool {
	how, ok := c.claim.Settled()
	return ok && how == semel.Keep && c.mode == buffering
}

// disposition is what the handler wished, or what its answer means.
func (c *recorder) disposition() semel.Disposition {
	if wish, ok := c.claim.Settlement(); ok {
		return wish
	}
	if c.status == 0 { // hijacked
		return semel.Keep
	}
	status, ended := c.meaning()
	if !ended {
		return semel.Unknown
	}
	return c.mw.cfg.Settle(status, c.s.header)
}

// stop ends the writing.
func (c *recorder) stop(why error) { c.mode, c.why = over, why }

// close takes the pooled memory away from whatever outlives the handler.
func (c *recorder) close() *scratch {
	_ = c.body.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stop(http.ErrHandlerTimeout)
	s := c.s
	c.s = nil
	return s
}
