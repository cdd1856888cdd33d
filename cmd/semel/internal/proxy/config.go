package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

// Defaults of [Config].
const (
	DefaultListen          = "127.0.0.1:8080"
	DefaultUpstreamTimeout = 60 * time.Second
	DefaultUpstreamIdle    = time.Second
	DefaultRecoverTimeout  = 5 * time.Second
	DefaultReadTimeout     = 60 * time.Second
	DefaultDrain           = 30 * time.Second
)

// Config is what a [Server] may be told. Upstream is required.
type Config struct {
	// Upstream is where requests go: http://host:port, https://host:port, or
	// h2c://host:port for HTTP/2 without TLS, which gRPC servers speak. A path
	// is put before every request's path. Over https HTTP/2 is used when the
	// upstream offers it.
	Upstream *url.URL
	// UpstreamHost is the Host that the upstream sees. Default: what the
	// client sent, because the sidecar stands for the service. Set it for an
	// upstream that serves many names.
	UpstreamHost string
	// UpstreamTLS verifies an https upstream. Default: the system's roots.
	UpstreamTLS *tls.Config
	// UpstreamTimeout bounds the time until the whole answer to a guarded
	// request is there; then its outcome is unknown. For streams and for
	// requests that are not guarded it bounds the time until the header is
	// there. A guarded request is bounded by its MaxRun too. Default 60 s.
	UpstreamTimeout time.Duration
	// UpstreamIdle is how long an unused connection to the upstream is kept.
	// It must be less than the upstream's own limit: when the upstream closes
	// a connection on which a request was just sent, nobody knows whether it
	// read it, and the key is held. Default 1 s; common servers have 2 s to
	// 75 s.
	UpstreamIdle time.Duration
	// TrustForwarded keeps what the client says in X-Forwarded-For (the
	// client's address is appended), X-Forwarded-Host and X-Forwarded-Proto.
	// Default: they are made anew. Set it behind a proxy that sets them.
	TrustForwarded bool

	// TLS, when it is set, is what clients meet: it must have a certificate. With
	// ClientCAs and ClientAuth they show one too. Default: no TLS.
	TLS *tls.Config
	// Listen is the address for clients. Default 127.0.0.1:8080.
	Listen string
	// Admin is the address for operators: /livez, /readyz, /metrics and
	// /version. It has no authentication, so keep it on loopback or a private
	// network. Default: none.
	Admin string
	// Console, when not nil, is served at /console/ of Admin, and closed when the requests
	// have ended. It must know that base path.
	Console Console
	// ReadTimeout bounds the time in which a client must send a guarded
	// request with its body. Default 60 s.
	ReadTimeout time.Duration
	// Drain is how long requests in flight may go on after Run's context has
	// ended. The process should be given some seconds more. Default 30 s; a
	// negative one waits for nobody.
	Drain time.Duration

	// HTTP says what is guarded and how.
	HTTP semelhttp.Config
	// RecoverURL is asked what a lapsed attempt did, where the policy is
	// [semel.Recover]: http, https or h2c. The text "{key}" in its path or
	// query stands for the derived key. UpstreamTLS holds for it too. Default:
	// none, and HTTP.Lapsed must not be Recover without a func.
	RecoverURL string
	// RecoverTimeout bounds the time until the whole answer of RecoverURL is
	// there; then nothing is known. It should be less than the lease. Default 5 s.
	RecoverTimeout time.Duration
	// FailOpen lets requests run unguarded, and twice if they are sent twice, while the
	// store fails. Each is logged. Default: they are refused with 503.
	FailOpen bool
	// Shadow refuses and replays nothing, and logs and counts what would have
	// happened, see [semelhttp.Config].
	Shadow bool
	// Routes say what differs for some requests. Default none.
	Routes []Route

	// Sweep is the pause between two rounds in which the recovery URL of each
	// route is asked about what is lapsed in the store, see
	// [semel.Engine.RunSweep]. What is of a route that does not recover waits for an
	// operator, and so does what is of no route of this Config, unless all
	// recover by one URL. The store must be of these services alone.
	// Default 0: only retries ask.
	Sweep time.Duration

	// Purging paces the removal of what is over, when the store can do it.
	Purging semel.Purging
	// Metrics is what /metrics shows. Its Observe should be the engine's
	// observer, from which /readyz knows too whether the store writes. Default:
	// only what the proxy itself counts.
	Metrics *Metrics
	// Tracer, when not nil, makes a span of each request and of its way upstream. The trace
	// of a client that has one is continued, and passed on to the upstream. Default: none,
	// and the fields of a trace pass as they are.
	Tracer trace.Tracer
	// Logger gets failures, never a key, a scope or a body. Default [slog.Default].
	Logger *slog.Logger
	// Version is shown by /version. Default "unknown".
	Version string
	// Ready, when not nil, is called once both listeners accept. admin is nil
	// when there is none.
	Ready func(listen, admin net.Addr)
}

