package otlp

import (
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// The messages of OTLP in JSON: identifiers in hexadecimal, 64-bit numbers as texts
// (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).
type (
	message struct {
		ResourceSpans []resourceSpans `json:"resourceSpans"`
	}
	resourceSpans struct {
		Resource struct {
			Attributes []keyValue `json:"attributes,omitempty"`
		} `json:"resource"`
		ScopeSpans []scopeSpans `json:"scopeSpans"`
		SchemaURL  string       `json:"schemaUrl,omitempty"`
	}
	scopeSpans struct {
		Scope struct {
			Name    string `json:"name"`
			Version string `json:"version,omitempty"`
		} `json:"scope"`
		Spans []span `json:"spans"`
	}
	span struct {
		TraceID    string     `json:"traceId"`
		SpanID     string     `json:"spanId"`
		TraceState string     `json:"traceState,omitempty"`
		Parent     string     `json:"parentSpanId,omitempty"`
		Flags      uint32     `json:"flags"`
		Name       string     `json:"name"`
		Kind       int        `json:"kind"`
		Start      string     `json:"startTimeUnixNano"`
		End        string     `json:"endTimeUnixNano"`
		Attributes []keyValue `json:"attributes,omitempty"`
		Events     []event    `json:"events,omitempty"`
		Status     *status    `json:"status,omitempty"`
	}
	event struct {
		Time       string     `json:"timeUnixNano"`
		Name       string     `json:"name"`
		Attributes []keyValue `json:"attributes,omitempty"`
	}
	status struct {
		Message string `json:"message,omitempty"`
		Code    int    `json:"code"`
	}
	keyValue struct {
		Key   string   `json:"key"`
		Value anyValue `json:"value"`
	}
	anyValue struct {
		String *string  `json:"stringValue,omitempty"`
		Bool   *bool    `json:"boolValue,omitempty"`
		Int    *string  `json:"intValue,omitempty"`
		Double *float64 `json:"doubleValue,omitempty"`
	}
)

// The flags of a span beside those of W3C: whether it is known that the parent is remote,
// and whether it is.
const (
	knowsRemote = 0x100
	isRemote    = 0x200
)

// encode makes one message of spans that share a resource, as those of one provider do.
func encode(spans []sdktrace.ReadOnlySpan) message {
	var all resourceSpans
	scopes := map[string]int{}
	for _, s := range spans {
		if all.ScopeSpans == nil {
			all.Resource.Attributes = keyValues(s.Resource().Attributes())
			all.SchemaURL = s.Resource().SchemaURL()
		}
		name := s.InstrumentationScope().Name
		at, known := scopes[name]
		if !known {
			at = len(all.ScopeSpans)
			scopes[name] = at
			var scope scopeSpans
			scope.Scope.Name, scope.Scope.Version = name, s.InstrumentationScope().Version
			all.ScopeSpans = append(all.ScopeSpans, scope)
		}
		all.ScopeSpans[at].Spans = append(all.ScopeSpans[at].Spans, encodeSpan(s))
	}
	return message{ResourceSpans: []resourceSpans{all}}
}

func encodeSpan(s sdktrace.ReadOnlySpan) span {
	at := s.SpanContext()
	out := span{
		TraceID: at.TraceID().String(), SpanID: at.SpanID().String(), TraceState: at.TraceState().String(),
		Flags: uint32(at.TraceFlags()) | knowsRemote,
		Name:  s.Name(), Kind: int(s.SpanKind()), Start: nanos(s.StartTime()), End: nanos(s.EndTime()),
		Attributes: keyValues(s.Attributes()),
	}
	if parent := s.Parent(); parent.HasSpanID() {
		out.Parent = parent.SpanID().String()
		if parent.IsRemote() {
			out.Flags |= isRemote
		}
	}
	if s.SpanKind() == trace.SpanKindUnspecified {
		out.Kind = int(trace.SpanKindInternal)
	}
	for _, e := range s.Events() {
		out.Events = append(out.Events, event{nanos(e.Time), e.Name, keyValues(e.Attributes)})
	}
	switch s.Status().Code {
	case codes.Ok:
		out.Status = &status{Code: 1}
	case codes.Error:
		out.Status = &status{s.Status().Description, 2}
	case codes.Unset:
	}
	return out
}

func nanos(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

// keyValues has lists as texts: the sidecar makes none, and a resource from the environment
// cannot have any.
func keyValues(all []attribute.KeyValue) []keyValue {
	out := make([]keyValue, len(all))
	for i, a := range all {
		out[i].Key = string(a.Key)
		value := &out[i].Value
		switch a.Value.Type() { //nolint:exhaustive // the rest are texts
		case attribute.BOOL:
			v := a.Value.AsBool()
			value.Bool = &v
		case attribute.INT64:
			v := strconv.FormatInt(a.Value.AsInt64(), 10)
			value.Int = &v
		case attribute.FLOAT64:
			v := a.Value.AsFloat64()
			value.Double = &v
		default:
			v := a.Value.String()
			value.String = &v
		}
	}
	return out
}
