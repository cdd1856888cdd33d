package otlp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

var _ sdktrace.SpanExporter = (*exporter)(nil)

// exporter posts spans as OTLP/HTTP in its JSON form. The client's time-out bounds each post.
type exporter struct {
	target target
	client *http.Client
	ended  atomic.Bool
}

var errEnded = errors.New("otlp: the exporter has ended")

// ExportSpans implements [sdktrace.SpanExporter]. What a collector does not take is lost: a
// trace is not worth holding memory for.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if e.ended.Load() {
		return errEnded
	}
	body, err := json.Marshal(encode(spans))
	if err != nil {
		return fmt.Errorf("otlp: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.target.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("otlp: %w", err)
	}
	req.Header = e.target.header.Clone()
	req.Header.Set("Content-Type", "application/json")
	res, err := e.client.Do(req)
	if err != nil {
		return fmt.Errorf("otlp: %d spans are lost: %w", len(spans), err)
	}
	defer func() { _ = res.Body.Close() }()                      // nothing in it counts
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("otlp: %d spans are lost: the collector answered %d", len(spans), res.StatusCode)
	}
	return nil
}

// Shutdown implements [sdktrace.SpanExporter].
func (e *exporter) Shutdown(context.Context) error {
	e.ended.Store(true)
	e.client.CloseIdleConnections()
	return nil
}
