package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

// live is what a reload replaces: all that a request meets on its way.
type live struct {
	cfg     Config
	handler http.Handler
	ways    []*upstream // the first is the one of all routes that have none of their own
	asks    askers

	// The server's mutex guards these.
	users   int  // requests under way
	retired bool // by a reload; the last user closes the ways
}

// newLive builds the routes and the ways to their upstreams. It opens nothing.
func (s *Server) newLive(scope semelhttp.ScopeFunc, cfg Config) (*live, error) {
	l := &live{cfg: cfg}
	l.ways = append(l.ways, newUpstream(s.engine, cfg, s.dial, s.via))
	var err error
	l.handler, err = newHandler(s.engine, scope, cfg, l)
	if err == nil {
		err = l.checkSweep(s.engine.Store())
	}
	for _, r := range cfg.Routes {
		if err == nil && !r.Bypass {
			cfg.Metrics.Expect(r.Pattern)
		}
	}
	return l, err
}

// way returns the way to the upstream of a route.
func (l *live) way(to *url.URL) *upstream {
	base := l.ways[0]
	if to == nil || *to == *base.cfg.Upstream {
		return base
	}
	for _, w := range l.ways {
		if *w.cfg.Upstream == *to {
			return w
		}
	}
	cfg := base.cfg
	cfg.Upstream = to
	w := newUpstream(base.engine, cfg, base.dial, base.via)
	l.ways = append(l.ways, w)
	return w
}

// checkSweep reports why a sweep that is asked for cannot run.
func (l *live) checkSweep(store semel.Store) error {
	switch _, lists := semel.As[semel.Lister](store); {
	case l.cfg.Sweep == 0:
		return nil
	case !l.asks.any():
		return errors.New("proxy: a sweep needs a recovery URL")
	case !lists:
		return errors.New("proxy: a sweep needs a store that can list its records")
	}
	return nil
}

func (l *live) close() {
	for _, w := range l.ways {
		w.close()
	}
}

// current returns what holds now.
func (s *Server) current() *live {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live
}

// enter returns what a request will meet from its beginning to its end. It must leave.
func (s *Server) enter() *live {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live.users++
	return s.live
}

func (s *Server) leave(l *live) {
	s.mu.Lock()
	l.users--
	last := l.retired && l.users == 0
	s.mu.Unlock()
	if last {
		l.close()
	}
}

// Reload changes everything of a Config that a request meets: scope, routes, upstreams,
// limits, certificates. Requests under way end as they began; not one is dropped. What
// the listeners, the engine and the sweep were made with does not change: an
// attempt to is an error, as is a Config that New would refuse, and then nothing has
// changed. It is safe for concurrent use.
func (s *Server) Reload(scope semelhttp.ScopeFunc, cfg Config) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	for _, fixed := range []struct {
		name     string
		was, now any
	}{
		{"Listen", s.cfg.Listen, cfg.Listen},
		{"Admin", s.cfg.Admin, cfg.Admin},
		{"TLS", s.cfg.TLS != nil, cfg.TLS != nil},
		{"ReadTimeout", s.cfg.ReadTimeout, cfg.ReadTimeout},
		{"Sweep", s.cfg.Sweep, cfg.Sweep},
		{"Purging", s.cfg.Purging, cfg.Purging},
	} {
		if !reflect.DeepEqual(fixed.was, fixed.now) {
			return fmt.Errorf("proxy: Config.%s cannot change while the server runs", fixed.name)
		}
	}
	cfg.Metrics, cfg.Version, cfg.Tracer = s.cfg.Metrics, s.cfg.Version, s.cfg.Tracer
	next, err := s.newLive(scope, cfg)
	if err != nil {
		return err
	}
	s.mu.Lock()
	old := s.live
	s.live, old.retired = next, true
	idle := old.users == 0
	s.mu.Unlock()
	if idle {
		old.close()
	}
	return nil
}

// tlsConfig is what the listener for clients is given: each handshake asks for what holds
// then.
func (s *Server) tlsConfig() *tls.Config {
	base := s.cfg.TLS.Clone()
	if len(base.NextProtos) == 0 {
		base.NextProtos = []string{"h2", "http/1.1"}
	}
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := s.current().cfg.TLS.Clone()
		now.NextProtos = base.NextProtos
		return now, nil
	}
	return base
}
