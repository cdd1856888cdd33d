package verify

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// wire speaks HTTP/1.1 over a connection for each request. It writes what it is
// told, malformed or not, follows no redirect, knows no proxy, and sends nothing
// twice: net/http repeats a request that has an idempotency key by itself.
type wire struct {
	tls      *tls.Config
	most     int64
	patience time.Duration
	sent     atomic.Int64
}

// The reasons why a request was not sent. They end the trying of rules.
var (
	errBudget = errors.New("the limit of requests is reached")
	errTime   = errors.New("the time is over")
)

// maxHead and maxBody bound an answer, in bytes.
const (
	maxHead = 1 << 20
	maxBody = 8 << 20
)

// request is what is written. Names and values go out as they are.
type request struct {
	method string
	url    *url.URL
	header http.Header
	body   []byte
}

// head is the request line and the header, whole.
func (r request) head() []byte {
	var b bytes.Buffer
	path := r.url.EscapedPath()
	fmt.Fprintf(&b, "%s %s", r.method, cmp.Or(path, "/"))
	if r.url.RawQuery != "" {
		b.WriteString("?" + r.url.RawQuery)
	}
	b.WriteString(" HTTP/1.1\r\n")
	fmt.Fprintf(&b, "Host: %s\r\n", cmp.Or(r.header.Get("Host"), r.url.Host))
	for _, name := range slices.Sorted(maps.Keys(r.header)) {
		if name == "Host" {
			continue
		}
		for _, value := range r.header[name] {
			fmt.Fprintf(&b, "%s: %s\r\n", name, value)
		}
	}
	if len(r.body) > 0 || r.method != http.MethodGet && r.method != http.MethodHead {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(r.body))
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

func (r request) bytes() []byte { return append(r.head(), r.body...) }

// answer is what came back. Without a status there was none, and lost says why.
type answer struct {
	status int
	header http.Header
	body   []byte
	closes bool // the connection ends with it
	lost   error
	at     time.Time // when it was there
}

// outcome says in a word what came.
func (a *answer) outcome() string {
	if a.status == 0 {
		return fmt.Sprintf("no answer (%v)", a.lost)
	}
	return fmt.Sprint(a.status)
}

// hungUp reports whether the server closed the connection in place of an answer.
func (a *answer) hungUp() bool {
	var slow net.Error
	return a.status == 0 && !(errors.As(a.lost, &slow) && slow.Timeout())
}

// link is one connection. Every step on it ends by the time for one answer.
type link struct {
	net.Conn
	in     *bufio.Reader
	left   *io.LimitedReader // under in: what the answer may still take
	unhook func() bool
}

// spend counts a request before it is sent, if one more may be.
func (w *wire) spend() error {
	if w.sent.Add(1) > w.most {
		w.sent.Add(-1)
		return errBudget
	}
	return nil
}

// open connects to where u points and counts as one request. Whoever sends another on the
// connection spends it before.
func (w *wire) open(ctx context.Context, u *url.URL) (*link, error) {
	if err := over(ctx); err != nil {
		return nil, err
	}
	if err := w.spend(); err != nil {
		return nil, err
	}
	until := time.Now().Add(w.patience)
	dialer := net.Dialer{Deadline: until}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port(u)))
	if err == nil && u.Scheme == "https" {
		cfg := w.tls.Clone()
		cfg.ServerName = u.Hostname()
		secure := tls.Client(conn, cfg)
		_ = conn.SetDeadline(until)
		if err = secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
		}
		conn = secure
	}
	if err != nil {
		return nil, cmp.Or(over(ctx), fmt.Errorf("%w: %w", ErrUnreachable, err))
	}
	_ = conn.SetDeadline(until)
	unhook := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	left := &io.LimitedReader{R: conn, N: maxHead}
	return &link{Conn: conn, in: bufio.NewReader(left), left: left, unhook: unhook}, nil
}

func (l *link) close() {
	l.unhook()
	_ = l.Close()
}

// read reads an answer; 1xx before it are skipped.
func (l *link) read(method string) *answer {
	for {
		got := l.readAny(method)
		if got.status/100 != 1 {
			return got
		}
	}
}

// readAny reads the next answer, 1xx or final.
func (l *link) readAny(method string) *answer {
	l.left.N = maxHead // net/http itself bounds no header here
	resp, err := http.ReadResponse(l.in, &http.Request{Method: method})
	if err != nil && l.left.N <= 0 {
		err = fmt.Errorf("its header is larger than %d bytes", maxHead)
	}
	l.left.N += maxBody + 1
	if err != nil {
		return &answer{lost: err, at: time.Now()}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err == nil && len(body) > maxBody:
		err = fmt.Errorf("it is larger than %d bytes", maxBody)
	case err == nil:
		return &answer{status: resp.StatusCode, header: resp.Header, body: body, closes: resp.Close, at: time.Now()}
	}
	return &answer{lost: err, at: time.Now()}
}

// do sends r on a connection of its own. An error means that it was not sent, or
// that the run is over; a server that gives no answer is an answer.
func (w *wire) do(ctx context.Context, r request) (*answer, error) {
	l, err := w.open(ctx, r.url)
	if err != nil {
		return nil, err
	}
	defer l.close()
	_, wrote := l.Write(r.bytes()) // a server may answer before it has read all
	got := l.read(r.method)
	if got.status == 0 {
		if err := over(ctx); err != nil {
			return nil, err
		}
		got.lost = cmp.Or(wrote, got.lost)
	}
	return got, nil
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	if u.Scheme == "https" {
		return "443"
	}
	return "80"
}

// SameOrigin reports whether two URLs are on one server (RFC 6454 section 5).
func SameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

// ShowURL leaves out what may be secret.
func ShowURL(u *url.URL) string {
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	if u.RawQuery != "" {
		return shown.String() + "?…"
	}
	return shown.String()
}

// over says why the run is over, or nil. A deadline of a connection may come a moment
// before that of ctx.
func over(ctx context.Context) error {
	if until, ok := ctx.Deadline(); ok && ctx.Err() == nil && !time.Now().Before(until) {
		return errTime
	}
	return context.Cause(ctx)
}

// pause waits, unless the run ends before.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
