package operator

import (
	"context"
	"time"

	"github.com/semel-go/semel"
)

// Health is what a store says of itself.
type Health struct {
	// Ping is why it does not serve; nil when it does, or cannot be asked.
	Ping error
	// Took is how long the ping took.
	Took time.Duration
	// Grade is empty when the store does not say.
	Grade semel.Grade
	// Inspected is true when the store can be inspected; Failed is then why it could
	// not be, and Inspection what was found.
	Inspected  bool
	Inspection semel.Inspection
	Failed     error
	// Trail is true when the store keeps one.
	Trail bool
}

// Health asks the store how it is. What goes wrong is part of the answer.
func (d *Desk) Health(ctx context.Context) Health {
	h := Health{Trail: d.auditor != nil}
	if grader, ok := semel.As[semel.Grader](d.store); ok {
		h.Grade = grader.Grade()
	}
	if pinger, ok := semel.As[semel.Pinger](d.store); ok {
		start := time.Now()
		h.Ping = pinger.Ping(ctx)
		h.Took = time.Since(start)
	}
	if inspector, ok := semel.As[semel.Inspector](d.store); ok {
		h.Inspected = true
		h.Inspection, h.Failed = inspector.Inspect(ctx)
	}
	return h
}
