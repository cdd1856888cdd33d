package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gofiber/fiber/v3"
)

// childEnv makes this program a server for another run of itself. It has the
// form "subject NAME", "proxy URL" or "nats SYNC DIR".
const childEnv = "SEMEL_BENCH_CHILD"

// runChild serves until in ends, which it does when the parent is gone. Its only
// line of output is the address.
func runChild(name string, in io.Reader, out io.Writer) error {
	if what, ok := strings.CutPrefix(name, "nats "); ok {
		return runNATS(what, in, out)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, in)
		_ = ln.Close() // ends the server below
	}()
	_, _ = fmt.Fprintln(out, ln.Addr())
	kind, arg, _ := strings.Cut(name, " ")
	switch kind {
	case "subject":
		for _, s := range subjects() {
			if s.name == arg {
				return s.listen(ln)
			}
		}
	case "proxy":
		return listenProxy(ln, arg)
	}
	return fmt.Errorf("%s=%q names nothing", childEnv, name)
}

// listen serves the subject until ln is closed.
func (s subject) listen(ln net.Listener) error {
	pay := new(payments)
	if s.fiber != nil {
		app := s.newFiber(pay)
		return ended(app.Listener(ln, fiber.ListenConfig{DisableStartupMessage: true}))
	}
	h, closeFn, err := s.http(pay)
	if err != nil {
		return err
	}
	defer closeFn()
	server := http.Server{Handler: pay.site(h), ReadHeaderTimeout: 10 * time.Second}
	return ended(server.Serve(ln))
}

func ended(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// listenProxy serves a reverse proxy that does nothing else, as fast as the
// standard library can: buffers from a pool, connections kept, no compression.
func listenProxy(ln net.Listener, upstream string) error {
	target, err := url.Parse(upstream)
	if err != nil {
		return err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:    func(r *httputil.ProxyRequest) { r.SetURL(target) },
		BufferPool: new(buffers),
		Transport: &http.Transport{
			MaxIdleConns:        1024,
			MaxIdleConnsPerHost: 1024,
			DisableCompression:  true,
		},
	}
	server := http.Server{Handler: proxy, ReadHeaderTimeout: 10 * time.Second}
	return ended(server.Serve(ln))
}

// buffers implements [httputil.BufferPool].
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(p []byte) { b.pool.Put(&p) }

// process is a server in a process of its own.
type process struct {
	cmd   *exec.Cmd
	addr  string
	stdin io.Closer
}

// startChild starts this program as a server on cores threads.
func startChild(ctx context.Context, name string, cores int) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), childEnv+"="+name, fmt.Sprintf("GOMAXPROCS=%d", cores))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, stdin: stdin}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("%s did not start: %w", name, err)
	}
	p.addr = strings.TrimSpace(line)
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop asks the process to end and, when it does not, ends it.
func (p *process) stop() {
	if p.stdin != nil {
		_ = p.stdin.Close()
	} else {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	force := time.AfterFunc(5*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer force.Stop()
	_ = p.cmd.Wait() // how it ended says nothing about the figures
}
