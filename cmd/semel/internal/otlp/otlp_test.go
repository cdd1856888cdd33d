package otlp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// env is an environment.
type env map[string]string

func (e env) get(name string) string { return e[name] }

// The setting comes before the variables of the standard, which count as it says.
func TestTarget(t *testing.T) {
	for name, row := range map[string]struct {
		setting string
		env     env
		want    string // "" for none
		timeout time.Duration
		header  string // of X-Token
	}{
		"nothing":               {},
		"the setting":           {"http://c:4318", nil, "http://c:4318/v1/traces", 10 * time.Second, ""},
		"with a path":           {"https://c/otlp/", nil, "https://c/otlp/v1/traces", 10 * time.Second, ""},
		"a variable":            {"", env{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://v:1/"}, "http://v:1/v1/traces", 10 * time.Second, ""},
		"the variable of ours":  {"", env{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:1/x", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://v:1"}, "http://t:1/x", 10 * time.Second, ""},
		"the setting before it": {"http://c:1", env{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://v:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http://c:1/v1/traces", 10 * time.Second, ""},
		"time-out and fields":   {"http://c:1", env{"OTEL_EXPORTER_OTLP_TIMEOUT": "250", "OTEL_EXPORTER_OTLP_HEADERS": "a=b, x-token = s%20t "}, "http://c:1/v1/traces", 250 * time.Millisecond, "s t"},
		"disabled":              {"http://c:1", env{"OTEL_SDK_DISABLED": "true"}, "", 0, ""},
		"no exporter":           {"http://c:1", env{"OTEL_TRACES_EXPORTER": "none"}, "", 0, ""},
	} {
		got, err := findTarget(row.setting, row.env.get)
		if err != nil || (got == nil) != (row.want == "") {
			t.Errorf("%s: got %v, %v, want %q", name, got, err, row.want)
			continue
		}
		if got != nil && (got.url != row.want || got.timeout != row.timeout || got.header.Get("X-Token") != row.header) {
			t.Errorf("%s: got %+v, want %+v", name, got, row)
		}
	}
	for name, bad := range map[string]env{
		"no URL":      {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"},
		"gRPC":        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
		"no number":   {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1", "OTEL_EXPORTER_OTLP_TIMEOUT": "10s"},
		"bad headers": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1", "OTEL_EXPORTER_OTLP_HEADERS": "secret"},
	} {
		if got, err := findTarget("", bad.get); err == nil || got != nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, %v, want an error without secrets", name, got, err)
		}
	}
}

// What is posted has the form of OTLP/JSON: identifiers in hexadecimal, times and numbers as
// texts, the resource once.
func TestExports(t *testing.T) {
	type posted struct {
		header http.Header
		body   map[string]any
	}
	posts := make(chan posted, 1)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var p posted
		p.header = r.Header
		if err := json.NewDecoder(r.Body).Decode(&p.body); err != nil || r.URL.Path != tracesPath {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		posts <- p
	}))
	defer collector.Close()
	t.Setenv("OTEL_SERVICE_NAME", "payments-semel")
	p, err := Open(t.Context(), Config{
		Endpoint: collector.URL, Version: "v1", Logger: slog.New(slog.DiscardHandler),
		Env: env{"OTEL_EXPORTER_OTLP_HEADERS": "api-key=k"}.get,
	})
	if err != nil {
		t.Fatal(err)
	}
	remote := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, Remote: true})
	ctx, span := Tracer(p).Start(trace.ContextWithSpanContext(t.Context(), remote), "POST", trace.WithSpanKind(trace.SpanKindServer))
	span.SetAttributes(attribute.String("s", "text"), attribute.Int("i", 1<<60), attribute.Bool("b", true), attribute.Float64("f", 1.5))
	span.AddEvent("semel.claim", trace.WithAttributes(attribute.Int("n", 1)))
	span.SetStatus(codes.Error, "cut off")
	_, inner := Tracer(p).Start(ctx, "upstream")
	inner.End()
	span.End()
	if err := p.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := <-posts
	if got.header.Get("Api-Key") != "k" || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("got fields %v", got.header)
	}
	resource := got.body["resourceSpans"].([]any)[0].(map[string]any)
	if text, _ := json.Marshal(resource["resource"]); !bytes.Contains(text, []byte(`{"key":"service.name","value":{"stringValue":"payments-semel"}}`)) ||
		!bytes.Contains(text, []byte(`{"key":"service.version","value":{"stringValue":"v1"}}`)) {
		t.Errorf("got resource %s", text)
	}
	spans := resource["scopeSpans"].([]any)[0].(map[string]any)["spans"].([]any)
	if len(spans) != 2 {
		t.Fatalf("got %d spans, want 2", len(spans))
	}
	child, root := spans[0].(map[string]any), spans[1].(map[string]any)
	for key, want := range map[string]any{
		"traceId": "01000000000000000000000000000000", "parentSpanId": "0200000000000000", "name": "POST", "kind": 2.0, "flags": 769.0,
	} {
		if root[key] != want {
			t.Errorf("%s: got %v, want %v", key, root[key], want)
		}
	}
	if child["parentSpanId"] != root["spanId"] || child["kind"] != 1.0 || child["flags"] != 257.0 || child["status"] != nil {
		t.Errorf("got %v, want a child of %v", child, root["spanId"])
	}
	if start, _ := root["startTimeUnixNano"].(string); len(start) != 19 {
		t.Errorf("got start %v, want nanoseconds as a text", root["startTimeUnixNano"])
	}
	text, _ := json.Marshal(map[string]any{"a": root["attributes"], "s": root["status"], "e": root["events"].([]any)[0].(map[string]any)["attributes"]})
	want := `{"a":[{"key":"s","value":{"stringValue":"text"}},{"key":"i","value":{"intValue":"1152921504606846976"}},` +
		`{"key":"b","value":{"boolValue":true}},{"key":"f","value":{"doubleValue":1.5}}],` +
		`"e":[{"key":"n","value":{"intValue":"1"}}],"s":{"code":2,"message":"cut off"}}`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

// A collector that hangs, is down or refuses costs spans and a line in the log, never a
// request: making and ending spans does not wait.
func TestCollectorInTrouble(t *testing.T) {
	hanging, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hanging.Close()
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, "secret-of-the-collector")
	}))
	defer refusing.Close()
	for name, endpoint := range map[string]string{"hangs": "http://" + hanging.Addr().String(), "refuses": refusing.URL, "is down": "http://127.0.0.1:1"} {
		t.Run(name, func(t *testing.T) {
			var logs bytes.Buffer
			p, err := Open(t.Context(), Config{
				Endpoint: endpoint, Logger: slog.New(slog.NewTextHandler(&logs, nil)), Env: env{"OTEL_EXPORTER_OTLP_TIMEOUT": "200"}.get,
			})
			if err != nil {
				t.Fatal(err)
			}
			for range 10_000 { // more than the queue takes
				_, span := Tracer(p).Start(t.Context(), "POST")
				span.End()
			}
			bounded, stop := context.WithTimeout(t.Context(), 2*time.Second)
			defer stop()
			if err := p.Shutdown(bounded); err == nil && logs.Len() == 0 {
				t.Error("nobody is told")
			}
			if strings.Contains(logs.String(), "secret") {
				t.Errorf("the log has what the collector said: %s", &logs)
			}
		})
	}
}

