package proxy

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/problem"
	"github.com/semel-go/semel/semelhttp"
)

// forwarder passes the requests of one route upstream. It is the handler below
// the middleware, and the one for requests that no middleware guards.
type forwarder struct {
	engine      *semel.Engine
	mw          *semelhttp.Middleware
	proxy       *httputil.ReverseProxy
	keys        []string             // the fields that carry keys, canonical
	settle      semelhttp.SettleFunc // the route's
	maxResponse int64
	timeout     time.Duration
	shared      bool // the upstream speaks HTTP/2 without TLS
	metrics     *Metrics
	logger      *slog.Logger
}

// ServeHTTP implements [http.Handler].
func (f *forwarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// What had to be read in time is read; what follows may take longer.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // without it the client is cut off later

	ctx, timer, stop := timeLimit(r.Context(), f.timeout)
	defer stop()
	x := &exchange{route: f, in: r, timer: timer, claim: semel.FromContext(ctx), wire: wire{shared: f.shared}}
	if x.claim != nil {
		f.metrics.running.Add(1)
		defer f.metrics.running.Add(-1)
		if err := x.readBody(r); err != nil {
			f.fail(w, r.WithContext(context.WithValue(ctx, exchangeKey{}, x)), err)
			return
		}
		w = held{w, x}
	}
	f.proxy.ServeHTTP(w, r.WithContext(context.WithValue(ctx, exchangeKey{}, x)))
}

// newProxy returns the ReverseProxy that all forwarders share.
func newProxy(cfg Config, transport http.RoundTripper) *httputil.ReverseProxy {
	target := *cfg.Upstream
	if target.Scheme == "h2c" {
		target.Scheme = "http"
	}
	return &httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			address(pr, &target, cfg.UpstreamHost)
			forwarded(pr, cfg.TrustForwarded)
			exchangeOf(pr.In).rewrite(pr)
		},
		Transport:  once{transport},
		BufferPool: &buffers{},
		ErrorLog:   slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelWarn),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			exchangeOf(r).route.fail(w, r, err)
		},
	}
}

// address sends the request to the upstream, with the path and query as the
// client wrote them.
func address(pr *httputil.ProxyRequest, target *url.URL, host string) {
	if target.Path != "" {
		pr.SetURL(target)
	}
	pr.Out.URL.Scheme, pr.Out.URL.Host = target.Scheme, target.Host
	pr.Out.URL.RawQuery, pr.Out.URL.ForceQuery = pr.In.URL.RawQuery, pr.In.URL.ForceQuery
	pr.Out.Host = pr.In.Host
	if host != "" {
		pr.Out.Host = host
	}
}

// forwarded says who the client is.
func forwarded(pr *httputil.ProxyRequest, trust bool) {
	if trust {
		if prior := pr.In.Header["X-Forwarded-For"]; prior != nil {
			pr.Out.Header["X-Forwarded-For"] = prior // SetXForwarded appends
		}
	}
	pr.SetXForwarded()
	if !trust {
		return
	}
	for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded"} {
		if prior := pr.In.Header[name]; prior != nil {
			pr.Out.Header[name] = prior
		}
	}
}

// rewrite makes the request one that is sent at most once.
func (x *exchange) rewrite(pr *httputil.ProxyRequest) {
	out := pr.Out
	for name := range out.Header {
		if ours(name) {
			delete(out.Header, name)
		}
	}
	for _, name := range x.route.keys { // also when the client calls it hop-by-hop
		if lines := pr.In.Header[name]; lines != nil {
			out.Header[name] = lines
		}
	}
	switch {
	case x.claim != nil:
		out.Header[HeaderAttempt] = []string{strconv.Itoa(x.claim.Attempt())}
		out.Header[HeaderFence] = []string{strconv.FormatInt(x.claim.Fence(), 10)}
		delete(out.Header, "Expect") // the client was told to continue, and did
		x.fill(out)
	case !isSafe(out.Method) && (out.Body == nil || out.Body == http.NoBody):
		fillEmpty(out)
	}
}

// ours reports whether only Semel may set a field. Servers that pass fields to
// programs as variables take "_" for "-".
func ours(name string) bool {
	const prefix = "Semel"
	return len(name) > len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) &&
		(name[len(prefix)] == '-' || name[len(prefix)] == '_')
}

// isSafe follows RFC 9110 section 9.2.1.
func isSafe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// fail answers when there is no whole answer from the upstream.
func (f *forwarder) fail(w http.ResponseWriter, r *http.Request, err error) {
	x := exchangeOf(r)
	if cause := context.Cause(r.Context()); cause != nil {
		err = cause
	}
	switch sent := x.wire.maySent(r.Context()); {
	case x.claim == nil:
		f.failUnguarded(w, x, sent, err)
	case sent:
		x.claim.Settle(semel.Unknown)
		f.metrics.unknown.Add(1)
		f.log(x, "the upstream gave no whole answer; the outcome is not known", err)
		f.mw.Refuse(w, x.in, semelhttp.ProblemOutcomeUnknown, http.StatusGatewayTimeout)
	default:
		x.claim.Settle(semel.Free)
		f.metrics.unreachable.Add(1)
		f.log(x, "the upstream was not reached", err)
		f.mw.Refuse(w, x.in, semelhttp.ProblemUpstreamUnreachable, 0)
	}
}

// failUnguarded tells the client of a request without a claim the same truth.
func (f *forwarder) failUnguarded(w http.ResponseWriter, x *exchange, sent bool, err error) {
	if x.in.Context().Err() != nil {
		return // the client has gone
	}
	switch {
	case !sent:
		f.metrics.unreachable.Add(1)
		f.log(x, "the upstream was not reached", err)
		f.mw.Refuse(w, x.in, semelhttp.ProblemUpstreamUnreachable, 0)
	case isSafe(x.in.Method):
		f.metrics.unknown.Add(1)
		f.log(x, "the upstream gave no answer", err)
		problem.Details{Status: http.StatusGatewayTimeout, Title: "The upstream service did not answer", Retryable: true}.Write(w)
	default:
		f.metrics.unknown.Add(1)
		f.log(x, "the upstream gave no answer to a request without a key", err)
		f.mw.Refuse(w, x.in, semelhttp.ProblemOutcomeUnknown, http.StatusGatewayTimeout)
	}
}

// log names the slot by its reference; neither key nor path appears.
func (f *forwarder) log(x *exchange, msg string, err error) {
	logger := f.logger
	if x.claim != nil {
		logger = logger.With("ref", f.engine.Ref(x.claim.Key()), "fence", x.claim.Fence())
	}
	if err != nil {
		logger = logger.With("err", err)
	}
	logger.ErrorContext(x.in.Context(), msg) //nolint:sloglint // the callers' messages are constants
}

// buffers lends the memory that streams are copied with.
type buffers struct{ pool sync.Pool }

const bufferSize = 32 << 10

// Get implements [httputil.BufferPool].
func (b *buffers) Get() []byte {
	if buf, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return buf[:]
	}
	return make([]byte, bufferSize)
}

// Put implements [httputil.BufferPool].
func (b *buffers) Put(buf []byte) {
	if len(buf) == bufferSize {
		b.pool.Put((*[bufferSize]byte)(buf))
	}
}
