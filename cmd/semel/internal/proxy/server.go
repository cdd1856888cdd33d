package proxy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/problem"
	"github.com/semel-go/semel/semelhttp"
)

const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	// closeGrace is what the end of the engine and of the admin listener may
	// take when the drain has used its time up.
	closeGrace = 2 * time.Second
)

// Server is the sidecar. Make it with [New].
type Server struct {
	cfg      Config // as it was at the start
	engine   *semel.Engine
	handler  http.Handler
	dial     dialFunc
	via      []string // the line of HeaderVia that names this sidecar
	prober   *prober
	draining atomic.Bool

	mu   sync.Mutex
	live *live
}

// New checks cfg and returns a Server. It opens nothing and starts nothing.
// scope says who the caller is, see [semelhttp.New].
func New(engine *semel.Engine, scope semelhttp.ScopeFunc, cfg Config) (*Server, error) {
	return newServer(engine, scope, cfg, dialer())
}

func newServer(engine *semel.Engine, scope semelhttp.ScopeFunc, cfg Config, dial dialFunc) (*Server, error) {
	if engine == nil {
		return nil, errors.New("proxy: no engine")
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, engine: engine, dial: dial, via: []string{rand.Text()}, prober: newProber(engine.Store())}
	if s.live, err = s.newLive(scope, cfg); err != nil {
		return nil, err
	}
	s.handler = http.HandlerFunc(s.serve)
	cfg.Metrics.Watch(engine)
	return s, nil
}

// serve counts requests, and refuses tunnels, which are not for a service, and
// loops, which end only when nothing is left to open connections with.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect {
		problem.Details{Status: http.StatusMethodNotAllowed, Title: "Tunnels are not opened"}.Write(w)
		return
	}
	if s.loops(r) {
		s.refuseLoop(w, r)
		return
	}
	s.cfg.Metrics.serving.Add(1)
	defer s.cfg.Metrics.serving.Add(-1)
	r, span := s.traced(r)
	if span != nil {
		defer span.End()
	}
	l := s.enter()
	defer s.leave(l)
	l.handler.ServeHTTP(w, r)
}

// Handler returns the sidecar without its listeners, timeouts and drain.
func (s *Server) Handler() http.Handler { return s.handler }

// Run listens, serves HTTP/1.1 and HTTP/2, with TLS or without, purges and sweeps, until
// ctx ends. It then says that it is not ready, accepts nothing more, lets the
// requests in flight end and be kept for Config.Drain, and closes the engine.
//
// It returns nil after a clean drain, and an error when it cannot listen, when
// a listener fails, or when requests were cut off. It runs once.
func (s *Server) Run(ctx context.Context) error {
	listen, admin, err := s.open(ctx)
	if err != nil {
		return err
	}
	r := &run{s: s, failed: make(chan error, 4)} // one for each goroutine below
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	r.traffic = s.httpServer(base, s.handler)
	if s.cfg.TLS != nil {
		r.traffic.TLSConfig = s.tlsConfig()
		r.traffic.Protocols.SetUnencryptedHTTP2(false)
		r.traffic.Protocols.SetHTTP2(true)
	}
	r.start("listen", func() error {
		if s.cfg.TLS != nil {
			return r.traffic.ServeTLS(listen, "", "")
		}
		return r.traffic.Serve(listen)
	})
	if admin != nil {
		r.admin = s.httpServer(base, s.admin())
		r.start("admin", func() error { return r.admin.Serve(admin) })
	}
	tidying, stopTidying := context.WithCancel(ctx)
	defer stopTidying()
	if _, ok := semel.As[semel.Purger](s.engine.Store()); ok {
		r.start("purge", func() error { return s.engine.RunPurge(tidying, s.cfg.Purging) })
	}
	if s.cfg.Sweep > 0 {
		r.start("sweep", func() error { return s.engine.RunSweep(tidying, s.sweeping()) })
	}
	s.tellReady(listen, admin)

	select {
	case <-ctx.Done():
	case err = <-r.failed:
	}
	s.cfg.Logger.InfoContext(ctx, "draining", "requests", s.cfg.Metrics.serving.Load(), "limit", s.current().cfg.Drain)
	s.draining.Store(true)
	stopTidying()
	return errors.Join(err, r.drain(context.WithoutCancel(ctx), cut))
}

