package proxy

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

// upstream is the way to the service, which all routes share.
type upstream struct {
	cfg     Config
	target  url.URL // with the scheme http or https, and no "/" at the end
	dial    dialFunc
	engine  *semel.Engine
	guarded sender
	passing *httputil.ReverseProxy // for what is not guarded
	closers []func()               // end idle connections
	via     []string               // the line of HeaderVia that names this sidecar
	buffers buffers
	metrics *Metrics
	logger  *slog.Logger
}

func newUpstream(engine *semel.Engine, cfg Config, dial dialFunc, via []string) *upstream {
	u := &upstream{
		cfg: cfg, target: *cfg.Upstream, dial: dial, engine: engine, metrics: cfg.Metrics, logger: cfg.Logger,
		via: via,
	}
	u.target.Path = strings.TrimSuffix(u.target.Path, "/")
	u.target.RawPath = strings.TrimSuffix(u.target.RawPath, "/")
	transport := newTransport(cfg, cfg.Upstream.Scheme, dial)
	u.closers = append(u.closers, transport.CloseIdleConnections)
	tracked := tracked{transport}
	u.passing = u.newPassing(tracked)
	u.guarded = pooled{tracked}
	switch cfg.Upstream.Scheme {
	case "http":
		lines := newLines(cfg, dial)
		u.guarded = lines
		u.closers = append(u.closers, lines.close)
	case "h2c":
		u.target.Scheme = "http"
	}
	return u
}

// close ends idle connections.
func (u *upstream) close() {
	for _, f := range u.closers {
		f()
	}
}

// forwarder passes the requests of one route upstream. It is the handler below
// the middleware, and the one for requests that no middleware guards.
type forwarder struct {
	*upstream
	mw          *semelhttp.Middleware
	keys        []string // the fields that carry keys, canonical
	maxResponse int64
}

// ServeHTTP implements [http.Handler].
func (f *forwarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// What had to be read in time is read; what follows may take longer.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // without it the client is cut off later

	x := &exchange{forwarder: f, in: r, w: w, claim: semel.FromContext(r.Context())}
	if x.claim == nil {
		x.pass(r.Context())
		return
	}
	x.guard(r.Context())
}

// exchange is one request and its answer, from the middleware to the upstream
// and back.
type exchange struct {
	*forwarder
	in    *http.Request
	w     http.ResponseWriter
	claim *semel.Claim // nil when the request is not guarded
	timer *time.Timer  // of a request that is not guarded: the time for its answer

	// What the upstream gets of a guarded request.
	header http.Header
	body   []byte
}

// url returns where the request goes: path and query as the client wrote them.
func (x *exchange) url() *url.URL {
	u := *x.in.URL
	u.Scheme, u.Host, u.User, u.Fragment = x.target.Scheme, x.target.Host, nil, ""
	if x.target.Path != "" {
		u.RawPath = x.target.EscapedPath() + u.EscapedPath()
		u.Path = x.target.Path + u.Path
	}
	return &u
}

// host returns the Host that the upstream sees.
func (x *exchange) host() string {
	if x.cfg.UpstreamHost != "" {
		return x.cfg.UpstreamHost
	}
	return x.in.Host
}

// hint passes a 1xx on, unless the client speaks HTTP/1.0, which has none (RFC
// 9110 section 15.2).
func (x *exchange) hint(code int, header http.Header) {
	if !x.in.ProtoAtLeast(1, 1) {
		return
	}
	h := x.w.Header()
	copyEndToEnd(h, header)
	x.w.WriteHeader(code)
	for name := range header { // it does not belong to the final answer
		delete(h, name)
	}
}

// quoted finds what net/http quotes in its errors: lines of a malformed answer.
var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

func unquoted(err error) string { return quoted.ReplaceAllString(err.Error(), `"..."`) }

// log names the slot by its reference. Neither key nor path appears, nor
// anything that the upstream has said.
func (x *exchange) log(ctx context.Context, msg string, err error) {
	logger := x.logger
	if x.claim != nil {
		logger = logger.With("ref", x.engine.Ref(x.claim.Key()), "fence", x.claim.Fence())
	}
	if err != nil {
		logger = logger.With("err", unquoted(err))
	}
	logger.ErrorContext(ctx, msg) //nolint:sloglint // the callers' messages are constants
}
