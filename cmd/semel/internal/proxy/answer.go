package proxy

import (
	"context"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
)

// answer gives a whole answer to the middleware. Nothing is flushed: that would
// turn it into a stream, which is not kept.
func (x *exchange) answer(res *http.Response, body []byte) {
	h := x.head(res)
	if len(res.Trailer) > 0 {
		delete(h, "Content-Length") // HTTP/1.1 has room for trailers only after chunks
	}
	x.w.WriteHeader(res.StatusCode)
	if len(body) > 0 {
		_, _ = x.w.Write(body) // the middleware answers for it
	}
	maps.Copy(h, res.Trailer)
}

// head copies the answer's header and announces its trailer.
func (x *exchange) head(res *http.Response) http.Header {
	h := x.w.Header()
	copyEndToEnd(h, res.Header)
	keepUntyped(h, res)
	if len(res.Trailer) > 0 {
		names := make([]string, 0, len(res.Trailer))
		for name := range res.Trailer {
			names = append(names, name)
		}
		h["Trailer"] = []string{strings.Join(names, ", ")}
	}
	return h
}

// keepUntyped keeps net/http from guessing a type that the upstream did not name.
func keepUntyped(h http.Header, res *http.Response) {
	if _, ok := res.Header["Content-Type"]; !ok {
		h["Content-Type"] = nil
	}
}

// stream lets an answer flow that is too large to keep or has no end to wait
// for. When it breaks, all that is left is to cut the client's connection.
func (x *exchange) stream(ctx context.Context, res *http.Response) {
	unlimit(res.Body)
	takeSettle(res.Trailer) // only announced so far
	announced := maps.Clone(res.Trailer)
	h := x.head(res)
	x.w.WriteHeader(res.StatusCode)
	if err := x.flow(res.Body, res.ContentLength < 0); err != nil {
		x.log(ctx, "an answer that streamed was cut short", err)
		x.claim.Doubt("the upstream's answer was cut short")
		panic(http.ErrAbortHandler)
	}
	takeSettle(res.Trailer) // too late to settle by
	for name, lines := range res.Trailer {
		if _, ok := announced[name]; !ok {
			name = http.TrailerPrefix + name
		}
		h[name] = lines
	}
}

// unlimit lifts the time limit of a body that streams.
func unlimit(body io.ReadCloser) {
	if b, ok := body.(interface{ unlimit() }); ok {
		b.unlimit()
	}
}

// flow passes bytes on, and with flush each part as soon as it comes. Its error
// is the upstream's. When writing fails the client has gone, or the middleware
// has answered instead, and there is nothing left to do.
func (x *exchange) flow(from io.Reader, flush bool) error {
	buf := x.buffers.Get()
	defer x.buffers.Put(buf)
	push := func() error { return nil }
	if flush {
		push = http.NewResponseController(x.w).Flush
	}
	for gone := push(); gone == nil; { // the header now, not with the first byte
		n, err := from.Read(buf)
		if n > 0 {
			_, gone = x.w.Write(buf[:n])
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case gone == nil:
			gone = push()
		}
	}
	return nil
}

// buffers lends the memory that streams are copied with.
type buffers struct{ pool sync.Pool }

const bufferSize = 32 << 10

// Get implements [httputil.BufferPool].
func (b *buffers) Get() []byte {
	if buf, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return buf[:]
	}
	return make([]byte, bufferSize)
}

// Put implements [httputil.BufferPool].
func (b *buffers) Put(buf []byte) {
	if len(buf) == bufferSize {
		b.pool.Put((*[bufferSize]byte)(buf))
	}
}
