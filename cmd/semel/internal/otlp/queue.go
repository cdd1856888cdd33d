package otlp

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

var _ sdktrace.SpanProcessor = (*queue)(nil)

// queue keeps spans until it is time to export them. The SDK's own wakes a goroutine for
// every span, which costs a guarded request more than all else that is observed: this one
// wakes when there is enough to send, or after a while.
type queue struct {
	out   sdktrace.SpanExporter
	every time.Duration // between two exports
	most  int           // spans that wait; further ones are dropped
	batch int           // spans in one export

	mu      sync.Mutex
	spans   []sdktrace.ReadOnlySpan
	dropped int

	enough chan struct{}
	base   context.Context //nolint:containedctx // of every export; ends with Shutdown
	cut    context.CancelFunc
	stop   func()
	quit   chan struct{}
	done   chan struct{}
}

// newQueue reads the variables that the SDK has for its own. Its goroutine ends with
// Shutdown.
func newQueue(ctx context.Context, out sdktrace.SpanExporter, env func(string) string) *queue {
	number := func(name string, otherwise int) int {
		if n, err := strconv.Atoi(env("OTEL_BSP_" + name)); err == nil && n > 0 {
			return n
		}
		return otherwise
	}
	q := &queue{
		out: out, every: time.Duration(number("SCHEDULE_DELAY", 5000)) * time.Millisecond,
		most: number("MAX_QUEUE_SIZE", 2048), batch: number("MAX_EXPORT_BATCH_SIZE", 512),
		enough: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
	q.batch = min(q.batch, q.most)
	q.base, q.cut = context.WithCancel(context.WithoutCancel(ctx))
	q.stop = sync.OnceFunc(func() { close(q.quit) })
	go q.run()
	return q
}

// OnStart implements [sdktrace.SpanProcessor].
func (q *queue) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd implements [sdktrace.SpanProcessor]. It never waits.
func (q *queue) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	q.mu.Lock()
	waiting := len(q.spans)
	if waiting < q.most {
		q.spans = append(q.spans, s)
	} else {
		q.dropped++
	}
	q.mu.Unlock()
	if waiting+1 == q.batch {
		select {
		case q.enough <- struct{}{}:
		default:
		}
	}
}

func (q *queue) run() {
	defer close(q.done)
	ticker := time.NewTicker(q.every)
	defer ticker.Stop()
	for {
		select {
		case <-q.quit:
			return
		case <-q.enough:
		case <-ticker.C:
		}
		if err := q.ForceFlush(q.base); err != nil {
			otel.Handle(err)
		}
	}
}

// ForceFlush implements [sdktrace.SpanProcessor].
func (q *queue) ForceFlush(ctx context.Context) error {
	q.mu.Lock()
	spans, dropped := q.spans, q.dropped
	q.spans, q.dropped = nil, 0
	q.mu.Unlock()
	if dropped > 0 {
		otel.Handle(fmt.Errorf("otlp: %d spans were dropped, as the collector does not keep up", dropped))
	}
	for len(spans) > 0 {
		n := min(len(spans), q.batch)
		if err := q.out.ExportSpans(ctx, spans[:n]); err != nil {
			return err // and the rest is lost: it would fare no better
		}
		spans = spans[n:]
	}
	return nil
}

// Shutdown implements [sdktrace.SpanProcessor]. It exports what is left for as long as ctx
// allows.
func (q *queue) Shutdown(ctx context.Context) error {
	q.stop()
	defer q.cut()
	defer context.AfterFunc(ctx, q.cut)() // ends an export that hangs
	<-q.done
	err := q.ForceFlush(ctx)
	if ended := q.out.Shutdown(ctx); err == nil {
		err = ended
	}
	return err
}
