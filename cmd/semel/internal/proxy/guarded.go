package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/trace"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

var (
	errUpstreamTimeout = errors.New("proxy: the upstream did not answer in time")
	errCut             = errors.New("proxy: the answer was cut short")
	errSwitched        = errors.New("proxy: the upstream switched protocols without being asked")
)

// sender sends a guarded request upstream at most once.
type sender interface {
	// send returns the final answer's header, and a body that must be closed.
	// An error that is an unsentError says that no byte has left; after any
	// other the upstream may have seen the request. 1xx go to x.hint.
	send(ctx context.Context, x *exchange) (*http.Response, error)
}

// unsentError says that nothing was sent, so nothing happened.
type unsentError struct{ error }

// Unwrap returns the reason.
func (e unsentError) Unwrap() error { return e.error }

// guard sends the request, and answers when the whole answer is there: only so
// can one that is cut short become a refusal instead of a dead connection.
func (x *exchange) guard(ctx context.Context) {
	span := x.traceUpstream(ctx)
	res, err := x.deliver(ctx, span)
	if err != nil {
		endUpstream(span, nil, err)
		x.fail(ctx, err)
		return
	}
	defer func() { _ = res.Body.Close() }() // an error that counts was seen by receive or stream
	body, err := x.receive(ctx, res)
	endUpstream(span, res, err)
	switch {
	case err != nil:
		x.fail(ctx, reason(ctx, err))
	case body == nil:
		x.stream(ctx, res)
	default:
		x.answer(res, body)
	}
}

// deliver sends the request and returns the header of the answer.
func (x *exchange) deliver(ctx context.Context, span trace.Span) (*http.Response, error) {
	if err := x.prepare(); err != nil {
		return nil, unsentError{err}
	}
	x.inject(span, x.header)
	return x.guarded.send(ctx, x)
}

// prepare takes the request body, which the middleware holds whole, into memory
// of its own: a transport may still read it when the handler is over.
func (x *exchange) prepare() error {
	if x.in.ContentLength > 0 {
		x.body = make([]byte, x.in.ContentLength)
		if _, err := io.ReadFull(x.in.Body, x.body); err != nil {
			return fmt.Errorf("proxy: the request body: %w", err)
		}
	}
	x.header = x.outgoing()
	delete(x.header, "Expect") // the client was told to continue, and did
	x.header[HeaderAttempt] = []string{strconv.Itoa(x.claim.Attempt())}
	x.header[HeaderFence] = []string{strconv.FormatInt(x.claim.Fence(), 10)}
	x.header[HeaderDerivedKey] = []string{x.claim.DerivedKey(DerivedStep)}
	return nil
}

// receive reads the whole body, or returns nil and leaves a body that streams.
// It settles the claim by what the upstream wishes.
func (x *exchange) receive(ctx context.Context, res *http.Response) ([]byte, error) {
	if res.StatusCode == http.StatusSwitchingProtocols {
		return nil, errSwitched
	}
	wish := takeSettle(res.Header)
	if isStream(res) {
		x.settleBy(ctx, wish)
		return nil, nil
	}
	body, err := readAll(res.Body, res.ContentLength, x.maxResponse)
	if err != nil {
		return nil, fmt.Errorf("%w after %d bytes: %w", errCut, len(body), err)
	}
	if int64(len(body)) > x.maxResponse {
		x.settleBy(ctx, wish)
		res.Body = begun{bytes.NewReader(body), res.Body}
		return nil, nil
	}
	x.settleBy(ctx, append(wish, takeSettle(res.Trailer)...))
	return body, nil
}

// readAll reads up to one byte more than limit. It never returns nil without an
// error, and a body of the given length does not make it grow.
func readAll(from io.Reader, length, limit int64) ([]byte, error) {
	size := int64(bytes.MinRead)
	if length >= 0 {
		size = min(length, limit) + 1 // to see the end
	}
	body := make([]byte, 0, size)
	for int64(len(body)) <= limit {
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if err == io.EOF {
			return body, nil
		}
		if err != nil {
			return body, err
		}
	}
	return body, nil
}

// begun is a body of which the first part was read already.
type begun struct {
	first *bytes.Reader
	io.ReadCloser
}

func (b begun) Read(p []byte) (int, error) {
	if b.first.Len() > 0 {
		return b.first.Read(p)
	}
	return b.ReadCloser.Read(p)
}

func (b begun) unlimit() { unlimit(b.ReadCloser) }

// isStream reports whether an answer must not wait for its end: server-sent
// events without a length, and what says so in nginx's words.
func isStream(res *http.Response) bool {
	if strings.EqualFold(res.Header.Get("X-Accel-Buffering"), "no") {
		return true
	}
	kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	return res.ContentLength < 0 && strings.EqualFold(strings.TrimSpace(kind), "text/event-stream")
}

// doubt is the reason of a held attempt whose answer did not come whole. It has nothing of
// the error's text, which may quote the upstream.
func doubt(err error) string {
	switch {
	case errors.Is(err, errUpstreamTimeout):
		return "the upstream did not answer in time"
	case errors.Is(err, semel.ErrOverran):
		return "max_run is over"
	case errors.Is(err, semel.ErrLost):
		return "the lease is lost"
	case errors.Is(err, semel.ErrClosed):
		return "the sidecar has ended"
	case errors.Is(err, errSwitched), errors.Is(err, errHeadTooLong):
		return "the upstream's answer is no answer"
	case errors.Is(err, errCut):
		return "the upstream's answer was cut short"
	}
	return "the connection to the upstream was lost"
}

// fail answers when there is no whole answer from the upstream.
func (x *exchange) fail(ctx context.Context, err error) {
	if unsent := (unsentError{}); errors.As(err, &unsent) {
		x.claim.Settle(semel.Free)
		x.metrics.unreachable.Inc()
		x.log(ctx, "the upstream was not reached", err)
		x.mw.Refuse(x.w, x.in, semelhttp.ProblemUpstreamUnreachable, 0)
		return
	}
	x.claim.Doubt(doubt(err))
	x.claim.Settle(semel.Unknown)
	x.metrics.unknown.Inc()
	x.log(ctx, "the upstream gave no whole answer; the outcome is not known", err)
	x.mw.Refuse(x.w, x.in, semelhttp.ProblemOutcomeUnknown, http.StatusGatewayTimeout)
}
