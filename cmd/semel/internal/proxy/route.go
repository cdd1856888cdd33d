package proxy

import (
	"cmp"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"path"
	"strings"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

// newHandler builds the guarded routes over one ReverseProxy.
func newHandler(engine *semel.Engine, scope semelhttp.ScopeFunc, cfg Config, l *live) (http.Handler, error) {
	up := l.ways[0]
	shared := up.hooked(cfg.HTTP, cfg.FailOpen, cfg.Shadow)
	common := up.newRecovery(shared, cfg.RecoverURL)
	if common != nil {
		shared.Recover = common.ask
	}
	l.asks = askers{routes: map[string]*recovery{shared.Route: common}, others: common}
	mw, err := semelhttp.New(engine, scope, shared)
	if err != nil {
		return nil, err
	}
	full := cfg.HTTP.WithPreset()
	if err := CheckKeys(full.Headers); err != nil {
		return nil, err
	}
	base := &forwarder{
		upstream: up, mw: mw,
		keys: canonical(full.Headers), maxResponse: cfg.HTTP.MaxResponse,
	}
	if len(cfg.Routes) == 0 {
		return mw.Wrap(base), nil
	}
	r := &router{mux: http.NewServeMux(), other: mw.Wrap(base)}
	for _, route := range cfg.Routes {
		h, err := base.with(route, cfg, l.way(route.Upstream), &l.asks)
		if err != nil {
			return nil, fmt.Errorf("proxy: route %q: %w", route.Pattern, err)
		}
		if err := register(r.mux, route.Pattern, matched{h}); err != nil {
			return nil, fmt.Errorf("proxy: route %q: %w", route.Pattern, err)
		}
	}
	return r, nil
}

// with returns the handler of a route.
func (f *forwarder) with(route Route, cfg Config, up *upstream, asks *askers) (http.Handler, error) {
	own := *f
	own.upstream = up
	if route.Bypass {
		return &own, nil
	}
	if err := checkRecoverURL(route.RecoverURL); err != nil {
		return nil, err
	}
	base := cfg.HTTP
	var changed semelhttp.Config
	mw, err := f.mw.With(func(h *semelhttp.Config) {
		h.Recover = base.Recover // not the shared one: the route's own limits count
		h.Route = route.Pattern
		if route.Change != nil {
			route.Change(h)
		}
		r := f.newRecovery(*h, cmp.Or(route.RecoverURL, cfg.RecoverURL))
		if r != nil {
			h.Recover = r.ask
		}
		asks.add(h.Route, r)
		*h = up.hooked(*h, or(route.FailOpen, cfg.FailOpen), or(route.Shadow, cfg.Shadow))
		changed = h.WithPreset()
	})
	if err != nil {
		return nil, err
	}
	if err := CheckKeys(changed.Headers); err != nil {
		return nil, err
	}
	if route.Scope != nil {
		if mw, err = mw.WithScope(route.Scope); err != nil {
			return nil, err
		}
	}
	own.mw, own.keys = mw, canonical(changed.Headers)
	own.maxResponse = changed.MaxResponse
	if own.maxResponse == 0 {
		own.maxResponse = semelhttp.DefaultMaxResponse
	}
	return mw.Wrap(&own), nil
}

func or(own *bool, shared bool) bool {
	if own != nil {
		return *own
	}
	return shared
}

// MadeAnew reports whether a field counts for one connection, so that what comes behind
// a proxy is not what was sent to it.
func MadeAnew(name string) bool {
	name = textproto.CanonicalMIMEHeaderKey(name)
	return hopByHop(name) || name == "Host" || name == "Content-Length"
}

// CheckKeys refuses fields that the way to the upstream makes anew.
func CheckKeys(names []string) error {
	for _, name := range canonical(names) {
		if MadeAnew(name) || ours(name) {
			return fmt.Errorf("proxy: the field %s cannot carry a key", name)
		}
	}
	return nil
}

func canonical(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = textproto.CanonicalMIMEHeaderKey(n)
	}
	return out
}

// register adds a pattern to mux, which panics on a bad one.
func register(mux *http.ServeMux, pattern string, h http.Handler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	mux.Handle(pattern, h)
	return nil
}

// router chooses by pattern. It only asks the mux and never lets it answer: a
// mux redirects, and a proxy must not.
type router struct {
	mux   *http.ServeMux
	other http.Handler
}

// matched marks the mux's answers that are routes.
type matched struct{ http.Handler }

// ServeHTTP implements [http.Handler].
func (r *router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	h, pattern := r.mux.Handler(cleaned(req))
	if route, ok := h.(matched); ok {
		r.name(req.Context(), pattern)
		route.ServeHTTP(w, req)
		return
	}
	r.other.ServeHTTP(w, req)
}

// cleaned returns req, or a copy with the path that the mux would redirect to.
func cleaned(req *http.Request) *http.Request {
	raw := req.URL.EscapedPath()
	clean := path.Clean("/" + raw)
	if strings.HasSuffix(raw, "/") && clean != "/" {
		clean += "/"
	}
	if clean == raw {
		return req
	}
	u := *req.URL
	text, err := url.PathUnescape(clean)
	if err != nil { // cannot be: it was unescaped before
		return req
	}
	u.Path, u.RawPath = text, clean
	copied := *req
	copied.URL = &u
	return &copied
}
