package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

var (
	errNoAnswer    = errors.New("proxy: the upstream closed the connection before the answer")
	errHeadTooLong = errors.New("proxy: the header of the upstream's answer is too long")
)

// line is one connection to the upstream.
type line struct {
	pool   *lines
	conn   net.Conn
	raw    syscall.RawConn // nil when the connection cannot be looked at
	in     *bufio.Reader   // reads from the line itself
	out    []byte          // memory for what is written
	left   int64           // how many bytes more may be read
	failed error           // the last error of reading
	reused bool
	since  time.Time // idle since then
}

// Read implements [io.Reader] for l.in, with a limit for headers.
func (l *line) Read(p []byte) (int, error) {
	if l.left <= 0 {
		l.failed = errHeadTooLong
		return 0, l.failed
	}
	n, err := l.conn.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	l.failed = err
	return n, err
}

// close ends the connection. Its error says nothing that counts.
func (l *line) close() { _ = l.conn.Close() }

// exchange writes the request and reads the answer up to its body. When ctx ends
// the connection is closed under it.
func (l *line) exchange(ctx context.Context, x *exchange) (*http.Response, error) {
	stop := context.AfterFunc(ctx, l.close)
	n, err := l.write(x)
	if err != nil && n == 0 {
		stop()
		l.close()
		return nil, unsentError{err}
	}
	// A request that could not be written to its end may be answered all the
	// same: the upstream refuses it and closes.
	res, rerr := l.readHead(x)
	if rerr != nil {
		stop()
		l.close()
		return nil, errors.Join(err, rerr)
	}
	res.Body = &lineBody{ReadCloser: res.Body, line: l, stop: stop, reusable: err == nil && !res.Close}
	return res, nil
}

// smallBody is up to which size a body is copied to go out in one write.
const smallBody = 16 << 10

// write sends the request and returns how much of it the system took. Method,
// target and fields come from net/http, which refuses line breaks in them.
func (l *line) write(x *exchange) (int, error) {
	b := append(l.out[:0], x.in.Method...)
	b = append(b, ' ')
	b = append(b, x.url().RequestURI()...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, x.host()...)
	b = append(b, "\r\n"...)
	for name, values := range x.header {
		for _, v := range values {
			b = append(b, name...)
			b = append(b, ": "...)
			b = append(b, v...)
			b = append(b, "\r\n"...)
		}
	}
	if sendsLength(x.in.Method, len(x.body)) {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, int64(len(x.body)), 10)
		b = append(b, "\r\n"...)
	}
	b = append(b, "\r\n"...)
	if len(x.body) > smallBody {
		l.out = b
		n, err := l.conn.Write(b)
		if err != nil {
			return n, err
		}
		m, err := l.conn.Write(x.body)
		return n + m, err
	}
	l.out = append(b, x.body...)
	return l.conn.Write(l.out)
}

// max1xx is how many interim answers may come before the final one.
const max1xx = 100

// readHead reads the final answer's header and passes the interim ones on.
func (l *line) readHead(x *exchange) (*http.Response, error) {
	for range max1xx {
		l.left = maxResponseHead
		res, err := http.ReadResponse(l.in, x.in) // which needs the method of it
		if err != nil {
			return nil, l.why(err)
		}
		if res.StatusCode >= 200 || res.StatusCode == http.StatusSwitchingProtocols {
			l.left = math.MaxInt64
			return res, nil
		}
		x.hint(res.StatusCode, res.Header)
	}
	return nil, errHeadTooLong
}

// why finds the reason behind err: a parser calls half a header malformed.
func (l *line) why(err error) error {
	switch {
	case l.failed == nil:
		return err
	case l.failed == io.EOF: //nolint:errorlint // io.Reader returns it unwrapped
		return errNoAnswer
	}
	return l.failed
}

// lineBody is the body of an answer. Closing it gives the connection back when
// nothing speaks against it.
type lineBody struct {
	io.ReadCloser // of net/http: it knows the framing and the trailer
	line          *line
	stop          func() bool
	reusable      bool
	ended, closed bool
}

// Read implements [io.Reader].
func (b *lineBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || err == io.EOF
	return n, err
}

func (b *lineBody) unlimit() { _ = b.line.conn.SetDeadline(time.Time{}) } // fails on a closed one, as the next read does

// Close implements [io.Closer].
func (b *lineBody) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	if untouched := b.stop(); !untouched || !b.ended || !b.reusable || b.line.in.Buffered() > 0 {
		b.line.close()
		return nil
	}
	b.line.pool.put(b.line)
	return nil
}
