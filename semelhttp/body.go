package semelhttp

import (
	"errors"
	"io"
	"net/http"
	"sync"
)

var errBodyIncomplete = errors.New("semelhttp: the request body is incomplete")

// firstRead is how many bytes of memory a declared length is worth; more comes
// with the body, so that a header alone costs nothing.
const firstRead = 64 << 10

// readBody appends the whole request body to buf. A body whose length says too
// much is refused before a byte is read, so before a 100 (Continue) is sent
// (RFC 9110 section 10.1.1). The error is then an [*http.MaxBytesError], as an
// outer limit's is.
func readBody(buf []byte, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return buf, &http.MaxBytesError{Limit: limit}
	}
	if r.Body == nil || r.Body == http.NoBody {
		return buf, nil
	}
	start := len(buf)
	if need := int(min(max(r.ContentLength, 512), firstRead)) + 1; cap(buf)-start < need { // one more, to see the end
		buf = append(make([]byte, 0, start+need), buf...)
	}
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if int64(len(buf)-start) > limit {
			return buf, &http.MaxBytesError{Limit: limit}
		}
		switch {
		case err == nil:
		case err == io.EOF:
			if r.ContentLength >= 0 && int64(len(buf)-start) != r.ContentLength {
				return buf, errBodyIncomplete
			}
			return buf, nil
		default:
			return buf, errors.Join(errBodyIncomplete, err)
		}
	}
}

// body gives the handler the request body that was read before. After the
// handler has returned it gives nothing: a goroutine left behind (an HTTP
// transport's write loop does that) must not see the next request's bytes.
type body struct {
	mu     sync.Mutex
	rest   []byte
	closed bool
}

// give makes b the body of r, a copy that is the handler's own. It has a length
// now, unless trailers need chunks.
func (b *body) give(r *http.Request) *http.Request {
	if len(r.Trailer) == 0 {
		r.ContentLength, r.TransferEncoding = int64(len(b.rest)), nil
	}
	r.Body = http.NoBody
	if len(b.rest) > 0 {
		r.Body = b
	}
	return r
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rest, b.closed = nil, true
	return nil
}