// open listens on both addresses or on none.
func (s *Server) open(ctx context.Context) (listen, admin net.Listener, err error) {
	var lc net.ListenConfig
	listen, err = lc.Listen(ctx, "tcp", s.cfg.Listen)
	if err != nil {
		return nil, nil, fmt.Errorf("proxy: the setting listen: %w", err)
	}
	if s.cfg.Admin == "" {
		return listen, nil, nil
	}
	admin, err = lc.Listen(ctx, "tcp", s.cfg.Admin)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("proxy: the setting admin: %w", err), listen.Close())
	}
	return listen, admin, nil
}

func (s *Server) httpServer(base context.Context, h http.Handler) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           h,
		Protocols:         protocols,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       s.cfg.ReadTimeout, // the forwarder lifts it once the body is read
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return base },
	}
}

func (s *Server) admin() http.Handler {
	a := &admin{metrics: s.cfg.Metrics, version: s.cfg.Version, draining: s.draining.Load, store: s.prober}
	if s.cfg.Console != nil {
		a.console = s.cfg.Console
	}
	return a.handler()
}

func (s *Server) tellReady(listen, admin net.Listener) {
	if s.cfg.Ready == nil {
		return
	}
	var adminAddr net.Addr
	if admin != nil {
		adminAddr = admin.Addr()
	}
	s.cfg.Ready(listen.Addr(), adminAddr)
}

// run is one call of Run: what it started and must end.
type run struct {
	s              *Server
	traffic, admin *http.Server // admin may be nil
	work           sync.WaitGroup
	failed         chan error
}

// start runs f until it ends. An end that nobody asked for is a failure.
func (r *run) start(name string, f func() error) {
	r.work.Go(func() {
		if err := f(); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, context.Canceled) {
			r.failed <- fmt.Errorf("proxy: %s: %w", name, err)
		}
	})
}

// drain ends everything in order: the requests, the engine that keeps their
// answers, then the listener that says how it goes. cut ends the requests that
// are not guarded and closes upgraded connections.
func (r *run) drain(ctx context.Context, cut context.CancelFunc) error {
	var errs []error
	limit := r.s.current().cfg.Drain
	until := time.Now().Add(limit)
	bounded, stop := context.WithDeadline(ctx, until)
	defer stop()
	late := r.traffic.Shutdown(bounded)
	if late != nil {
		left := r.s.cfg.Metrics.serving.Load()
		errs = append(errs, fmt.Errorf("proxy: %d requests still ran after a drain of %v: %w", left, limit, late))
	}
	cut()
	rest, stopRest := context.WithTimeout(ctx, max(time.Until(until), closeGrace))
	defer stopRest()
	if err := r.s.engine.Close(rest); err != nil {
		errs = append(errs, fmt.Errorf("proxy: some answers were not stored: %w", err))
	}
	if late != nil { // what Close has cancelled answers so
		errs = append(errs, end(rest, r.traffic))
	}
	if r.s.cfg.Console != nil { // first: a shutdown would wait for its streams
		errs = append(errs, r.s.cfg.Console.Close(rest))
	}
	if r.admin != nil {
		errs = append(errs, end(rest, r.admin))
	}
	r.s.prober.wait(rest)
	r.work.Wait()
	r.s.current().close()
	return errors.Join(errs...)
}

// end shuts a server down, gently while ctx allows it.
func end(ctx context.Context, s *http.Server) error {
	if err := s.Shutdown(ctx); err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}