// The queue exports when there is enough, and after a while.
func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { told = append(told, err.Error()) }))
		out := tracetest.NewInMemoryExporter()
		p := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(newQueue(t.Context(), out,
			env{"OTEL_BSP_MAX_QUEUE_SIZE": "4", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "3"}.get)))
		spans := func(n, want int) {
			t.Helper()
			for range n {
				_, span := Tracer(p).Start(t.Context(), "POST")
				span.End()
			}
			synctest.Wait()
			if got := len(out.GetSpans()); got != want {
				t.Errorf("got %d spans exported, want %d", got, want)
			}
			out.Reset()
		}
		spans(2, 0)
		time.Sleep(5 * time.Second)
		spans(0, 2)
		spans(3, 3)
		_, last := Tracer(p).Start(t.Context(), "POST")
		last.End()
		bounded, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if err := p.ForceFlush(bounded); err != nil || len(out.GetSpans()) != 1 {
			t.Errorf("got %v and %d spans, want the last one", err, len(out.GetSpans()))
		}
		if err := p.Shutdown(bounded); err != nil {
			t.Error(err)
		}
		for _, text := range told {
			if !strings.Contains(text, "were dropped") {
				t.Errorf("told %q", text)
			}
		}
	})
}

// gate is an exporter that hangs until it is opened.
type gate struct {
	*tracetest.InMemoryExporter
	open chan struct{}
}

func (g gate) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	<-g.open
	return g.InMemoryExporter.ExportSpans(ctx, spans)
}

// While an export hangs, the queue takes what fits and drops the rest, and says how much.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { told = append(told, err.Error()) }))
		out := gate{tracetest.NewInMemoryExporter(), make(chan struct{})}
		p := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(newQueue(t.Context(), out,
			env{"OTEL_BSP_MAX_QUEUE_SIZE": "4", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2"}.get)))
		for i := range 10 {
			_, span := Tracer(p).Start(t.Context(), "POST")
			span.End()
			if i == 1 {
				synctest.Wait() // these two are being exported
			}
		}
		close(out.open)
		time.Sleep(10 * time.Second)
		if got := len(out.GetSpans()); got != 6 {
			t.Errorf("got %d spans, want the 2 that were under way and 4 that waited", got)
		}
		if len(told) != 1 || !strings.Contains(told[0], "4 spans were dropped") {
			t.Errorf("told %q, want that 4 were dropped", told)
		}
		if err := p.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Without a collector there is no provider and no tracer.
func TestOff(t *testing.T) {
	p, err := Open(t.Context(), Config{Env: env{}.get})
	if p != nil || err != nil || Tracer(p) != nil {
		t.Errorf("got %v, %v, want nothing", p, err)
	}
	if _, err := Open(t.Context(), Config{Env: env{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}.get}); !errors.Is(err, ErrProtocol) {
		t.Errorf("got %v, want ErrProtocol", err)
	}
}
