package proxy

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelotel"
)

const (
	traceID     = "0af7651916cd43dd8448eb211c80319c"
	clientSpan  = "b7ad6b7169203331"
	traceparent = "00-" + traceID + "-" + clientSpan + "-01"
)

// tracing makes a sidecar trace into the exporter.
func tracing(t *testing.T, s *setup, options ...sdktrace.TracerProviderOption) *tracetest.InMemoryExporter {
	t.Helper()
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(append(options, sdktrace.WithSyncer(spans))...)
	telemetry, err := semelotel.New(semelotel.Config{TracerProvider: provider})
	if err != nil {
		t.Fatal(err)
	}
	s.Tracer = provider.Tracer("test")
	s.engine.Observe = semel.Observers(s.engine.Observe, telemetry.Observe)
	return spans
}

// heard notes the fields of a trace that reach the upstream.
type heard struct {
	mu            sync.Mutex
	parent, state []string
}

func (h *heard) handler(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.parent = append(h.parent, r.Header.Get("Traceparent"))
	h.state = append(h.state, r.Header.Get("Tracestate"))
	if r.URL.Path == "/bad" {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(http.StatusCreated)
}

func (h *heard) all() (parents, states []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.parent), slices.Clone(h.state)
}

// TestTraceIsContinued: the client's trace goes on through the sidecar to the upstream, and
// the spans say what became of the request.
func TestTraceIsContinued(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			up := new(heard)
			url, _ := testUpstream(t, up.handler)
			var spans *tracetest.InMemoryExporter
			s := newSidecar(t, strings.Replace(url, "http", scheme, 1), func(s *setup) {
				spans = tracing(t, s)
				s.Routes = []Route{{Pattern: "POST /pay/{id}"}}
			})
			s.send(t, "POST", "/pay/7", "key-secret", "x", "Traceparent", traceparent, "Tracestate", "vendor=1")
			s.send(t, "POST", "/pay/7", "key-secret", "x", "Traceparent", traceparent)
			s.send(t, "GET", "/other", "", "", "Traceparent", traceparent)
			s.send(t, "POST", "/bad", "k2", "x", "Traceparent", traceparent)

			byName := map[string][]tracetest.SpanStub{}
			byID := map[string]string{}
			until(t, s, "all spans have ended", func() bool { return len(spans.GetSpans()) >= 7 })
			for _, span := range spans.GetSpans() {
				byName[span.Name] = append(byName[span.Name], span)
				byID[span.SpanContext.SpanID().String()] = span.Name
				if span.SpanContext.TraceID().String() != traceID {
					t.Errorf("%s is in trace %s", span.Name, span.SpanContext.TraceID())
				}
				for _, a := range span.Attributes {
					if text := a.Value.String(); strings.Contains(text, "secret") || strings.Contains(text, "/pay/7") {
						t.Errorf("%s tells %s", span.Name, text)
					}
				}
			}
			requests := byName["POST /pay/{id}"]
			if len(requests) != 2 || requests[0].Parent.SpanID().String() != clientSpan || !requests[0].Parent.IsRemote() {
				t.Fatalf("got %d spans of the route, want 2 below the client's", len(requests))
			}
			for i, want := range []string{"executed", "replayed"} {
				said := ""
				for _, a := range requests[i].Attributes {
					if a.Key == "semel.outcome" {
						said = a.Value.AsString()
					}
				}
				if said != want {
					t.Errorf("request %d: got outcome %q, want %q", i, said, want)
				}
			}
			if got := byID[byName["upstream"][0].Parent.SpanID().String()]; got != "POST /pay/{id}" {
				t.Errorf("the way upstream is below %q, want the request", got)
			}
			if last := byName["upstream"]; last[len(last)-1].Status.Description == "" {
				t.Error("an upstream that gave no answer is no error in the trace")
			}
			parents, states := up.all()
			if len(parents) != 3 {
				t.Fatalf("got %d requests upstream, want 3", len(parents))
			}
			sent := "00-" + traceID + "-" + byName["upstream"][0].SpanContext.SpanID().String() + "-01"
			if parents[0] != sent || states[0] != "vendor=1" {
				t.Errorf("the upstream got %s and %s, want %s and vendor=1", parents[0], states[0], sent)
			}
			if !strings.HasPrefix(parents[1], "00-"+traceID) || strings.Contains(parents[1], clientSpan) {
				t.Errorf("a request without a guard got %s, want the trace and a span of the sidecar", parents[1])
			}
		})
	}
}

// TestNoTracer: without a collector the fields of a trace pass as they are.
func TestNoTracer(t *testing.T) {
	up := new(heard)
	url, _ := testUpstream(t, up.handler)
	s := newSidecar(t, url, nil)
	s.send(t, "POST", "/", "k", "x", "Traceparent", traceparent, "Tracestate", "vendor=1")
	if parents, states := up.all(); parents[0] != traceparent || states[0] != "vendor=1" {
		t.Errorf("the upstream got %s and %s, want what the client sent", parents, states)
	}
}

// TestTraceThatIsNotSampled: its identifier goes on, that it is not sampled too, and no span is made.
func TestTraceThatIsNotSampled(t *testing.T) {
	up := new(heard)
	url, _ := testUpstream(t, up.handler)
	var spans *tracetest.InMemoryExporter
	s := newSidecar(t, url, func(s *setup) {
		spans = tracing(t, s, sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.AlwaysSample())))
	})
	s.send(t, "POST", "/pay/7", "k", "x", "Traceparent", strings.TrimSuffix(traceparent, "01")+"00")
	parents, _ := up.all()
	if !strings.HasPrefix(parents[0], "00-"+traceID) || !strings.HasSuffix(parents[0], "-00") || strings.Contains(parents[0], clientSpan) {
		t.Errorf("the upstream got %s, want the trace, not sampled, and a span of the sidecar", parents[0])
	}
	if all := spans.GetSpans(); len(all) != 0 {
		t.Errorf("got %d spans, want none", len(all))
	}
}