// Console are pages for operators.
type Console interface {
	http.Handler
	// Close ends what is open, and waits for actions under way until ctx ends.
	Close(ctx context.Context) error
}

// Route says what differs for the requests that a pattern matches. A request
// whose path is not clean ("//", "/../") is matched by its clean path and
// forwarded as it is.
type Route struct {
	// Pattern is one of [net/http.ServeMux], such as "POST /v1/payments/{id}".
	Pattern string
	// Change sets what differs, see [semelhttp.Middleware.With]. Nil changes nothing.
	Change func(*semelhttp.Config)
	// RecoverURL, when not empty, replaces Config.RecoverURL.
	RecoverURL string
	// Bypass passes the requests through, unguarded.
	Bypass bool
	// Upstream, when not nil, is where these requests go instead of Config.Upstream.
	Upstream *url.URL
	// Scope, when not nil, says who the caller is.
	Scope semelhttp.ScopeFunc
	// FailOpen and Shadow, when not nil, replace those of Config.
	FailOpen, Shadow *bool
}

func (c Config) withDefaults() (Config, error) {
	for _, d := range []struct {
		name  string
		field *time.Duration
		def   time.Duration
	}{
		{"UpstreamTimeout", &c.UpstreamTimeout, DefaultUpstreamTimeout},
		{"UpstreamIdle", &c.UpstreamIdle, DefaultUpstreamIdle},
		{"RecoverTimeout", &c.RecoverTimeout, DefaultRecoverTimeout},
		{"ReadTimeout", &c.ReadTimeout, DefaultReadTimeout},
		{"Sweep", &c.Sweep, 0},
	} {
		if *d.field == 0 {
			*d.field = d.def
		}
		if *d.field < 0 {
			return c, fmt.Errorf("proxy: Config.%s is %v, less than zero", d.name, *d.field)
		}
	}
	switch {
	case c.Drain == 0:
		c.Drain = DefaultDrain
	case c.Drain < 0:
		c.Drain = 0
	}
	if c.Listen == "" {
		c.Listen = DefaultListen
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.HTTP.Logger == nil {
		c.HTTP.Logger = c.Logger
	}
	if c.HTTP.MaxResponse == 0 {
		c.HTTP.MaxResponse = semelhttp.DefaultMaxResponse
	}
	if c.Version == "" {
		c.Version = "unknown"
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(c.Version)
	}
	if strings.ContainsFunc(c.UpstreamHost, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return c, fmt.Errorf("proxy: Config.UpstreamHost %q is not a host", c.UpstreamHost)
	}
	if err := checkRecoverURL(c.RecoverURL); err != nil {
		return c, err
	}
	for _, r := range c.Routes {
		if r.Upstream != nil {
			if err := checkUpstream(r.Upstream); err != nil {
				return c, err
			}
		}
	}
	return c, checkUpstream(c.Upstream)
}

func checkUpstream(u *url.URL) error {
	if u == nil {
		return errors.New("proxy: no upstream")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "h2c":
		return fmt.Errorf("proxy: upstream %s: the scheme must be http, https or h2c", u.Redacted())
	case u.Hostname() == "":
		return fmt.Errorf("proxy: upstream %s: the host is missing", u.Redacted())
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("proxy: upstream %s: only scheme, host, port and path are allowed", u.Redacted())
	}
	return nil
}
