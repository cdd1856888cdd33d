package proxy

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// lines sends guarded requests over HTTP/1.1 without TLS. Each connection
// carries one exchange at a time, written and read by the goroutine that serves
// the client. An http.Transport needs two more goroutines for each connection,
// which together cost a quarter of a request, and has to be kept from sending
// twice; here nothing could.
type lines struct {
	dial    dialFunc
	addr    string
	timeout time.Duration // for a whole answer
	idleFor time.Duration

	mu     sync.Mutex
	idle   []*line // in the order of their last use
	reaper *time.Timer
	closed bool
}

func newLines(cfg Config, dial dialFunc) *lines {
	port := cfg.Upstream.Port()
	if port == "" {
		port = "80"
	}
	return &lines{
		dial: dial, addr: net.JoinHostPort(cfg.Upstream.Hostname(), port),
		timeout: cfg.UpstreamTimeout, idleFor: cfg.UpstreamIdle,
	}
}

// send implements sender. It takes another connection only when nothing was
// sent on an idle one, because it turned out to be closed.
func (p *lines) send(ctx context.Context, x *exchange) (*http.Response, error) {
	deadline := time.Now().Add(p.timeout)
	for {
		l, err := p.take(ctx, deadline)
		if err != nil {
			return nil, unsentError{err}
		}
		res, err := l.exchange(ctx, x)
		if err == nil {
			return res, nil
		}
		if unsent := (unsentError{}); l.reused && ctx.Err() == nil && errors.As(err, &unsent) {
			continue
		}
		return nil, reason(ctx, err)
	}
}

// reason finds the cause behind an error of a connection, and keeps whether
// anything was sent.
func reason(ctx context.Context, err error) error {
	why := context.Cause(ctx)
	if why == nil && errors.Is(err, os.ErrDeadlineExceeded) {
		why = errUpstreamTimeout
	}
	if why == nil {
		return err
	}
	if unsent := (unsentError{}); errors.As(err, &unsent) {
		return unsentError{why}
	}
	return why
}

// take returns an idle connection that is open, the one used last, or a new one.
func (p *lines) take(ctx context.Context, deadline time.Time) (*line, error) {
	for l := p.pop(); l != nil; l = p.pop() {
		if l.conn.SetDeadline(deadline) == nil && l.alive() {
			l.reused = true
			return l, nil
		}
		l.close()
	}
	dialing, stop := context.WithDeadline(ctx, deadline)
	defer stop()
	conn, err := p.dial(dialing, "tcp", p.addr)
	if err != nil {
		return nil, err
	}
	l := &line{pool: p, conn: conn}
	l.in = bufio.NewReader(l)
	if c, ok := conn.(syscall.Conn); ok {
		l.raw, _ = c.SyscallConn() // without it the connection is used once
	}
	return l, conn.SetDeadline(deadline)
}

func (p *lines) pop() *line {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	l := p.idle[n-1]
	p.idle[n-1] = nil
	p.idle = p.idle[:n-1]
	return l
}

// put keeps a connection for idleFor.
func (p *lines) put(l *line) {
	l.since = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) == maxIdle || l.raw == nil {
		l.close()
		return
	}
	p.idle = append(p.idle, l)
	if p.reaper == nil {
		p.reaper = time.AfterFunc(p.idleFor, p.reap)
	}
}

// reap closes what has been idle for too long, and comes again while anything is.
func (p *lines) reap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := 0
	for old < len(p.idle) && time.Since(p.idle[old].since) >= p.idleFor {
		p.idle[old].close()
		old++
	}
	p.idle = slices.Delete(p.idle, 0, old)
	if len(p.idle) == 0 || p.closed {
		p.reaper = nil
		return
	}
	p.reaper.Reset(p.idleFor - time.Since(p.idle[0].since))
}

// close ends the idle connections; those in use end with their exchange.
func (p *lines) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.reaper != nil {
		p.reaper.Stop()
	}
	for _, l := range p.idle {
		l.close()
	}
	p.idle = nil
}
