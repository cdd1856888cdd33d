package proxy

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/semel-go/semel/problem"
	"github.com/semel-go/semel/semelhttp"
)

type exchangeKey struct{}

func exchangeOf(r *http.Request) *exchange {
	return r.Context().Value(exchangeKey{}).(*exchange) //nolint:errcheck,forcetypeassert // pass put it there
}

// pass sends a request that is not guarded through the ReverseProxy of the
// standard library: streams, upgrades and all. It has UpstreamTimeout to get to
// the answer's header.
func (x *exchange) pass(ctx context.Context) {
	ctx, cancel := context.WithCancelCause(context.WithValue(ctx, exchangeKey{}, x))
	defer cancel(nil)
	x.timer = time.AfterFunc(x.cfg.UpstreamTimeout, func() { cancel(errUpstreamTimeout) })
	defer x.timer.Stop()
	x.passing.ServeHTTP(x.w, x.in.WithContext(ctx))
}

func (u *upstream) newPassing(transport http.RoundTripper) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) { exchangeOf(pr.In).rewrite(pr.Out) },
		ModifyResponse: func(res *http.Response) error {
			x := exchangeOf(res.Request)
			x.timer.Stop()
			keepUntyped(x.w.Header(), res)
			takeSettle(res.Header)
			takeSettle(res.Trailer)
			if res.StatusCode != http.StatusSwitchingProtocols { // whose body is the connection
				res.Body = &stripping{res.Body, res}
			}
			return nil
		},
		Transport:  transport,
		BufferPool: &u.buffers,
		ErrorLog:   slog.NewLogLogger(u.logger.Handler(), slog.LevelWarn),
		ErrorHandler: func(_ http.ResponseWriter, r *http.Request, err error) {
			exchangeOf(r).failPassing(r.Context(), err)
		},
	}
}

// rewrite gives out the address and the header that guarded requests get, and
// does not let the transport send twice what is not safe (RFC 9110 section 9.2.2).
func (x *exchange) rewrite(out *http.Request) {
	header := x.outgoing()
	x.inject(trace.SpanFromContext(x.in.Context()), header)
	for _, name := range []string{"Connection", "Upgrade"} { // the ReverseProxy's, for an upgrade
		if lines := out.Header[name]; lines != nil {
			header[name] = lines
		}
	}
	out.URL, out.Host, out.Header = x.url(), x.host(), header
	if !isSafe(out.Method) && (out.Body == nil || out.Body == http.NoBody) {
		fillEmpty(out)
	}
}

// isSafe follows RFC 9110 section 9.2.1.
func isSafe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// stripping is a body at whose end Semel's own fields leave the trailer.
type stripping struct {
	io.ReadCloser
	res *http.Response
}

// Close ends the body.
func (s *stripping) Close() error {
	err := s.ReadCloser.Close()
	takeSettle(s.res.Trailer)
	return err
}

// failPassing tells the client of a request without a claim the truth.
func (x *exchange) failPassing(ctx context.Context, err error) {
	if x.in.Context().Err() != nil {
		return // the client has gone
	}
	if unsent := (unsentError{}); errors.As(err, &unsent) {
		x.metrics.unreachable.Inc()
		x.log(ctx, "the upstream was not reached", err)
		x.mw.Refuse(x.w, x.in, semelhttp.ProblemUpstreamUnreachable, 0)
		return
	}
	x.metrics.unknown.Inc()
	x.log(ctx, "the upstream gave no answer to a request that is not guarded", err)
	if isSafe(x.in.Method) {
		problem.Details{Status: http.StatusGatewayTimeout, Title: "The upstream service did not answer", Retryable: true}.Write(x.w)
		return
	}
	x.mw.Refuse(x.w, x.in, semelhttp.ProblemOutcomeUnknown, http.StatusGatewayTimeout)
}
