package proxy

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// w3c continues traces as W3C Trace Context says. Its fields are in no fingerprint.
var w3c propagation.TraceContext

// begin has the options of the span of a request, by method. What a client writes there is not
// bounded: the method of the rest is otherMethod.
var begin = func() map[string][]trace.SpanStartOption {
	all := map[string][]trace.SpanStartOption{}
	for _, method := range []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions, http.MethodTrace, otherMethod,
	} {
		all[method] = []trace.SpanStartOption{
			trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attribute.String("http.request.method", method)),
		}
	}
	return all
}()

const otherMethod = "_OTHER"

// asClient are the options of the span of the way upstream.
var asClient = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient)}

// traced continues the trace of r, or begins one, with a span for the request. It must be
// ended. Without a tracer the client's fields pass as any other.
func (s *Server) traced(r *http.Request) (*http.Request, trace.Span) {
	if s.cfg.Tracer == nil {
		return r, nil
	}
	ctx := w3c.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	method := r.Method
	options, ok := begin[method]
	if !ok {
		method, options = otherMethod, begin[otherMethod]
	}
	ctx, span := s.cfg.Tracer.Start(ctx, method, options...)
	return r.WithContext(ctx), span
}

// name gives the span of a request the name of its route.
func (r *router) name(ctx context.Context, pattern string) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetName(pattern)
		span.SetAttributes(attribute.String("semel.route", pattern))
	}
}

// traceUpstream begins the span of the way to the upstream and back; in a trace that is not
// sampled that of the request will do. The context of the span is nobody's: below one that
// wraps the attempt's, a time-out would cost a goroutine.
func (x *exchange) traceUpstream(ctx context.Context) trace.Span {
	if x.cfg.Tracer == nil {
		return nil
	}
	if around := trace.SpanFromContext(ctx); !around.IsRecording() {
		return around
	}
	_, span := x.cfg.Tracer.Start(ctx, "upstream", asClient...)
	return span
}

// endUpstream ends that span; res is nil when there was no answer.
func endUpstream(span trace.Span, res *http.Response, err error) {
	if span == nil || !span.IsRecording() {
		return
	}
	if res != nil {
		span.SetAttributes(attribute.Int("http.response.status_code", res.StatusCode))
	}
	if err != nil {
		span.SetStatus(codes.Error, unquoted(err))
	}
	span.End()
}

// inject names span to whoever gets header. The client's own fields, which name a span
// further out, are replaced.
func (x *exchange) inject(span trace.Span, header http.Header) {
	if x.cfg.Tracer != nil {
		delete(header, "Tracestate")
		w3c.Inject(trace.ContextWithSpan(x.in.Context(), span), propagation.HeaderCarrier(header))
	}
}
