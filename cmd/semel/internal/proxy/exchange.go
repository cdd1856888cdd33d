package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/semel-go/semel"
)

// exchange is one request and its answer, from the middleware to the upstream
// and back. Without a claim the request is not guarded and nothing is held.
type exchange struct {
	route   *forwarder
	in      *http.Request
	claim   *semel.Claim
	body    []byte // of a guarded request, whole
	wire    wire
	timer   *time.Timer // the upstream's time for its answer
	streams bool        // the answer leaves as it comes
}

type exchangeKey struct{}

func exchangeOf(r *http.Request) *exchange {
	return r.Context().Value(exchangeKey{}).(*exchange) //nolint:errcheck,forcetypeassert // the forwarder put it there
}

var errUpstreamTimeout = errors.New("proxy: the upstream did not answer in time")

// readBody takes the request body, which the middleware holds whole, into
// memory of its own: the transport may still read it when the handler is over.
func (x *exchange) readBody(r *http.Request) error {
	if r.Body == nil || r.ContentLength <= 0 {
		return nil
	}
	x.body = make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, x.body); err != nil {
		return fmt.Errorf("proxy: the request body: %w", err)
	}
	return nil
}

// fill gives out the request body in a form that [http.Transport] neither sends
// twice nor sends in two packets. The documented rule is: a request with a key
// is sent again when a reused connection dies and it has no body or a GetBody.
func (x *exchange) fill(out *http.Request) {
	out.GetBody = nil
	if len(x.body) == 0 {
		fillEmpty(out)
		return
	}
	out.Body = io.NopCloser(bytes.NewReader(x.body))
	out.ContentLength = int64(len(x.body))
	out.TransferEncoding = nil
}

// fillEmpty gives out a body without content that is not http.NoBody. Left
// alone, net/http would send it in chunks; servers expect a length of zero with
// the methods that usually have content (RFC 9110 section 8.6). The name in
// lower case is the way past the transport, which makes the length itself and
// here cannot. Should that way close, a field is missing; nothing runs twice.
func fillEmpty(out *http.Request) {
	out.GetBody = nil
	out.Body = io.NopCloser(bytes.NewReader(nil))
	out.ContentLength = 0
	out.TransferEncoding = []string{"identity"}
	switch out.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodDelete:
	default:
		out.Header["content-length"] = []string{"0"}
	}
}

// receive takes the answer's header and, for a guarded request, its whole body,
// before anything of it reaches the middleware: only so can an answer that is
// cut short become a refusal instead of a dead connection.
func (x *exchange) receive(res *http.Response) error {
	if x.claim == nil {
		x.stream(res, nil)
		takeSettle(res.Header)
		return nil
	}
	if isStream(res) || res.StatusCode == http.StatusSwitchingProtocols {
		x.stream(res, nil)
		x.settle(takeSettle(res.Header))
		return nil
	}
	whole, err := x.readWhole(res)
	if err != nil {
		return err
	}
	wish := takeSettle(res.Header)
	if whole {
		wish = append(wish, takeSettle(res.Trailer)...)
	}
	x.settle(wish)
	if len(wish) == 0 && whole {
		x.settleGRPC(res)
	}
	return nil
}

// readWhole replaces the body of res by its bytes, or by a stream when there
// are more than the middleware would keep.
func (x *exchange) readWhole(res *http.Response) (bool, error) {
	if res.Body == http.NoBody {
		return true, nil
	}
	limit := x.route.maxResponse
	var buf bytes.Buffer
	if n := min(res.ContentLength, limit); n > 0 {
		buf.Grow(int(n) + bytes.MinRead) // so that the end is seen without growing
	}
	n, err := buf.ReadFrom(io.LimitReader(res.Body, limit+1))
	switch {
	case err != nil:
		return false, fmt.Errorf("proxy: the answer was cut short after %d bytes: %w", n, err)
	case n > limit:
		x.stream(res, &buf)
		return false, nil
	}
	if err := res.Body.Close(); err != nil { // fills res.Trailer
		return false, fmt.Errorf("proxy: the end of the answer: %w", err)
	}
	res.Body, res.ContentLength = io.NopCloser(&buf), n
	if len(res.Trailer) > 0 { // HTTP/1.1 has room for them only after chunks
		delete(res.Header, "Content-Length")
	}
	return true, nil
}

// stream lets the answer flow, first what was read of it already.
func (x *exchange) stream(res *http.Response, read *bytes.Buffer) {
	x.streams = true
	x.timer.Stop()
	if res.StatusCode == http.StatusSwitchingProtocols {
		return // its body is the connection
	}
	takeSettle(res.Trailer) // announced
	res.Body = &flowing{res.Body, read, res}
}

// flowing is a body that takes Semel's own fields out of the trailer at its end.
type flowing struct {
	io.ReadCloser
	first *bytes.Buffer
	res   *http.Response
}

func (f *flowing) Read(p []byte) (int, error) {
	if f.first != nil {
		if n, err := f.first.Read(p); err == nil {
			return n, nil
		}
		f.first = nil
	}
	return f.ReadCloser.Read(p)
}

func (f *flowing) Close() error {
	err := f.ReadCloser.Close()
	takeSettle(f.res.Trailer)
	return err
}

// isStream reports whether an answer must not wait for its end: server-sent
// events without a length, and what says so in nginx's words.
func isStream(res *http.Response) bool {
	if strings.EqualFold(res.Header.Get("X-Accel-Buffering"), "no") {
		return true
	}
	if res.ContentLength >= 0 {
		return false
	}
	kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	return err == nil && kind == "text/event-stream"
}

// held is the middleware's writer as the ReverseProxy sees it. Its flushes are
// dropped unless the answer streams: they would turn an answer that is there
// into a stream, which is not kept.
type held struct {
	http.ResponseWriter
	x *exchange
}

// FlushError implements what [http.ResponseController] looks for.
func (h held) FlushError() error {
	if !h.x.streams {
		return nil
	}
	return http.NewResponseController(h.ResponseWriter).Flush()
}

// timeLimit ends ctx with errUpstreamTimeout unless the timer is stopped.
func timeLimit(ctx context.Context, d time.Duration) (context.Context, *time.Timer, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(d, func() { cancel(errUpstreamTimeout) })
	return ctx, timer, func() {
		timer.Stop()
		cancel(nil)
	}
}
