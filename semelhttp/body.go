package semelhttp

import (
	"errors"
	"io"
	"net/http"
	"sync"
)

var (
	errBodyTooLarge   = errors.New("semelhttp: the request body is too large")
	errBodyIncomplete = errors.New("semelhttp: the request body is incomplete")
)

// readBody appends the whole request body to buf. A body whose length says too
// much is refused before a byte is read, so before a 100 (Continue) is sent
// (RFC 9110 section 10.1.1).
func readBody(buf []byte, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return buf, errBodyTooLarge
	}
	if r.Body == nil || r.Body == http.NoBody {
		return buf, nil
	}
	start := len(buf)
	if need := int(max(r.ContentLength, 512)) + 1; cap(buf)-start < need { // one more, to see the end
		buf = append(make([]byte, 0, start+need), buf...)
	}
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if int64(len(buf)-start) > limit {
			return buf, errBodyTooLarge
		}
		switch {
		case err == nil:
		case err == io.EOF: //nolint:errorlint // io.Reader returns it unwrapped
			if r.ContentLength >= 0 && int64(len(buf)-start) != r.ContentLength {
				return buf, errBodyIncomplete
			}
			return buf, nil
		default:
			return buf, bodyError(err)
		}
	}
}

func bodyError(err error) error {
	var outer *http.MaxBytesError // an outer limit
	if errors.As(err, &outer) {
		return errBodyTooLarge
	}
	return errors.Join(errBodyIncomplete, err)
}

// body gives the handler the request body that was read before. After the
// handler has returned it gives nothing: a goroutine left behind (an HTTP
// transport's write loop does that) must not see the next request's bytes.
type body struct {
	mu     sync.Mutex
	rest   []byte
	closed bool
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
